"""Reading interaction logs, of any of the forms in `formats`, into a `Log`.

User and item ids are taken as text, as they are written. Rows that cannot be used (too many fields, an empty id, a
time that is no time) are counted and left out, and are fatal above `DataConfig.max_bad_share`. Empty lines are not
counted. This module knows nothing about cut-offs.
"""

from __future__ import annotations

import csv
import re
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pocketrec.cloud.config import DataConfig
from pocketrec.cloud.data.formats import Layout, reason, sniff
from pocketrec.cloud.data.location import find_log
from pocketrec.cloud.data.log import Labels, Log, ReadReport
from pocketrec.cloud.data.synthetic import generate
from pocketrec.cloud.data.times import parse_times
from pocketrec.device.errors import DataError

SYNTHETIC = "synthetic"
_SHOWN = 5  # bad rows that are named by line
_SKIPPED = re.compile(r"Skipping line (\d+)")


@dataclass(frozen=True)
class _Table:
    """Columns as read, one row for each row of the file that could be cut."""

    frame: pd.DataFrame
    lines: np.ndarray
    """int64 (rows,): line of each row (records, where quoted fields hold line breaks)."""
    skipped: list[int]
    """Lines with too many fields; they are not in `frame`."""


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
        return generate(**config.synthetic)
    path = find_log(config)
    layout = sniff(path, config)
    table = _read_parquet(path) if layout.format == "parquet" else None
    if table is not None:
        layout = Layout("parquet", "", [str(name) for name in table.frame.columns], False, False, False, {})
    user = layout.find(config.user, "data.user", path)
    item = layout.find(config.item, "data.item", path)
    time = layout.find(config.timestamp, "data.timestamp", path)
    label = layout.find(split_column, "split.column", path) if split_column else None
    filters = {layout.find(name, "data.keep", path): values for name, values in config.keep.items()}
    text = {user, item, *filters} | ({label} if label else set())
    if table is None:
        table = _read_text(path, layout, text, time)
    return _make(path, table, config, user, item, time, label, filters)


def _make(
    path: Path,
    table: _Table,
    config: DataConfig,
    user: str,
    item: str,
    time: str,
    label: str | None,
    filters: dict[str, list[str]],
) -> Log:
    frame = table.frame
    times, good = parse_times(frame[time])
    columns = {name: _labels(frame[name]) for name in {user, item, *filters, *([label] if label else [])}}
    for name in (user, item):
        usable = np.fromiter((_usable(value) for value in columns[name].values), bool, len(columns[name].values))
        good &= _at(usable, columns[name].codes)
    rows = len(frame) + len(table.skipped)
    bad = int((~good).sum()) + len(table.skipped)
    bad_lines = sorted([*table.skipped[:_SHOWN], *table.lines[np.flatnonzero(~good)[:_SHOWN]].tolist()])[:_SHOWN]
    if rows and bad > config.max_bad_share * rows:
        raise DataError(
            f"{path}: {bad} of {rows} rows cannot be read (lines {', '.join(map(str, bad_lines))}"
            f"{', ...' if bad > len(bad_lines) else ''}): mend them, check data.format and the columns, "
            "or raise data.max_bad_share"
        )
    kept = good.copy()
    for name, values in filters.items():
        kept &= columns[name].isin([str(value) for value in values])
    chosen = np.flatnonzero(kept)
    if not len(chosen):
        what = "no row passes data.keep: change it" if good.any() else "it has no event: name another log"
        raise DataError(f"{path}: {what}")
    users, items = columns[user].take(chosen), columns[item].take(chosen)
    times = times[chosen]
    if times.dtype.kind == "f" and np.all(np.abs(times) < 2**53) and np.all(times == np.floor(times)):
        times = times.astype(np.int64)
    keys = pd.DataFrame({"user": users.codes, "item": items.codes, "time": times})
    report = ReadReport(str(path), rows, len(chosen), bad, bad_lines, int(good.sum()) - len(chosen),
                        int(keys.duplicated().sum()))  # fmt: skip
    return Log(users, items, times, columns[label].take(chosen) if label else None, report)


def _read_text(path: Path, layout: Layout, text: set[str], time: str) -> _Table:
    wanted = text | {time}
    places = [place for place, name in enumerate(layout.columns) if name in wanted]
    names = [layout.columns[place] for place in places]
    if len(set(names)) != len(names):
        raise DataError(f"{path} has two columns of one name ({', '.join(names)}): rename one")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frame = pd.read_csv(
                path,
                sep=layout.separator,
                header=None,
                names=list(range(len(layout.columns))),
                usecols=places,
                dtype={place: "category" for place, name in zip(places, names, strict=True) if name in text},
                skiprows=1 if layout.header else 0,
                index_col=False,
                keep_default_na=False,
                na_values=[""],
                skip_blank_lines=False,
                on_bad_lines="warn",
                quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
                compression="gzip" if layout.gzip else None,
                encoding="utf-8",
                encoding_errors="surrogateescape",
                low_memory=False,
            )
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} has no event: name another log") from None
    except pd.errors.ParserError as error:
        raise DataError(f"cannot read {path}: {reason(error)}: look for an open quote or mend data.format") from None
    except (OSError, EOFError, UnicodeError, zlib.error, MemoryError) as error:
        raise DataError(f"cannot read {path}: {reason(error)}: mend or replace the file") from None
    frame.columns = pd.Index(names)
    skipped = [int(line) for warning in caught for line in _SKIPPED.findall(str(warning.message))]
    lines = np.arange(1 + layout.header, 1 + layout.header + len(frame) + len(skipped))
    lines = lines[~np.isin(lines, skipped)][: len(frame)]
    blank = frame.isna().all(axis=1).to_numpy()
    return _Table(frame[~blank], lines[~blank], skipped) if blank.any() else _Table(frame, lines, skipped)


def _read_parquet(path: Path) -> _Table:
    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise DataError(f"reading {path} needs pyarrow ({reason(error)}): pip install 'pyarrow<21'") from None
    except Exception as error:  # the engines raise kinds of their own
        raise DataError(f"cannot read {path}: {reason(error)}: mend or replace the file") from None
    return _Table(frame, np.arange(1, len(frame) + 1), [])


def _labels(column: pd.Series) -> Labels:
    """A column as text; empty fields have code -1."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        if column.dtype.kind == "f" and (column.dropna() % 1 == 0).all():
            column = column.astype("Int64")  # whole numbers that have gaps
        column = column.astype("string").astype("category")
    values = np.empty(len(column.cat.categories), dtype=object)
    values[:] = [str(value) for value in column.cat.categories]
    return Labels(values, column.cat.codes.to_numpy().astype(np.int64))


def _usable(value: str) -> bool:
    """Whether a text can be an id: not empty, one line, valid UTF-8."""
    if not value or "\n" in value or "\r" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value) if not value.isascii() else True


def _at(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """`values` at `codes`, False where a code is -1."""
    return np.append(values, False)[codes]
