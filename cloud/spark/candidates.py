# SPDX-License-Identifier: Apache-2.0
"""Stage `candidates` on Spark: implicit-feedback ALS of `pyspark.ml`, then the top K of every user in blocks.

Spark weighs the L2 penalty of each factor by the number of its observations (ALS-WR; Zhou and others 2008), where
`AlsOptions.regularization` is the same for all, so it is divided by the mean number: see `penalty`. Spark begins
with other random factors and sums in another order, too: compare recall, not factors. This module knows nothing about
later events: it is never given them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame, SparkSession, functions

from pocketrec.cloud.candidates.als import AlsModel
from pocketrec.cloud.candidates.sets import Candidates, popular_rows
from pocketrec.cloud.candidates.source import Past
from pocketrec.cloud.config.candidates import AlsOptions
from pocketrec.cloud.data.sequences import Sequences, offsets_of

_BLOCK = 4096  # users ranked at a time


class SparkAlsCandidates:
    """The K items of highest ALS score, ranked on Spark; fitted there too, where they are not yet."""

    def build(self, options: AlsOptions, k: int, past: Past) -> Candidates:
        """See `pocketrec.cloud.candidates.source.CandidateSource.build`; ``past.spark`` is the session."""
        als = past.als or als_on_spark(past.spark, options, past.before, past.items, seed=past.seed)
        return als_sets(past.spark, options.head, k, past.before, als, mask_seen=past.mask_seen)


def als_on_spark(
    spark: SparkSession, config: AlsOptions, before: Sequences, items: int, *, seed: int = 1
) -> AlsModel:
    """Fit ALS on Spark.

    Args:
        spark: the session.
        config: the weights of ALS.
        before: events before the cut-off.
        items: N; rows are ordered by popularity.
        seed: of the factors at the start.
    """
    pairs = _pairs(spark, before).persist()
    model = ALS(
        rank=config.factors,
        maxIter=config.iterations,
        regParam=penalty(config, pairs.count(), len(before), items),
        alpha=config.alpha,
        implicitPrefs=True,
        seed=seed,
        userCol="user",
        itemCol="row",
        ratingCol="count",
        numUserBlocks=_blocks(spark),
        numItemBlocks=_blocks(spark),
    ).fit(pairs)
    item_factors = _factors(model.itemFactors, items + 1, config.factors)
    user_factors = _factors(model.userFactors, len(before), config.factors)
    pairs.unpersist()
    return AlsModel(before.users, user_factors, item_factors)


def als_sets(
    spark: SparkSession, head: int, k: int, before: Sequences, als: AlsModel, *, mask_seen: bool = False
) -> Candidates:
    """Rank every user's items on Spark.

    Args:
        spark: the session.
        head: rank the most popular items alone; 0 = all.
        k: items in a set.
        before: events before the cut-off.
        als: fitted to them.
        mask_seen: leave out what the user has had.
    """
    ranked = als.item_factors[: head + 1] if head else als.item_factors
    users, size = als.user_factors.shape
    ids = pa.array(np.arange(users, dtype=np.int32))
    ends = pa.array(np.arange(users + 1, dtype=np.int32) * size)
    lists = pa.ListArray.from_arrays(ends, pa.array(np.ravel(als.user_factors)))
    table = spark.createDataFrame(pa.table({"id": ids, "features": lists})).repartition(_blocks(spark), "id")
    best = _top(spark, table, ranked, _pairs(spark, before) if mask_seen else None, k)
    rows = np.zeros((len(before), k), np.int32)
    rows[best.column("id").to_numpy()] = np.frombuffer(b"".join(best.column("rows").to_pylist()), "<i4").reshape(
        -1, k
    )
    return Candidates(before.users, rows, popular_rows(len(als.item_factors) - 1, k))


def penalty(config: AlsOptions, pairs: int, users: int, items: int) -> float:
    """Spark's `regParam`: times the mean number of observations of a factor it is `config.regularization`.

    Args:
        config: of the one-machine path.
        pairs: different pairs of user and item.
        users: U.
        items: N.
    """
    return config.regularization * (users + items) / (2 * pairs)


def _pairs(spark: SparkSession, before: Sequences) -> DataFrame:
    """user int (place), row int, count float: every pair once."""
    known = before.items > 0
    span = int(before.items.max(initial=0)) + 1
    keys = before.event_users()[known] * np.int64(span) + before.items[known]
    different, counts = np.unique(keys, return_counts=True)
    columns = {"user": (different // span).astype(np.int32), "row": (different % span).astype(np.int32),
               "count": counts.astype(np.float32)}  # fmt: skip
    return spark.createDataFrame(pa.table(columns)).repartition(_blocks(spark), "user")


def _blocks(spark: SparkSession) -> int:
    return max(2, min(2 * spark.sparkContext.defaultParallelism, 1000))


def _factors(table: DataFrame, rows: int, size: int) -> np.ndarray:
    """float32 (rows, size): `features` in the row `id`, 0 where there is none."""
    read = table.toArrow()
    factors = np.zeros((rows, size), np.float32)
    factors[read.column("id").to_numpy()] = (
        read.column("features").combine_chunks().flatten().to_numpy().reshape(-1, size)
    )
    return factors


def _top(
    spark: SparkSession, user_factors: DataFrame, item_factors: np.ndarray, seen: DataFrame | None, k: int
) -> pa.Table:
    """`id` and `rows` (k int32 as bytes) of each user."""
    table = user_factors.select("id", "features")
    if seen is None:
        table = table.withColumn("seen", functions.lit(None).cast("array<int>"))
    else:
        lists = seen.groupBy("user").agg(functions.collect_list("row").alias("seen"))
        table = table.join(lists, table.id == lists.user).select("id", "features", "seen")
    shared = spark.sparkContext.broadcast(item_factors)
    return table.mapInArrow(_rank(lambda: shared.value, k), "id int, rows binary").toArrow()


def _rank(
    item_factors: Callable[[], np.ndarray], k: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function that Spark calls with the users of a part: `AlsModel.top`, as on one machine."""

    def rank(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        items = item_factors()
        for batch in batches:
            for begin in range(0, batch.num_rows, _BLOCK):
                block = batch.slice(begin, _BLOCK)
                factors = block.column("features").flatten().to_numpy().reshape(-1, items.shape[1])
                lists = block.column("seen")
                users, seen = np.arange(len(factors)), None
                if not lists.null_count:
                    rows, offsets = lists.flatten().to_numpy(), offsets_of(lists.value_lengths().to_numpy())
                    seen = Sequences(users, offsets, rows, np.zeros(len(rows), np.int64))
                best = AlsModel(users, factors, items).top(k, seen=seen)
                sets = pa.array([row.astype("<i4").tobytes() for row in best], pa.binary())
                yield pa.RecordBatch.from_arrays([block.column("id"), sets], names=["id", "rows"])

    return rank
