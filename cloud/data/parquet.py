# SPDX-License-Identifier: Apache-2.0
"""Logs in Parquet: one file, or a folder of part files, whose ``key=value`` folders are columns (as Hive writes them).

Values are taken as the file's types say: whole numbers exactly, whatever stands beside them; what is not an id or time
(lists, structures, doubles that can no longer be exact) is refused by name. This module does not look at what an id
may be.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import numpy as np
import pandas as pd

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.data.blocks import Columns
from pocketrec.cloud.data.labels import Coder
from pocketrec.cloud.data.location import part_files
from pocketrec.cloud.data.log import Labels
from pocketrec.cloud.data.packing import reason
from pocketrec.cloud.data.times import (
    DATE,
    EMPTY,
    EXAMPLES,
    NO_SUCH_DATE,
    NOT_FINITE,
    NUMBER,
    TextTimes,
    Times,
    join_times,
    read_texts,
)
from pocketrec.device.base.errors import DataError

_NULL_KEY: Final = "__HIVE_DEFAULT_PARTITION__"
_ROWS = 1 << 20  # of a batch
_EXACT = 2**53  # whole numbers up to here are exact as doubles
_UNITS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_FIRST, _LAST = -9_223_286_400, 9_223_286_400  # seconds of 1677-09-22 and 2262-04-11, as dates in text have them


@dataclass(frozen=True)
class ParquetLog:
    """The wanted columns of a log."""

    texts: dict[str, Labels]
    times: Times
    files: int
    """Number of part files."""


def parquet_columns(path: Path) -> list[str]:
    """Names of the columns, those of the folders' keys included.

    Raises:
        DataError: pyarrow is missing, or a file cannot be read.
    """
    files = part_files(path)
    names = [str(name) for name in _schema(files[0]).names]
    return names + [key for key in _keys(path, files[0]) if key not in names]


def read_parquet(path: Path, columns: Columns, time_format: str, progress: Progress = no_progress) -> ParquetLog:
    """Read the wanted columns.

    Raises:
        DataError: a file cannot be read, or a column is of a type that is not.
        ConfigError: `time_format` is not a format.
    """
    files = part_files(path)
    sizes = [file.stat().st_size for file in files]
    coders = {name: Coder() for name in columns.texts}
    codes: dict[str, list[np.ndarray]] = {name: [np.zeros(0, np.int32)] for name in columns.texts}
    times: list[TextTimes] = []
    done = 0
    for file, size in zip(files, sizes, strict=True):
        for batch, rows in _batches(path, file, columns):
            for name in columns.texts:
                values, places = _encoded(file, name, batch[name])
                codes[name].append(coders[name].codes(values)[places])
            timed = bool(columns.time)
            times.append(_times(file, columns.time, batch[columns.time], time_format) if timed else _untimed(rows))
        done += size
        progress(done, sum(sizes))
    labels = {name: coders[name].labels(np.concatenate(codes.pop(name))) for name in columns.texts}
    return ParquetLog(labels, join_times(times), len(files))


def _schema(file: Path) -> Any:
    try:
        from pyarrow import parquet

        return parquet.read_schema(file)
    except ImportError as error:
        raise DataError(f"reading {file} needs pyarrow ({reason(error)}): pip install 'pyarrow<21'") from None
    except Exception as error:  # the engine raises kinds of its own
        raise DataError(f"cannot read {file}: {reason(error)}: repair or replace the file") from None


def _keys(path: Path, file: Path) -> dict[str, str | None]:
    """The ``key=value`` folders between a log's folder and a part file."""
    if file == path:
        return {}
    pairs = [part.partition("=") for part in file.relative_to(path).parts[:-1]]
    return {unquote(key): None if value == _NULL_KEY else unquote(value) for key, equals, value in pairs if equals}


def _batches(path: Path, file: Path, columns: Columns) -> Any:
    """Of each batch of a file: its columns by name, and its number of rows."""
    import pyarrow
    from pyarrow import parquet

    wanted = sorted(columns.texts | {columns.time} - {""})
    there, keys = _schema(file).names, _keys(path, file)
    inside = [name for name in wanted if name in there]
    missing = [name for name in wanted if name not in there and name not in keys]
    if missing:
        raise DataError(f"{file} has no column {missing[0]!r}, which other files of {path} have: repair or remove it")
    twice = [name for name in inside if there.count(name) > 1]
    if twice:
        raise DataError(f"{file} has two columns of one name ({twice[0]}): rename one")
    try:
        with parquet.ParquetFile(file) as opened:
            for batch in opened.iter_batches(_ROWS, columns=inside, use_threads=False):
                found = {name: batch.column(name) for name in inside}
                for name in wanted:
                    if name not in found:
                        found[name] = pyarrow.array([keys[name]] * batch.num_rows, pyarrow.string())
                yield found, batch.num_rows
    except DataError:
        raise
    except Exception as error:  # the engine raises kinds of its own
        raise DataError(f"cannot read {file}: {reason(error)}: repair or replace the file") from None


def _encoded(file: Path, name: str, column: Any) -> tuple[list[bytes], np.ndarray]:
    """Different values as bytes, and the place of each row's; -1 where there is none."""
    import pyarrow
    from pyarrow import compute

    column = _as_bytes(file, name, column)
    coded = column.dictionary_encode()
    values: Sequence[bytes] = coded.dictionary.to_pylist()
    codes = compute.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
    if b"" in values:
        codes = np.where(codes == values.index(b""), -1, codes)
    assert isinstance(column, pyarrow.Array)
    return list(values), codes


