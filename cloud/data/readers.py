"""Reading interaction logs, of any of the forms in `formats`, into a `Log`.

User and item ids are taken as text, as they are written. Rows that cannot be used (too many fields, an id that is
empty, not UTF-8 or of several lines, a time that is no time) are counted and left out, and are fatal above
`DataConfig.max_bad_share`. Rows in which all columns that are read are empty count as empty lines: not at all. This
module knows nothing about cut-offs.
"""

from __future__ import annotations

import csv
import io
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from pocketrec.cloud.config import DataConfig
from pocketrec.cloud.data.formats import BOM, Layout, open_log, reason, sniff
from pocketrec.cloud.data.location import find_log
from pocketrec.cloud.data.log import Labels, Log, ReadReport
from pocketrec.cloud.data.synthetic import generate
from pocketrec.cloud.data.times import parse_times
from pocketrec.device.errors import ConfigError, DataError

SYNTHETIC = "synthetic"
SHOWN = 5  # bad rows that are named by line
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
    """Columns as read."""

    frame: pd.DataFrame
    lines: np.ndarray
    """int64 (rows,): line of each row (records, where quoted fields hold line breaks)."""
    cut: np.ndarray
    """bool (rows,): whether the row had no more fields than there are columns."""


def read_log(config: DataConfig, split_column: str | None = None) -> Log:
    """Read the log that `config` names.

    Args:
        config: which log, its columns, and what may be wrong with it.
        split_column: column of the log's own split, read into `Log.labels`; None where it is not used.

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
    table = _read_parquet(path, columns) if layout.format == "parquet" else _read_text(path, layout, columns)
    return _make(path, layout, table, config, columns)


def _make(path: Path, layout: Layout, table: Table, config: DataConfig, columns: Columns) -> Log:
    frame = table.frame
    times, good = parse_times(frame[columns.time])
    good &= table.cut
    raw = layout.format != "parquet"
    labels = {name: to_labels(frame[name], raw) for name in columns.texts}
    for name in (columns.user, columns.item):
        good &= usable(labels[name])
    rows, bad = len(frame), int((~good).sum())
    bad_lines: list[int] = table.lines[np.flatnonzero(~good)[:SHOWN]].tolist()
    refuse_bad(path, rows, bad, bad_lines, config)
    kept = good.copy()
    for name, values in columns.filters.items():
        kept &= labels[name].isin(values)
    chosen = np.flatnonzero(kept)
    if not len(chosen):
        raise no_event(path, bool(good.any()))
    users, items = labels[columns.user].take(chosen), labels[columns.item].take(chosen)
    times = times[chosen]
    if times.dtype.kind == "f" and np.all(np.abs(times) < 2**53) and np.all(times == np.floor(times)):
        times = times.astype(np.int64)
    keys = pd.DataFrame({"user": users.codes, "item": items.codes, "time": times})
    report = ReadReport(str(path), rows, len(chosen), bad, bad_lines, int(good.sum()) - len(chosen),
                        int(keys.duplicated().sum()))  # fmt: skip
    label, category = (labels[name].take(chosen) if name else None for name in (columns.label, columns.category))
    return Log(users, items, times, label, report, category)


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


def _read_text(path: Path, layout: Layout, columns: Columns) -> Table:
    try:
        with open_log(path, layout.gzip) as file:
            if file.read(len(BOM)) != BOM:
                file.seek(0)
            for _ in range(layout.header):
                file.readline()
            return parse_rows(path, file, layout, columns)
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise DataError(f"cannot read {path}: {reason(error)}: mend or replace the file") from None


def parse_rows(path: Path, file: BinaryIO, layout: Layout, columns: Columns, *, time_as_text: bool = False) -> Table:
    """Cut the rows of a text format into columns.

    Args:
        path: named in errors.
        file: the rows, without byte-order mark and header.
        layout: how they are cut.
        columns: which are read.
        time_as_text: read times as they are written; else as numbers where all are.

    Returns:
        Categories of texts (every byte a character: `to_labels` decodes them), and the times.

    Raises:
        DataError: two columns of one name, no row, or a quote left open.
        OSError, EOFError, zlib.error, MemoryError: the file cannot be read.
    """
    wanted = columns.texts | {columns.time}
    places = [place for place, name in enumerate(layout.columns) if name in wanted]
    names = [layout.columns[place] for place in places]
    if len(set(names)) != len(names):
        raise DataError(f"{path} has two columns of one name ({', '.join(names)}): rename one")
    as_text = columns.texts | ({columns.time} if time_as_text else set())
    types = {place: "category" for place, name in zip(places, names, strict=True) if name in as_text}
    extra = len(layout.columns)
    # A first line of our own, with one field more than there are columns, or the parser would not read that field.
    first = layout.separator.join("0" if name == columns.time else "" for name in [*layout.columns, ""]) + "\n"
    try:
        frame = pd.read_csv(
            io.BufferedReader(_Prefixed(first.encode(), file)),
            sep=layout.separator,
            header=None,
            names=list(range(extra + 1)),
            usecols=[*places, extra],
            dtype={**types, extra: "category"},
            index_col=False,
            keep_default_na=False,
            na_values=[""],
            skip_blank_lines=False,
            quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
            encoding="latin-1",  # every byte is a character: ids are decoded, each once, in `to_labels`
            low_memory=False,
            float_precision="round_trip",
        )
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} has no event: name another log") from None
    except pd.errors.ParserError as error:
        raise DataError(f"cannot read {path}: {reason(error)}: look for an open quote or mend data.format") from None
    frame.columns = pd.Index([*names, _EXTRA])
    frame = frame.iloc[1:]
    lines = np.arange(len(frame)) + 1 + layout.header
    cut = frame[_EXTRA].isna().to_numpy()
    frame = frame[names]
    blank = cut & frame.isna().all(axis=1).to_numpy()
    return Table(frame[~blank], lines[~blank], cut[~blank]) if blank.any() else Table(frame, lines, cut)


class _Prefixed(io.RawIOBase):
    """Some bytes, then those of a file."""

    def __init__(self, prefix: bytes, file: BinaryIO) -> None:
        self._prefix, self._file = prefix, file

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, as far as one read goes; 0 at the end."""
        part = self._prefix[: len(buffer)] or self._file.read(len(buffer))
        self._prefix = self._prefix[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


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


def _read_parquet(path: Path, columns: Columns) -> Table:
    try:
        frame = pd.read_parquet(path, columns=sorted(columns.texts | {columns.time}))
    except Exception as error:  # the engine raises kinds of its own
        raise DataError(f"cannot read {path}: {reason(error)}: mend or replace the file") from None
    return Table(frame, np.arange(1, len(frame) + 1), np.ones(len(frame), bool))


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
    values[:] = [_decode(value) for value in texts] if raw else texts
    return Labels(values, column.cat.codes.to_numpy().astype(np.int64))


def _decode(raw: str) -> str:
    if raw.isascii():
        return raw
    try:
        return raw.encode("latin-1").decode("utf-8")
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
