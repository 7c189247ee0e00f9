"""Reading interaction logs, of any of the forms in `formats`, into a `Log`.

User and item ids are taken as text, as they are written. Rows that cannot be used (too many fields, an id that is
empty, not UTF-8 or of several lines, a time that is no time) are counted and left out, and are fatal above
`DataConfig.max_bad_share`. Rows in which all columns that are read are empty count as empty lines: not at all. Text is
read in blocks, and every id is held once: memory is that of the events as numbers (about 24 bytes each) and of the
different ids. This module knows nothing about cut-offs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path

import numpy as np
import pandas as pd

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.data.blocks import BLOCK_BYTES, Block, Columns, parse_rows, read_blocks
from pocketrec.cloud.data.formats import Layout, reason, sniff
from pocketrec.cloud.data.location import find_log
from pocketrec.cloud.data.log import Labels, Log, ReadReport
from pocketrec.cloud.data.synthetic import generate
from pocketrec.cloud.data.times import TextTimes, is_numeric, join_numbers, join_texts, parse_times, read_texts
from pocketrec.device.base.errors import ConfigError, DataError

__all__ = ["SHOWN", "SYNTHETIC", "Columns", "count_duplicates", "no_event", "parquet_columns", "parse_rows", "read_log",
           "refuse_bad", "to_labels", "usable"]  # fmt: skip

SYNTHETIC = "synthetic"
SHOWN = 5  # bad rows that are named by line


@dataclass(frozen=True)
class _Read:
    """A whole log as read."""

    texts: dict[str, Labels]
    """Each text column; -1 where it is empty. Texts that are not UTF-8 are empty in `values`."""
    times: np.ndarray
    """int64 or float64 (rows,)."""
    good: np.ndarray
    """bool (rows,): whether the row had no more fields than there are columns, and a time."""
    lines: _Lines


@dataclass
class _Lines:
    """Which line of the file a row is from."""

    starts: list[int] = field(default_factory=list)
    """Row that each block begins with."""
    blocks: list[np.ndarray | int] = field(default_factory=list)
    """`Block.lines`."""

    def of(self, rows: np.ndarray) -> list[int]:
        """Line of each of some rows."""
        found = []
        for row in rows.tolist():
            block = int(np.searchsorted(self.starts, row, "right")) - 1
            lines, place = self.blocks[block], row - self.starts[block]
            found.append(int(lines) + place if isinstance(lines, int) else int(lines[place]))
        return found


def read_log(
    config: DataConfig,
    split_column: str | None = None,
    *,
    block_bytes: int = BLOCK_BYTES,
    progress: Progress = no_progress,
) -> Log:
    """Read the log that `config` names.

    Args:
        config: which log, its columns, and what may be wrong with it.
        split_column: column of the log's own split, read into `Log.labels`; None where it is not used.
        block_bytes: bytes of text held at a time; does not change the log.
        progress: called with the bytes of the file that are read.

    Raises:
        DataError: there is no such log, it cannot be read, a column is missing, it has no event, or too many bad rows.
        ConfigError: the format or an argument of the synthetic generator is unknown.
    """
    if config.set == SYNTHETIC and not config.path:
        if config.category not in ("", "category"):
            raise ConfigError(f"the synthetic log has no column {config.category!r}: set data.category to category")
        log = generate(**config.synthetic)
        return log if config.category else replace(log, categories=None)
    path = find_log(config)
    layout = sniff(path, config)
    if layout.format == "parquet":
        layout = replace(layout, columns=parquet_columns(path))
    columns = Columns.find(layout, config, split_column, path)
    if layout.format == "parquet":
        return _make(path, columns, _read_parquet(path, columns), config)
    return _make(path, columns, _read_text(path, layout, columns, block_bytes, progress), config)


def _make(path: Path, columns: Columns, read: _Read, config: DataConfig) -> Log:
    texts, times, good = read.texts, read.times, read.good
    for name in (columns.user, columns.item):
        good &= usable(texts[name])
    rows, bad = len(good), int((~good).sum())
    bad_lines = read.lines.of(np.flatnonzero(~good)[:SHOWN]) if bad else []
    refuse_bad(path, rows, bad, bad_lines, config)
    kept = good.copy()
    for name, values in columns.filters.items():
        kept &= texts[name].isin(values)
    events = int(kept.sum())
    if not events:
        raise no_event(path, bool(good.any()))
    if events < rows:
        times = times[kept]
        wanted = (columns.user, columns.item, columns.label, columns.category)
        texts = {name: column.take(kept) for name, column in texts.items() if name in wanted}
    users, items = texts[columns.user], texts[columns.item]
    if times.dtype.kind == "f" and np.all(np.abs(times) < 2**53) and np.all(times == np.floor(times)):
        times = times.astype(np.int64)
    report = ReadReport(str(path), rows, events, bad, bad_lines, int(good.sum()) - events,
                        count_duplicates(users.codes, items.codes, times))  # fmt: skip
    labels, categories = (texts[name] if name else None for name in (columns.label, columns.category))
    return Log(users, items, times, labels, report, categories)


def refuse_bad(path: Path, rows: int, bad: int, bad_lines: list[int], config: DataConfig) -> None:
    """Refuse a log with too many bad rows.

    Raises:
        DataError: the share is above `DataConfig.max_bad_share`.
    """
    if rows and bad > config.max_bad_share * rows:
        raise DataError(
            f"{path}: {bad} of {rows} rows cannot be read (lines {', '.join(map(str, bad_lines))}"
            f"{', ...' if bad > len(bad_lines) else ''}): mend them, check data.format and the columns, "
            "or raise data.max_bad_share"
        )


def no_event(path: Path, good: bool) -> DataError:
    """The error for a log of which no row is left; `good`: there are rows that can be read."""
    what = "no row passes data.keep: change it" if good else "it has no event: name another log"
    return DataError(f"{path}: {what}")


def count_duplicates(users: np.ndarray, items: np.ndarray, times: np.ndarray) -> int:
    """Number of events with the user, item and time of an earlier one; codes are not negative."""
    spans = [int(users.max()) + 1, int(items.max()) + 1]
    span = int(times.max()) - int(times.min()) + 1 if times.dtype.kind == "i" else 2**63
    if spans[0] * spans[1] * span >= 2**63:  # one number cannot hold all three
        return int(pd.DataFrame({"user": users, "item": items, "time": times}).duplicated().sum())
    keys = times - times.min()
    keys *= spans[0]
    keys += users
    keys *= spans[1]
    keys += items
    keys.sort()
    return int((keys[1:] == keys[:-1]).sum())


class _TextTimes(Exception):  # noqa: N818 (no error: a turn of the reading)
    """A block of times is not of numbers: the column is text, from its beginning."""


def _read_text(path: Path, layout: Layout, columns: Columns, block_bytes: int, progress: Progress) -> _Read:
    for text_times in (False, True):
        blocks = read_blocks(path, layout, columns, time_as_text=text_times, block_bytes=block_bytes, progress=progress)
        try:
            return _join(blocks, columns.texts, text_times)
        except _TextTimes:
            continue
    raise AssertionError  # texts are never refused


def _join(blocks: Iterable[Block], text: set[str], text_times: bool) -> _Read:
    coders = {name: _Coder() for name in text}
    codes: dict[str, list[np.ndarray]] = {name: [] for name in text}
    times: list[pd.Series] = []
    understood: list[TextTimes] = []
    cut: list[np.ndarray] = []
    lines, rows = _Lines(), 0
    for block in blocks:
        if not len(block):
            continue
        if text_times:
            understood.append(read_texts(block.times))
        elif is_numeric(block.times):
            times.append(block.times)
        else:
            raise _TextTimes
        for name, (values, places) in block.texts.items():
            codes[name].append(coders[name].codes(values)[places])
        cut.append(block.cut)
        lines.starts.append(rows)
        lines.blocks.append(block.lines)
        rows += len(block)
    if not rows:
        return _Read({name: Labels(np.zeros(0, object), np.zeros(0, np.int32)) for name in text},
                     np.zeros(0, np.int64), np.zeros(0, bool), lines)  # fmt: skip
    joined, good = join_texts(understood) if text_times else join_numbers(times)
    times.clear()
    good &= np.concatenate(cut)
    labels = {name: Labels(coders[name].values(), np.concatenate(codes.pop(name))) for name in text}
    return _Read(labels, joined, good, lines)


class _Coder:
    """Numbers different texts in the order in which they come."""

    def __init__(self) -> None:
        self._codes: defaultdict[bytes, int] = defaultdict(count().__next__)

    def codes(self, values: list[bytes]) -> np.ndarray:
        """int32 (len(values) + 1,): the number of each; the last, for place -1, is -1."""
        numbers = self._codes
        return np.fromiter(chain(map(numbers.__getitem__, values), [-1]), np.int32, len(values) + 1)

    def values(self) -> np.ndarray:
        """object (V,): the texts by number; empty where they are not UTF-8."""
        values = np.empty(len(self._codes), dtype=object)
        values[:] = [_decode(value) for value in self._codes]
        return values


def parquet_columns(path: Path) -> list[str]:
    """Names of the columns.

    Raises:
        DataError: pyarrow is missing, or the file cannot be read.
    """
    try:
        from pyarrow import parquet

        return [str(name) for name in parquet.read_schema(path).names]
    except ImportError as error:
        raise DataError(f"reading {path} needs pyarrow ({reason(error)}): pip install 'pyarrow<21'") from None
    except Exception as error:  # the engine raises kinds of its own
        raise DataError(f"cannot read {path}: {reason(error)}: mend or replace the file") from None


def _read_parquet(path: Path, columns: Columns) -> _Read:
    try:
        frame = pd.read_parquet(path, columns=sorted(columns.texts | {columns.time}))
    except Exception as error:  # the engine raises kinds of its own
        raise DataError(f"cannot read {path}: {reason(error)}: mend or replace the file") from None
    times, good = parse_times(frame[columns.time])
    return _Read({name: to_labels(frame[name], False) for name in columns.texts}, times, good, _Lines([0], [1]))


def to_labels(column: pd.Series, raw: bool) -> Labels:
    """A column as text; empty fields have code -1, and texts that are not UTF-8 are empty in `values`.

    Args:
        column: the texts (or, from Parquet, any values).
        raw: the texts hold bytes as characters, as `parse_rows` gives them.
    """
    if not isinstance(column.dtype, pd.CategoricalDtype):
        if column.dtype.kind == "f" and (column.dropna() % 1 == 0).all():
            column = column.astype("Int64")  # whole numbers that have gaps
        column = column.astype("string").astype("category")
    texts = [str(value) for value in column.cat.categories]
    values = np.empty(len(texts), dtype=object)
    values[:] = [_decode(value.encode("latin-1")) for value in texts] if raw else texts
    return Labels(values, column.cat.codes.to_numpy().astype(np.int32))


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return ""


def usable(column: Labels) -> np.ndarray:
    """bool (n,): which texts can be an id."""
    good = np.fromiter((_usable(value) for value in column.values), bool, len(column.values))
    return np.append(good, False)[column.codes]


def _usable(value: str) -> bool:
    """Whether a text can be an id: not empty, one line, encodable."""
    if value.isascii():
        return bool(value) and "\n" not in value and "\r" not in value
    return not any(character in "\n\r" or "\ud800" <= character <= "\udfff" for character in value)
