# SPDX-License-Identifier: Apache-2.0
"""A log's rows as a Spark DataFrame: cut into parts by Spark, understood by the reader of the one-machine path.

This module knows nothing about cut-offs.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, functions, types

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.data.formats import Layout, sniff
from pocketrec.cloud.data.location import find_log
from pocketrec.cloud.data.log import Labels, ReadReport
from pocketrec.cloud.data.packing import GZIP, PLAIN, unpacked
from pocketrec.cloud.data.readers import (
    SHOWN,
    SYNTHETIC,
    Columns,
    no_event,
    parquet_columns,
    parse_rows,
    refuse_bad,
    to_labels,
    usable,
)
from pocketrec.cloud.data.text import BOM
from pocketrec.cloud.data.times import read_texts
from pocketrec.device.base.errors import ConfigError, DataError

_PART = 40  # bits of a row's number that count within its part
_SCHEMA = (
    "source long, ok boolean, kept boolean, user string, item string, label string, category string, "
    "missing boolean, number double, whole long, nanoseconds long"
)
_TEXT_TYPES = (types.StringType, types.ByteType, types.ShortType, types.IntegerType, types.LongType)
_TIME_TYPES = (*_TEXT_TYPES, types.FloatType, types.DoubleType, types.TimestampType, types.TimestampNTZType)


@dataclass(frozen=True)
class Rows:
    """The events of a log, and what reading found."""

    events: DataFrame
    """source (long, ascending in the order of the file), time (long or double), user, item, label, category."""
    report: ReadReport
    """As of `read_log`."""


def read_rows(spark: SparkSession, config: DataConfig, split_column: str | None) -> Rows:
    """Read the log that `config` names. The file must have the same path on every machine of the cluster.

    Raises:
        DataError: as `read_log`; or the file is of a kind that cannot be cut into parts.
        ConfigError: the synthetic log, a format of times, or a log without times was asked for.
    """
    if config.set == SYNTHETIC and not config.path:
        raise ConfigError("the synthetic log is made in memory: use --engine local, or write it to a file first")
    if config.time_format or not config.timestamp:
        raise ConfigError("Spark needs a column of times that are numbers or ISO 8601 dates: use --engine local")
    path = find_log(config).resolve()
    if path.is_dir():
        raise DataError(f"{path} is a folder: name one file for Spark, or use --engine local")
    layout = sniff(path, config, split_column)
    if layout.format == "parquet":
        layout = replace(layout, columns=parquet_columns(path))
    columns = Columns.find(layout, config, split_column, path)
    if layout.format == "parquet":
        lines = _parquet(spark, path, columns)
        parsed = lines.mapInArrow(_numbered(lambda: _ParquetParser(columns)), _SCHEMA)
    else:
        lines = _lines(spark, path, layout)
        parsed = lines.mapInArrow(_numbered(lambda: _TextParser(path, layout, columns)), _SCHEMA)
    return _choose(parsed.persist(), lines, path, config)


def _lines(spark: SparkSession, path: Path, layout: Layout) -> DataFrame:
    if layout.packing not in (PLAIN, GZIP):
        raise DataError(f"{path} is {layout.packing}, and Spark gets text or gzip: unpack it, or use --engine local")
    with unpacked(path, layout.packing) as (_, file):
        head = file.read(1 << 16)
    if b"\r" in head.replace(b"\r\n", b"\n")[:-1]:
        raise DataError(f"{path} ends its lines with CR alone: convert it, or use --engine local")
    if (layout.packing == GZIP) != (path.suffix == ".gz"):
        raise DataError(f"Spark recognises gzip by the file name: give {path} the ending .gz if it is compressed, "
                        "and only then")
    text = spark.read.option("lineSep", "\n").text(path.as_uri())
    return text.select(functions.col("value").cast("binary"), functions.col("_metadata.file_block_start"))


def _parquet(spark: SparkSession, path: Path, columns: Columns) -> DataFrame:
    table = spark.read.parquet(path.as_uri()).select(*(f"`{name}`" for name in sorted(columns.texts | {columns.time})))
    for field in table.schema.fields:
        if not isinstance(field.dataType, _TIME_TYPES if field.name == columns.time else _TEXT_TYPES):
            kind = field.dataType.simpleString()
            raise DataError(f"{path}: column {field.name} is of type {kind}: make it text, or use --engine local")
    return table


def _choose(parsed: DataFrame, lines: DataFrame, path: Path, config: DataConfig) -> Rows:
    """Decide what the times are, count, and keep the events."""
    c = functions.col
    facts = parsed.agg(
        functions.count("*").alias("rows"),
        functions.count_if("missing").alias("missing"),
        functions.count("number").alias("numbers"),
        functions.count("whole").alias("whole"),
        functions.count("nanoseconds").alias("dates"),
        functions.count_if(c("nanoseconds") % 1_000_000_000 != 0).alias("fractions"),
    ).first()
    assert facts is not None  # an aggregate of all rows has one
    if 2 * facts.numbers < facts.rows - facts.missing and facts.dates > facts.numbers:
        time = (
            c("nanoseconds").cast("double") / 1e9 if facts.fractions else functions.expr("nanoseconds div 1000000000")
        )
    elif facts.whole == facts.numbers and (not facts.missing or facts.numbers + facts.missing < facts.rows):
        time = c("whole")
    else:
        time = c("number")
    timed = parsed.withColumn("time", time).withColumn("good", c("ok") & c("time").isNotNull())
    events = timed.filter(c("good") & c("kept"))
    counts = timed.agg(
        functions.count_if(~c("good")).alias("bad"),
        functions.count_if("good").alias("good"),
        functions.count_if(c("good") & c("kept")).alias("events"),
    ).first()
    assert counts is not None
    bad_lines = _bad_lines(timed, lines) if counts.bad else []
    refuse_bad(path, facts.rows, counts.bad, bad_lines, config)
    if not counts.events:
        raise no_event(path, bool(counts.good))
    if dict(events.dtypes)["time"] == "double":
        odd = (
            events.filter((functions.abs("time") >= 2.0**53) | (c("time") != functions.floor("time"))).limit(1).count()
        )
        events = events if odd else events.withColumn("time", c("time").cast("long"))
    events = events.select("source", "time", "user", "item", "label", "category")
    different = events.select("user", "item", "time").distinct().count()
    report = ReadReport(str(path), facts.rows, counts.events, counts.bad, bad_lines, counts.good - counts.events,
                        counts.events - different)  # fmt: skip
    return Rows(events, report)


def _bad_lines(timed: DataFrame, lines: DataFrame) -> list[int]:
    """Line numbers of the first few bad rows."""
    rows = timed.filter(~functions.col("good")).select("source").orderBy("source").limit(SHOWN).collect()
    counts = lines.groupBy(functions.spark_partition_id().alias("part")).count().collect()
    size = {row["part"]: row["count"] for row in counts}
    parts = [(row.source >> _PART, row.source & ((1 << _PART) - 1)) for row in rows]
    return [sum(size.get(before, 0) for before in range(part)) + line for part, line in parts]


@dataclass(frozen=True)
class _Part:
    """Some rows as columns of `_SCHEMA`."""

    lines: np.ndarray
    """int64 (n,): line within the part, from 1."""
    arrays: list[pa.Array]
    """All but `source`."""


def _numbered(make: Callable[[], Any]) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function that Spark calls with the batches of a part."""

    def convert(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        assert context is not None
        begin = context.partitionId() << _PART
        names = [field.split()[0] for field in _SCHEMA.split(", ")]
        for part in make().parts(batches):
            yield pa.RecordBatch.from_arrays([pa.array(begin + part.lines), *part.arrays], names=names)

    return convert


class _TextParser:
    """Lines of text."""

    def __init__(self, path: Path, layout: Layout, columns: Columns) -> None:
        self.path, self.layout, self.columns = path, layout, columns

    def parts(self, batches: Iterator[pa.RecordBatch]) -> Iterator[_Part]:
        """Parse batches of lines; a quoted field may continue in the next batch, but not in the next part."""
        line, waiting, header = 0, b"", -1
        first_part = True
        for batch in batches:
            if not batch.num_rows:
                continue
            lines = batch.column(0).to_pylist()
            if header < 0:
                first_part = batch.column(1)[0].as_py() == 0
                header = self.layout.header if first_part else 0
                if first_part:
                    lines[0] = lines[0].removeprefix(BOM)
            dropped = min(header, len(lines))
            header, line = header - dropped, line + dropped
            waiting += b"".join(entry + b"\n" for entry in lines[dropped:])
            if waiting and not (self.layout.quoted and waiting.count(b'"') % 2):
                part, line = self._parse(waiting, line)
                waiting = b""
                yield part
        if waiting:
            if not (first_part and self.layout.packing == GZIP):
                raise DataError(
                    f"{self.path}: a quote is left open where Spark cuts the file: compress it with gzip (which is "
                    "read in one part), or use --engine local"
                )
            yield self._parse(waiting, line)[0]

    def _parse(self, content: bytes, line: int) -> tuple[_Part, int]:
        """The rows of some whole lines, the first of which is number `line` + 1; and the number of the last."""
        table = parse_rows(self.path, io.BytesIO(content), self.layout, self.columns)
        times = table.frame[self.columns.time]
        if times.dtype != np.int64:
            table = parse_rows(self.path, io.BytesIO(content), self.layout, self.columns, time_as_text=True)
            times = table.frame[self.columns.time]
        labels = {name: to_labels(table.frame[name], True) for name in self.columns.texts}
        part = _Part(table.lines - self.layout.header + line, _arrays(labels, table.cut, times, self.columns))
        return part, line + content.count(b"\n")


class _ParquetParser:
    """Batches of a Parquet file."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    def parts(self, batches: Iterator[pa.RecordBatch]) -> Iterator[_Part]:
        """Convert batches."""
        line = 0
        for batch in batches:
            labels = {
                name: to_labels(batch.column(name).cast(pa.string()).to_pandas().astype("string"), False)
                for name in self.columns.texts
            }
            times = batch.column(self.columns.time)
            series = times.to_pandas()
            if pa.types.is_integer(times.type) and times.null_count:
                series = times.cast(pa.string()).to_pandas().astype("string")  # as text they stay exact
            elif pa.types.is_string(times.type):
                series = series.astype("string")
            lines = np.arange(1, batch.num_rows + 1) + line
            line += batch.num_rows
            yield _Part(lines, _arrays(labels, np.ones(batch.num_rows, bool), series, self.columns))


def _arrays(labels: dict[str, Labels], cut: np.ndarray, times: pd.Series, columns: Columns) -> list[pa.Array]:
    good = {name: usable(labels[name]) for name in (columns.user, columns.item)}
    kept = np.ones(len(cut), bool)
    for name, values in columns.filters.items():
        kept &= labels[name].isin(values)
    return [
        pa.array(cut & good[columns.user] & good[columns.item]),
        pa.array(kept),
        _texts(labels[columns.user], good[columns.user]),
        _texts(labels[columns.item], good[columns.item]),
        *(
            _texts(labels[name], usable(labels[name])) if name else pa.nulls(len(cut), pa.string())
            for name in (columns.label, columns.category)
        ),
        *_times(times),
    ]


def _texts(column: Labels, there: np.ndarray) -> pa.Array:
    codes = pa.array(column.codes, mask=~there)
    values = [value if value.isascii() or max(value) < "\ud800" or _encodable(value) else "" for value in column.values]
    return pa.array(values, pa.string()).take(codes)


def _encodable(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _times(column: pd.Series) -> tuple[pa.Array, pa.Array, pa.Array, pa.Array]:
    """What each time may mean: missing, number, whole number, nanoseconds since 1970 of a date."""
    size = len(column)
    missing = column.isna().to_numpy()
    nothing = pa.nulls(size, pa.int64())
    if column.dtype.kind in "iu":
        whole = pa.array(column.to_numpy(), pa.int64())
        return pa.array(missing), pa.array(column.to_numpy(np.float64)), whole, nothing
    if column.dtype.kind == "f":
        values = column.to_numpy(np.float64)
        return pa.array(missing), pa.array(values, mask=~np.isfinite(values)), nothing, nothing
    if column.dtype.kind == "M" or isinstance(column.dtype, pd.DatetimeTZDtype):
        stamps = pd.to_datetime(column, utc=True)
        first, last = (pd.Timestamp(day, tz="UTC") for day in ("1677-09-22", "2262-04-11"))
        stamps = stamps.where(stamps.between(first, last))
        return pa.array(missing), pa.nulls(size, pa.float64()), nothing, _nanoseconds(stamps)
    read = read_texts(column)
    whole = pa.array(read.numbers, mask=~read.is_number) if read.numbers.dtype.kind == "i" else nothing
    dates = pa.array(read.nanoseconds, mask=~read.is_date) if len(read.nanoseconds) else nothing
    return pa.array(missing), pa.array(read.numbers.astype(np.float64), mask=~read.is_number), whole, dates


def _nanoseconds(dates: pd.Series) -> pa.Array:
    gone = dates.isna().to_numpy()
    return pa.array(np.where(gone, 0, dates.astype("datetime64[ns, UTC]").astype("int64").to_numpy()), mask=gone)
