"""A text log in blocks of whole lines, each cut into columns.

Two parsers give the same columns. pyarrow, where it is installed, takes the blocks in which nothing is unusual (every
row has every field, times are plain whole numbers, no quotes); pandas takes the others, and all that follows where a
quoted field could reach into the next block. So memory is that of a block whatever the size of the file, and what is
read does not depend on where the blocks end. This module does not look at ids.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.data.formats import BOM, Layout, reason, unpacked
from pocketrec.device.base.errors import DataError

try:
    import pyarrow
    from pyarrow import compute
    from pyarrow import csv as arrow_csv
except ImportError:  # an extra: pandas alone gives the same, in five times the time
    pyarrow = None

BLOCK_BYTES = 1 << 26
_ROWS = 1 << 20  # of a chunk that pandas reads
_DIGITS = 18  # of a whole number that surely fits int64
_EXTRA = "fields too many"  # name of the column that catches them


@dataclass(frozen=True)
class Columns:
    """Which columns of a file are read."""

    user: str
    item: str
    time: str
    label: str | None
    """The log's own split."""
    category: str | None
    filters: dict[str, list[str]]
    """Column -> values that are kept."""

    @property
    def texts(self) -> set[str]:
        """All but the time."""
        return {self.user, self.item, *self.filters} | {name for name in (self.label, self.category) if name}

    @staticmethod
    def find(layout: Layout, config: DataConfig, split_column: str | None, path: Path) -> Columns:
        """The columns that a configuration names.

        Raises:
            DataError: there is no such column.
        """
        return Columns(
            layout.find(config.user, "data.user", path),
            layout.find(config.item, "data.item", path),
            layout.find(config.timestamp, "data.timestamp", path),
            layout.find(split_column, "split.column", path) if split_column else None,
            layout.find(config.category, "data.category", path) if config.category else None,
            {
                layout.find(name, "data.keep", path): [str(value) for value in values]
                for name, values in config.keep.items()
            },
        )


@dataclass(frozen=True)
class Table:
    """Rows as pandas cuts them."""

    frame: pd.DataFrame
    """The columns that are read, by name; texts are categories in which every byte is a character."""
    lines: np.ndarray
    """int64 (rows,): line of each row (records, where quoted fields hold line breaks)."""
    cut: np.ndarray
    """bool (rows,): whether the row had no more fields than there are columns."""


