# SPDX-License-Identifier: Apache-2.0
"""A text log in blocks of whole records, each cut into columns.

Two parsers give the same columns. pyarrow, where it is installed, takes the blocks in which nothing is unusual (every
row has every field, no quotes); pandas takes the others, and `quotes` says which lines belong together where quoted
fields continue over line ends. So memory is that of a block whatever the size of the file, and what is read does not
depend on where the blocks end. This module does not look at ids.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.data.formats import Layout
from pocketrec.cloud.data.packing import DAMAGED, cannot_read
from pocketrec.cloud.data.quotes import LONGEST, Shape, split_records
from pocketrec.cloud.data.text import BOM, NUL, read_text
from pocketrec.device.base.errors import DataError

try:
    import pyarrow
    from pyarrow import compute
    from pyarrow import csv as arrow_csv
except ImportError:  # an extra: pandas alone gives the same, in five times the time
    pyarrow = None

BLOCK_BYTES = 1 << 26
_DIGITS = 18  # of a whole number that surely fits int64
_EXTRA = "fields too many"  # name of the column that catches them

#: `Block.forms`: as it should be; more fields than columns; a line that a quoted field swallowed by mistake.
FINE, EXTRA, SWALLOWED = range(3)
Forms: Final = {EXTRA: "has more fields than there are columns",
                SWALLOWED: "lies in a quoted field that continues over rows: a quote is left open"}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Which columns of a file are read."""

    user: str
    item: str
    time: str
    """Empty where there is none: the order of the rows."""
    label: str | None
    """The log's own split."""
    category: str | None
    filters: dict[str, list[str]]
    """Column -> values that are kept."""
    privacy: dict[str, list[str]] = field(default_factory=dict)
    """Column -> values of business-necessary events."""

    @property
    def texts(self) -> set[str]:
        """All but the time."""
        named = {self.user, self.item, *self.filters, *self.privacy}
        return named | {name for name in (self.label, self.category) if name}

    @staticmethod
    def find(layout: Layout, config: DataConfig, split_column: str | None, path: Path) -> Columns:
        """The columns that a configuration names.

        Raises:
            DataError: there is no such column.
        """
        def values_of(table: dict[str, list[str]], key: str) -> dict[str, list[str]]:
            return {layout.find(name, key, path): [str(one) for one in values] for name, values in table.items()}

        return Columns(
            layout.find(config.user, "data.user", path),
            layout.find(config.item, "data.item", path),
            layout.find(config.timestamp, "data.timestamp", path) if config.timestamp else "",
            layout.find(split_column, "split.column", path) if split_column else None,
            layout.find(config.category, "data.category", path) if config.category else None,
            values_of(config.keep, "data.keep"),
            values_of(config.privacy, "data.privacy"),
        )


@dataclass(frozen=True)
class Table:
    """Rows as pandas cuts them."""

    frame: pd.DataFrame
    """The columns that are read, by name; texts are categories in which every byte is a character."""
    lines: np.ndarray
    """int64 (rows,): line that each row begins in."""
    forms: np.ndarray
    """uint8 (rows,): FINE, EXTRA or SWALLOWED."""

    @property
    def cut(self) -> np.ndarray:
        """bool (rows,): whether the row is cut as it should be."""
        return self.forms == FINE


@dataclass(frozen=True)
class Block:
    """Some rows, in the order of the file; those in which every column is empty are left out."""

    texts: dict[str, tuple[list[bytes], np.ndarray]]
    """Of each text column: its different values, and the place of each row's, int (rows,), -1 where it is empty."""
    times: pd.Series
    """Whole numbers, or categories of texts; zeros where no column holds times."""
    forms: np.ndarray | None
    """uint8 (rows,): FINE, EXTRA or SWALLOWED; None where all are fine."""
    lines: np.ndarray | int
    """Line of each row, int64 (rows,), or of the first where all follow each other; the first line of the file is 1."""

    def __len__(self) -> int:
        return len(self.times)


