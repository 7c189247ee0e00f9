# SPDX-License-Identifier: Apache-2.0
"""Stage `prepare` on Spark: the split of `pocketrec.cloud.data.split`, said in joins, groups and sorts.

What grows with the number of events stays on the cluster until it is sorted; the driver holds one entry for each
different item and, at the end, the arrays that it writes. This module knows nothing about how a log is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute
from pyspark.sql import DataFrame, SparkSession, Window, functions

from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.data.categories import Categories, build_categories
from pocketrec.cloud.data.checks import check_usable
from pocketrec.cloud.data.cuts import TINY, quantile_place
from pocketrec.cloud.data.prepared import write_prepared
from pocketrec.cloud.data.sequences import Sequences, offsets_of
from pocketrec.cloud.data.split import Prepared, Unknown, assemble, check_sides
from pocketrec.cloud.data.splits.time import parse_cut_off
from pocketrec.cloud.data.vocabulary import Vocabulary
from pocketrec.cloud.spark.rows import read_rows
from pocketrec.device.base.errors import ConfigError, DataError

_SLACK = 1e-3  # share of the events on each side of the cut-off among which it is counted out


def prepare(spark: SparkSession, config: RunConfig, folder: str | Path) -> Prepared:
    """`pocketrec.cloud.data.prepared.prepare` on Spark; writes the same bytes.

    Raises:
        DataError: the log is missing, unreadable, or cannot be split as asked.
        ConfigError: the configuration does not fit the log.
        StorageError: a file cannot be written.
    """
    rows = read_rows(spark, config.data, config.split.column if config.split.kind == "column" else None)
    prepared = _split(spark, rows.events, config)
    check_usable(prepared)
    write_prepared(prepared, rows.report, folder)
    return prepared


def _split(spark: SparkSession, events: DataFrame, config: RunConfig) -> Prepared:
    c = functions.col
    early, cut_off = _early(events, config.split)
    events = early.persist()
    facts = events.agg(
        functions.count_if("early"), functions.count_if(~c("early")), functions.min("time"), functions.max("time")
    ).first()
    assert facts is not None  # an aggregate of all rows has one
    check_sides(facts[0], facts[1], cut_off, facts[2], facts[3])
    items = events.groupBy("item").agg(
        functions.count_if("early").alias("before"),
        functions.count_if(~c("early")).alias("after"),
        functions.min(functions.when(c("early"), c("time"))).alias("first"),
    )
    items = items.persist()
    least = max(config.data.min_item_count, 1)
    chosen = items.filter(c("before") >= least).orderBy(c("before").desc(), "first", "item").toArrow()  # code points
    unknown = items.filter(c("before") < least).agg(
        functions.coalesce(functions.sum("before"), functions.lit(0)),
        functions.coalesce(functions.sum("after"), functions.lit(0)),
        functions.count_if(c("after") > 0),
    )
    unknown_counts = unknown.first()
    assert unknown_counts is not None
    vocabulary = Vocabulary(chosen.column("item").to_pylist())
    if not len(vocabulary):
        raise DataError(
            f"no item has {config.data.min_item_count} events before the cut-off: lower data.min_item_count"
        )
    counts = np.concatenate([[0], chosen.column("before").to_numpy()]).astype(np.int64)
    places = pa.array(np.arange(1, len(vocabulary) + 1, dtype=np.int32))
    rows = spark.createDataFrame(pa.table({"item": chosen.column("item"), "row": places}))
    known = events.join(rows, "item")
    categories = _categories(known, counts) if config.data.category else None
    before, after = _sequences(known, facts[2])
    return assemble(
        vocabulary, counts, before, after, categories, config.split, cut_off=cut_off,
        unknown=Unknown(*unknown_counts),
    )  # fmt: skip


def _early(events: DataFrame, split: SplitConfig) -> tuple[DataFrame, int | float | None]:
    """The events with a column `early`: whether the cloud sees them; and the cut-off, where there is one for all."""
    c = functions.col
    if split.kind == "column":
        test = functions.coalesce(c("label").isin(split.test_values), functions.lit(False))
        return events.withColumn("early", ~test), None
    if split.kind == "per_user":
        mine = Window.partitionBy("user")
        place = functions.row_number().over(mine.orderBy("time", "source"))
        heads = functions.greatest(
            functions.lit(1),
            functions.floor(functions.count("*").over(mine) * functions.lit(split.quantile) + functions.lit(TINY)),
        )
        return events.withColumn("early", place <= heads), None
    if split.kind not in ("quantile", "time"):
        raise ConfigError(f"split.kind {split.kind} does not work on Spark: use resources.engine local")
    cut_off = _quantile_time(events, split.quantile) if split.kind == "quantile" else _given_time(events, split.time)
    return events.withColumn("early", c("time") < functions.lit(cut_off)), cut_off


def _quantile_time(events: DataFrame, quantile: float) -> int | float:
    """As `split.quantile_time`: the exact order statistic, counted out between two approximate ones around it."""
    total = events.count()
    place = quantile_place(total, quantile)
    number = functions.col("time").cast("double")  # as percentile_approx takes it: rounded, but in the same order
    for slack in (_SLACK, 1.0):  # the second, between the least and the greatest, is for an approximation that failed
        shares = [max(0.0, place / total - slack), min(1.0, place / total + slack)]
        around = events.agg(functions.percentile_approx(number, shares, int(10 / _SLACK))).first()
        assert around is not None  # an aggregate of all rows has one
        low, high = around[0]
        below = events.filter(number < low).count()
        inside = events.filter(number.between(low, high)).groupBy("time").count().orderBy("time").toArrow()
        upto = below + np.cumsum(inside.column("count").to_numpy())
        if below <= place < upto[-1]:
            value: int | float = inside.column("time")[int(np.searchsorted(upto, place, "right"))].as_py()
            return value
    raise AssertionError  # the place lies among the events


def _given_time(events: DataFrame, text: str) -> int | float:
    def typical() -> float:
        row = events.agg(functions.median(functions.abs("time"))).first()
        assert row is not None
        return float(row[0])

    return parse_cut_off(text, typical)


def _categories(known: DataFrame, counts: np.ndarray) -> Categories:
    """As `build_categories` of the events before the cut-off, from one row for each item and category."""
    pairs = known.filter(functions.col("early") & functions.col("category").isNotNull()).groupBy("row", "category")
    table = (
        pairs.agg(functions.count("*").alias("number"), functions.min("time").alias("first"))
        .orderBy("row", "category")
        .toArrow()
    )
    coded = table.column("category").combine_chunks().dictionary_encode()
    codes, ids = coded.indices.to_numpy(), np.array(coded.dictionary.to_pylist() or [], dtype=object)
    rows, first = table.column("row").to_numpy(), table.column("first").to_numpy()
    several = np.bincount(rows)[rows] > 1  # only then does it matter how many events carry each
    repeat = np.where(several, table.column("number").to_numpy(), 1)
    return build_categories(ids, np.repeat(codes, repeat), np.repeat(rows, repeat), np.repeat(first, repeat), counts)


def _sequences(known: DataFrame, time: Any) -> tuple[Sequences, Sequences]:
    """The sequences before and after the cut-off; `time` is any of the log's, for its type."""
    kind = np.int64 if isinstance(time, int) else np.float64
    runs = (
        known.select("user", "early", "time", "source", "row")
        .repartitionByRange("user")
        .sortWithinPartitions("user", "early", "time", "source")
        .mapInArrow(_runs, "user string, early boolean, events long, items binary, times binary")
        .toArrow()
    )
    early = runs.column("early")
    return _join(runs.filter(early), kind), _join(runs.filter(compute.invert(early)), kind)