@dataclass(frozen=True)
class Block:
    """Some rows, in the order of the file; those in which every column is empty are left out."""

    texts: dict[str, tuple[list[bytes], np.ndarray]]
    """Of each text column: its different values, and the place of each row's, int (rows,), -1 where it is empty."""
    times: pd.Series
    """Of any dtype; where texts were asked for, whole numbers or categories of texts."""
    cut: np.ndarray
    """bool (rows,): whether the row had no more fields than there are columns."""
    lines: np.ndarray | int
    """Line of each row, int64 (rows,), or of the first where all follow each other (records, where quoted fields hold
    line breaks); the first line of the file is 1."""

    def __len__(self) -> int:
        return len(self.cut)


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
        time_as_text: give times as texts, and not as what they look like in each block.
        block_bytes: bytes of a block.
        progress: called with the bytes of the file, as it lies, that are done.

    Raises:
        DataError: the file cannot be read, or has two columns of one name.
    """
    parser = _Parser(path, layout, columns, time_as_text)
    total, line = path.stat().st_size, 1 + layout.header
    try:
        with open(path, "rb") as raw, unpacked(raw, layout.gzip) as file:
            if file.read(len(BOM)) != BOM:
                file.seek(0)
            for _ in range(layout.header):
                file.readline()
            rest = b""
            while part := file.read(block_bytes):
                content, end, rest = (rest + part).rpartition(b"\n")
                content += end
                if not end or (layout.quoted and b'"' in content):  # a field may go on in the next block
                    rest = content + rest
                    break
                block, line = parser.parse(content, line)
                yield block
                progress(raw.tell(), total)
            for block in parser.parse_stream(_Prefixed(rest, file), line):
                yield block
                progress(raw.tell(), total)
    except pd.errors.ParserError as error:
        raise _open_quote(path, error) from None
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise DataError(f"cannot read {path}: {reason(error)}: mend or replace the file") from None


def parse_rows(path: Path, file: Any, layout: Layout, columns: Columns, *, time_as_text: bool = False) -> Table:
    """Cut the rows of a text format into columns, all at once, by pandas.

    Args:
        path: named in errors.
        file: the rows, without byte-order mark and header.
        layout: how they are cut.
        columns: which are read.
        time_as_text: read times as they are written; else as numbers where all are.

    Raises:
        DataError: two columns of one name, or a quote left open.
        OSError, EOFError, zlib.error, MemoryError: the file cannot be read.
    """
    try:
        (table,) = _Parser(path, layout, columns, time_as_text).tables(file, 1 + layout.header, None)
        return table
    except pd.errors.ParserError as error:
        raise _open_quote(path, error) from None


def _open_quote(path: Path, error: Exception) -> DataError:
    return DataError(f"cannot read {path}: {reason(error)}: look for an open quote or mend data.format")


class _Parser:
    """Cuts bytes into the columns that are wanted."""

    def __init__(self, path: Path, layout: Layout, columns: Columns, time_as_text: bool) -> None:
        self.layout, self.columns, self.time_as_text = layout, columns, time_as_text
        wanted = columns.texts | {columns.time}
        self.places = [place for place, name in enumerate(layout.columns) if name in wanted]
        self.names = [layout.columns[place] for place in self.places]
        if len(set(self.names)) != len(self.names):
            raise DataError(f"{path} has two columns of one name ({', '.join(self.names)}): rename one")

    def parse(self, content: bytes, line: int) -> tuple[Block, int]:
        """Cut a block of whole lines whose first is `line`; also the line after it."""
        block = self._plain(content, line) if pyarrow is not None else None
        if block is not None:
            return block, line + len(block)
        (block,) = self.parse_stream(io.BytesIO(content), line, rows=None)
        return block, line + content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")

    def _plain(self, content: bytes, line: int) -> Block | None:
        """By pyarrow; None where anything is unusual."""
        if b"\r" in content:
            content = content.replace(b"\r\n", b"\n")
        if b"\r" in content or b"\0" in content:
            return None
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
        times = self._plain_times(read[self.columns.time])
        if times is None:
            return None
        texts = {name: _encoded(read[name]) for name in self.columns.texts}
        return Block(texts, times, np.ones(len(table), bool), line)

    def _plain_times(self, column: Any) -> pd.Series | None:
        """Whole numbers, or texts where they are asked for; None where there is anything else."""
        length = compute.binary_length(column)
        if not len(column) or compute.min(length).as_py() == 0:
            return None
        if compute.max(length).as_py() <= _DIGITS:
            text = column.cast(pyarrow.string(), safe=False)
            if compute.all(compute.ascii_is_decimal(text)).as_py():
                return pd.Series(text.cast(pyarrow.int64()).to_numpy())
        if not self.time_as_text:
            return None
        values, codes = _encoded(column)
        different = pd.Index([value.decode("latin-1") for value in values])
        return pd.Series(pd.Categorical.from_codes(codes, different))

    def parse_stream(self, file: Any, line: int, rows: int | None = _ROWS) -> Iterator[Block]:
        """By pandas, `rows` rows at a time (None = all at once)."""
        for table in self.tables(file, line, rows):
            texts = {}
            for name in self.columns.texts:
                column = table.frame[name].cat
                texts[name] = [str(value).encode("latin-1") for value in column.categories], column.codes.to_numpy()
            lines = table.lines
            follow = len(lines) and lines[-1] - lines[0] == len(lines) - 1
            yield Block(texts, table.frame[self.columns.time], table.cut, int(lines[0]) if follow else lines)

    def tables(self, file: Any, line: int, rows: int | None) -> Iterator[Table]:
        """The same, not yet encoded; at least one, which may be empty."""
        layout, extra = self.layout, len(self.layout.columns)
        # A first line of our own, with one field more than there are columns, or the parser would not read that field.
        first = layout.separator.join("0" if name == self.columns.time else "" for name in [*layout.columns, ""]) + "\n"
        is_text = [name != self.columns.time or self.time_as_text for name in self.names]
        types = {place: "category" for place, text in zip(self.places, is_text, strict=True) if text}
        frames = pd.read_csv(
            io.BufferedReader(_Prefixed(first.encode(), file)),
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
            float_precision="round_trip",
            iterator=True,
        )
        with frames:
            begun = False
            while True:
                try:
                    frame = frames.read(rows)
                except StopIteration:
                    return
                yield self._table(frame if begun else frame.iloc[1:], line)
                line += len(frame) if begun else len(frame) - 1
                begun = True

    def _table(self, frame: pd.DataFrame, line: int) -> Table:
        frame.columns = pd.Index([*self.names, _EXTRA])
        cut = frame[_EXTRA].isna().to_numpy()
        frame = frame[self.names]
        blank = cut & frame.isna().all(axis=1).to_numpy()
        lines = np.arange(len(frame)) + line
        return Table(frame[~blank], lines[~blank], cut[~blank]) if blank.any() else Table(frame, lines, cut)


def _encoded(column: Any) -> tuple[list[bytes], np.ndarray]:
    """Different values of a pyarrow column, and the place of each row's; -1 for the empty one."""
    coded = column.combine_chunks().dictionary_encode()
    values, codes = coded.dictionary.to_pylist(), coded.indices.to_numpy()
    if b"" in values:
        codes = np.where(codes == values.index(b""), -1, codes)
    return values, codes


class _Prefixed(io.RawIOBase):
    """Some bytes, then those of a file."""

    def __init__(self, prefix: bytes, file: Any) -> None:
        self._prefix, self._file = memoryview(prefix), file

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, as far as one read goes; 0 at the end."""
        part = self._prefix[: len(buffer)] or self._file.read(len(buffer))
        self._prefix = self._prefix[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)