def read_blocks(
    path: Path,
    layout: Layout,
    columns: Columns,
    *,
    time_as_text: bool = False,
    block_bytes: int = BLOCK_BYTES,
    progress: Progress = no_progress,
) -> Iterator[Block]:
    """Cut a file into columns.

    Args:
        path: the log.
        layout: how it is cut.
        columns: which are read.
        time_as_text: give all times as texts, whole numbers too.
        block_bytes: bytes of a block.
        progress: called with the bytes of the file, as it lies, that are done.

    Raises:
        DataError: the file cannot be read, has two columns of one name, or a quote that is not closed.
    """
    parser = _Parser(path, layout, columns, time_as_text)
    total, line, rest = path.stat().st_size, 1 + layout.header, b""
    try:
        for text in read_text(path, layout.packing, layout.header, block_bytes):
            block, rest, line = parser.parse(rest + text.content, line)
            if len(block):
                yield block
            progress(text.done, total)
        if rest:
            raise open_quote(path, line)
        progress(total, total)
    except DAMAGED as error:
        raise cannot_read(path, error) from None


def parse_rows(path: Path, file: Any, layout: Layout, columns: Columns, *, time_as_text: bool = False) -> Table:
    """Cut the rows of a text format into columns, all at once, by pandas.

    Args:
        path: named in errors.
        file: the rows, without byte-order mark and header.
        layout: how they are cut.
        columns: which are read.
        time_as_text: read times as they are written; else as whole numbers where all are.

    Raises:
        DataError: two columns of one name, or a quote left open.
        OSError, EOFError, zlib.error, MemoryError: the file cannot be read.
    """
    content = file.read().replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\0", NUL)
    content += b"" if content.endswith(b"\n") or not content else b"\n"
    table, rest, line = _Parser(path, layout, columns, time_as_text).table(content, 1 + layout.header)
    if rest:
        raise open_quote(path, line)
    return table


def open_quote(path: Path, line: int) -> DataError:
    """The error for a quoted field that begins in a line and does not end."""
    return DataError(
        f"cannot read {path}: line {line} opens a quote that is not closed within {LONGEST >> 20} MiB: "
        "close it, double it, or set data.format"
    )