def _runs(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row for each run of events of one user on one side of the cut-off, in the order given."""
    for batch in batches:
        if not batch.num_rows:
            continue
        users, early = batch.column("user").dictionary_encode(), batch.column("early").to_numpy(zero_copy_only=False)
        codes, items = users.indices.to_numpy(), batch.column("row").to_numpy().astype("<i4")
        times = batch.column("time").to_numpy()
        times = np.asarray(times, "<i8" if times.dtype.kind == "i" else "<f8")
        new = np.flatnonzero((np.diff(codes) != 0) | (np.diff(early.astype(np.int8)) != 0)) + 1
        starts = np.concatenate([[0], new])
        ends = np.concatenate([new, [len(codes)]])
        yield pa.RecordBatch.from_arrays(
            [
                users.dictionary.take(pa.array(codes[starts])),
                pa.array(early[starts]),
                pa.array(ends - starts),
                pa.array([items[a:b].tobytes() for a, b in zip(starts, ends, strict=True)], pa.binary()),
                pa.array([times[a:b].tobytes() for a, b in zip(starts, ends, strict=True)], pa.binary()),
            ],
            names=["user", "early", "events", "items", "times"],
        )


def _join(runs: pa.Table, kind: type) -> Sequences:
    """Runs in order of users as sequences; a user's events may lie in two runs, at the border of two batches."""
    names = runs.column("user").to_numpy(zero_copy_only=False)
    new = np.ones(len(names), bool)
    new[1:] = names[1:] != names[:-1]
    users = np.empty(int(new.sum()), dtype=object)
    users[:] = names[new]
    lengths = runs.column("events").to_numpy()
    counts = np.bincount(np.cumsum(new) - 1, lengths, len(users)).astype(np.int64)
    items = np.frombuffer(b"".join(runs.column("items").to_pylist()), "<i4")
    times: np.ndarray = np.frombuffer(b"".join(runs.column("times").to_pylist()), np.dtype(kind).newbyteorder("<"))
    return Sequences(users, offsets_of(counts), items.astype(np.int32), times.astype(kind))