def _as_bytes(file: Path, name: str, column: Any) -> Any:
    """A column of ids as binary values; whole numbers in decimal digits."""
    import pyarrow

    types = pyarrow.types
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        raise DataError(f"{file}: column {name} holds lists: give the file one row for each event")
    if types.is_floating(kind):
        column, kind = _whole(file, name, column)
    if types.is_boolean(kind):
        texts = [None if value is None else str(value) for value in column.to_pylist()]
        column = pyarrow.array(texts, pyarrow.string())
    elif types.is_null(kind):
        column = column.cast(pyarrow.string())
    elif types.is_fixed_size_binary(kind) or types.is_large_binary(kind):
        return column.cast(pyarrow.binary())
    elif types.is_binary(kind):
        return column
    elif types.is_integer(kind) or types.is_decimal(kind) or types.is_date(kind) or types.is_timestamp(kind):
        column = column.cast(pyarrow.string())
    elif not (types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view"):
        raise DataError(f"{file}: column {name} is of type {kind}, which cannot be an id: make it text or int64")
    return column.cast(pyarrow.string()).cast(pyarrow.binary())


def _whole(file: Path, name: str, column: Any) -> tuple[Any, Any]:
    """Numbers with a point: as whole numbers where all are; NaN is not a value."""
    import pyarrow

    values = column.cast(pyarrow.float64()).to_numpy(zero_copy_only=False)
    there = np.isfinite(values)
    if (np.abs(values[there]) >= _EXACT).any():
        raise DataError(
            f"{file}: column {name} is of type {column.type} and holds numbers above 2^53, which are no longer exact: "
            "write it as whole numbers (int64) or text"
        )
    if (values[there] % 1 == 0).all():
        whole = pyarrow.array(np.where(there, values, 0).astype(np.int64), mask=np.isnan(values))
        if not np.isinf(values).any():
            return whole, whole.type
    texts = [None if np.isnan(value) else repr(float(value)) for value in values.tolist()]
    return pyarrow.array(texts, pyarrow.string()), pyarrow.string()


def _times(file: Path, name: str, column: Any, time_format: str) -> TextTimes:
    """A column of times as numbers, or as nanoseconds of dates."""
    import pyarrow

    types = pyarrow.types
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind) or types.is_binary(kind):
        raw = column.cast(pyarrow.binary()) if not types.is_null(kind) else column.cast(pyarrow.string())
        texts = [value.decode("latin-1") if isinstance(value, bytes) else value for value in raw.to_pylist()]
        return read_texts(pd.Series(texts, dtype="string"), time_format)
    there = np.asarray(column.is_valid())
    if types.is_decimal(kind):
        column = column.cast(pyarrow.int64() if kind.scale == 0 and kind.precision <= 18 else pyarrow.float64())
        kind = column.type
    if time_format and types.is_integer(kind):
        return read_texts(pd.Series(column.cast(pyarrow.string()).to_pylist(), dtype="string"), time_format)
    if types.is_timestamp(kind) or types.is_date(kind):
        return _dates(column, there)
    if types.is_integer(kind):
        numbers: np.ndarray = column.fill_null(0).to_numpy(zero_copy_only=False)
        numbers = numbers.astype(np.float64 if numbers.dtype.kind == "u" and (numbers >= 2**63).any() else np.int64)
        return TextTimes(numbers, _kinds(there, NUMBER), np.zeros(0, np.int64))
    if types.is_floating(kind):
        numbers = column.cast(pyarrow.float64()).to_numpy(zero_copy_only=False)
        finite = np.isfinite(numbers)
        kinds = np.where(finite, NUMBER, np.where(np.isnan(numbers), EMPTY, NOT_FINITE)).astype(np.uint8)
        return TextTimes(np.where(finite, numbers, 0.0), kinds, np.zeros(0, np.int64))
    raise DataError(f"{file}: column {name} is of type {kind}, which cannot be a time: make it a number or a timestamp")


def _dates(column: Any, there: np.ndarray) -> TextTimes:
    """Timestamps and dates; those that nanoseconds cannot hold are none."""
    import pyarrow

    if pyarrow.types.is_date(column.type):
        column = column.cast(pyarrow.timestamp("s" if column.type == pyarrow.date32() else "ms"))
    unit = _UNITS[column.type.unit]
    values = column.cast(pyarrow.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    inside = (values >= _FIRST * unit) & (values <= _LAST * unit)
    kinds = np.where(there, np.where(inside, DATE, NO_SUCH_DATE), EMPTY).astype(np.uint8)
    outside = np.flatnonzero(kinds == NO_SUCH_DATE)[:EXAMPLES].tolist()
    examples = {row: _moment(int(values[row]) // unit) for row in outside}
    stamps = np.where(kinds == DATE, values, 0) * (10**9 // unit)
    return TextTimes(np.zeros(len(values), np.int64), kinds, stamps, examples)


def _moment(seconds: int) -> str:
    """A time that nanoseconds cannot hold, as people read it."""
    try:
        return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        return f"{seconds} s since 1970"


def _kinds(there: np.ndarray, kind: int) -> np.ndarray | None:
    return None if there.all() else np.where(there, kind, EMPTY).astype(np.uint8)


def _untimed(rows: int) -> TextTimes:
    return TextTimes(np.zeros(rows, np.int64), None, np.zeros(0, np.int64))