class _Parser:
    """Cuts bytes into the columns that are wanted."""

    def __init__(self, path: Path, layout: Layout, columns: Columns, time_as_text: bool) -> None:
        self.path, self.layout, self.columns, self.time_as_text = path, layout, columns, time_as_text
        self._texts_come = time_as_text  # times that are not whole numbers have come: the next will be so, too
        wanted = columns.texts | {columns.time} - {""}
        self.places = [place for place, name in enumerate(layout.columns) if name in wanted]
        self.names = [layout.columns[place] for place in self.places]
        if len(set(self.names)) != len(self.names):
            raise DataError(f"{path} has two columns of one name ({', '.join(self.names)}): rename one")
        needed = [columns.user, columns.item, *([columns.time] if columns.time else [])]
        filled = tuple(layout.columns.index(name) for name in needed)
        self.shape = Shape(layout.separator, len(layout.columns), filled, bool(columns.time))

    def parse(self, content: bytes, line: int) -> tuple[Block, bytes, int]:
        """Cut whole lines from number `line`; also the record left open at the end, and the line after the others."""
        quoted = self.layout.quoted and b'"' in content
        odd = quoted or content.startswith(BOM)  # which pyarrow would drop, wherever the block lies in the file
        block = self._plain(content, line) if pyarrow is not None and not odd else None
        if block is not None:
            return block, b"", line + len(block)
        table, rest, line = self.table(content, line)
        texts = {}
        for name in self.columns.texts:
            column = table.frame[name].cat
            texts[name] = [str(value).encode("latin-1") for value in column.categories], column.codes.to_numpy()
        lines = table.lines
        follow = len(lines) and lines[-1] - lines[0] == len(lines) - 1
        times = table.frame[self.columns.time] if self.columns.time else _zeros(len(lines))
        forms = table.forms if table.forms.any() else None
        return Block(texts, times, forms, int(lines[0]) if follow else lines), rest, line

    def table(self, content: bytes, line: int) -> tuple[Table, bytes, int]:
        """`parse`, not yet encoded, by pandas."""
        count, rest = content.count(b"\n"), b""
        forms, lines, upto = np.zeros(count, np.uint8), np.arange(line, line + count), line + count
        frame = self._typed(content)
        if frame is None or len(frame) != count:  # a quoted field continues over line ends
            records = split_records(content, self.shape)
            if records.too_long is not None:
                raise open_quote(self.path, line + records.too_long)
            frame = self._typed(records.content)
            assert frame is not None
            assert len(frame) == len(records.lines), "pandas and `quotes` cut differently"
            forms = np.where(records.swallowed, SWALLOWED, FINE).astype(np.uint8)
            lines, upto, rest = line + records.lines, line + records.rest_line, records.rest
        frame.columns = pd.Index([*self.names, _EXTRA])
        extra = frame[_EXTRA].notna().to_numpy()
        forms[extra & (forms == FINE)] = EXTRA
        frame = frame[self.names]
        blank = ~extra & frame.isna().all(axis=1).to_numpy()
        if blank.any():
            frame, lines, forms = frame[~blank], lines[~blank], forms[~blank]
        return Table(frame, lines, forms), rest, upto

    def _typed(self, content: bytes) -> pd.DataFrame | None:
        """By pandas, with times as whole numbers where all are and texts are not asked for; else as texts."""
        if not self._texts_come:
            frame = self._cut(content, False)
            if frame is None or not self.columns.time:
                return frame
            place = self.places[self.names.index(self.columns.time)]
            if frame[place].dtype == np.int64:
                return frame
            self._texts_come = True
        return self._cut(content, True)

    def _cut(self, content: bytes, time_as_text: bool) -> pd.DataFrame | None:
        """The wanted columns, and one more, by place; None where a quote is left open at the end."""
        layout, extra = self.layout, len(self.layout.columns)
        # A first line of our own, with one field more than there are columns, or the parser would not read that field.
        names = [*layout.columns, None]
        first = layout.separator.join("0" if name and name == self.columns.time else "" for name in names) + "\n"
        is_text = [name != self.columns.time or time_as_text for name in self.names]
        types = {place: "category" for place, text in zip(self.places, is_text, strict=True) if text}
        try:
            frame = pd.read_csv(
                io.BytesIO(first.encode() + content),
                sep=layout.separator,
                header=None,
                names=list(range(extra + 1)),
                usecols=[*self.places, extra],
                dtype={**types, extra: "category"},
                index_col=False,
                keep_default_na=False,
                na_values=[""],
                skip_blank_lines=False,
                quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
                encoding="latin-1",  # every byte is a character: ids are decoded, each once, at the end
                low_memory=False,
            )
        except pd.errors.ParserError:
            return None
        return frame.iloc[1:]

    def _plain(self, content: bytes, line: int) -> Block | None:
        """By pyarrow; None where anything is unusual."""
        columns = [str(place) for place in range(len(self.layout.columns))]
        wanted = [str(place) for place in self.places]
        try:
            table = arrow_csv.read_csv(
                pyarrow.BufferReader(content),
                arrow_csv.ReadOptions(column_names=columns, block_size=1 << 24),
                arrow_csv.ParseOptions(delimiter=self.layout.separator, quote_char=False, ignore_empty_lines=False),
                arrow_csv.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, pyarrow.binary())),
            )
        except pyarrow.ArrowInvalid:  # a row with too many or too few fields
            return None
        read = {name: table.column(place) for name, place in zip(self.names, wanted, strict=True)}
        times = self._plain_times(read[self.columns.time]) if self.columns.time else _zeros(len(table))
        if times is None:
            return None
        texts = {name: _encoded(read[name]) for name in self.columns.texts}
        if not self.columns.time and _some_blank(texts):
            return None
        return Block(texts, times, None, line)

    def _plain_times(self, column: Any) -> pd.Series | None:
        """Whole numbers where all are, or texts; None where one is empty."""
        length = compute.binary_length(column)
        if not len(column) or compute.min(length).as_py() == 0:
            return None
        if not self.time_as_text and compute.max(length).as_py() <= _DIGITS:
            text = column.cast(pyarrow.string(), safe=False)
            if compute.all(compute.ascii_is_decimal(text)).as_py():
                return pd.Series(text.cast(pyarrow.int64()).to_numpy())
        values, codes = _encoded(column)
        different = pd.Index([value.decode("latin-1") for value in values])
        return pd.Series(pd.Categorical.from_codes(codes, different))


def _zeros(count: int) -> pd.Series:
    return pd.Series(np.zeros(count, np.int64))


def _some_blank(texts: dict[str, tuple[list[bytes], np.ndarray]]) -> bool:
    """Whether there is a row in which every column is empty."""
    blank = np.logical_and.reduce([codes < 0 for _, codes in texts.values()])
    return bool(blank.any())


def _encoded(column: Any) -> tuple[list[bytes], np.ndarray]:
    """Different values of a pyarrow column, and the place of each row's; -1 for the empty one."""
    coded = column.combine_chunks().dictionary_encode()
    values, codes = coded.dictionary.to_pylist(), coded.indices.to_numpy()
    if b"" in values:
        codes = np.where(codes == values.index(b""), -1, codes)
    return values, codes
