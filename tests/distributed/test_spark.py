# SPDX-License-Identifier: Apache-2.0
"""The stages on a Spark standalone cluster of a master and two workers: the same files, the same recall."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path
from typing import Any

import logs
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pocketrec.cloud.candidates import Candidates, Past, build, recall_ceiling
from pocketrec.cloud.config.candidates import CANDIDATES, AlsOptions, CandidatesConfig
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.data import prepared
from pocketrec.cloud.data.cuts import quantile_time
from pocketrec.cloud.data.location import data_root
from pocketrec.cloud.data.readers import read_log
from pocketrec.cloud.data.split import split_log
from pocketrec.device.base.choices import imported
from pocketrec.device.base.errors import ConfigError, DataError

PLAIN = logs.text(logs.HEADER, logs.rows(6000, logs.full))


def both_ways(spark: Any, folder: Path, data: DataConfig, split: SplitConfig) -> None:
    """Prepare here and on the cluster; every file but the reasons of bad rows must have the same bytes."""
    from pocketrec.cloud.spark.prepare import prepare

    config = RunConfig(data=data, split=split)
    prepared.prepare(config, folder / "here")
    prepare(spark, config, folder / "there")
    spark.catalog.clearCache()
    files = _files(folder / "here")
    assert len(files) >= 7
    assert files == sorted(
        path.relative_to(folder / "there") for path in (folder / "there").rglob("*") if path.is_file()
    )
    same = [name for name in files if name.name != "reading.json"]
    assert [
        name for name in same if (folder / "here" / name).read_bytes() != (folder / "there" / name).read_bytes()
    ] == []


def _files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


CASES: dict[str, tuple[str, bytes, dict[str, Any], SplitConfig]] = {
    "bad rows, rare items, categories": (
        "log.csv", logs.HEADER.encode() + logs.with_bad(logs.rows(6000, logs.full)),
        {"max_bad_share": 0.9, "min_item_count": 3, "category": "cat"}, SplitConfig(),
    ),
    "CRLF, byte order mark, filter, date": (
        "log.csv", b"\xef\xbb\xbf" + PLAIN.replace(b"\n", b"\r\n"), {"keep": {"kind": ["pv"]}},
        SplitConfig(kind="time", time="2017-07-14T03:00:00"),
    ),
    "per user": ("log.csv", PLAIN, {"category": "cat"}, SplitConfig(kind="per_user", quantile=0.7)),
    "column, gzip": (
        "log.csv.gz", gzip.compress(PLAIN), {"keep": {"kind": ["buy", "pv"]}}, SplitConfig(kind="column"),
    ),
    "dates with fractions": ("y.dat", logs.text("", logs.rows(5000, logs.yoochoose)), {}, SplitConfig()),
    "nanoseconds and a bad time": (
        "log.csv", logs.text("user,item,timestamp\n", [*logs.rows(5000, logs.nanoseconds), "x,i1,bad", "y,i2,"]), {},
        SplitConfig(),
    ),
    "quotes": ("log.csv", logs.text("user,item,timestamp,note\n", logs.rows(5000, logs.quoted)), {}, SplitConfig()),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_prepare_writes_the_same_bytes(spark: Any, tmp_path: Path, case: str) -> None:
    name, content, options, split = CASES[case]
    (tmp_path / name).write_bytes(content)
    both_ways(spark, tmp_path, DataConfig(path=str(tmp_path / name), **options), split)


@pytest.mark.slow
def test_prepare_of_parquet(spark: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"user": rng.integers(0, 300, 5000), "item": [f"i{n}" for n in rng.integers(0, 99, 5000)],
                          "timestamp": rng.integers(0, 9999, 5000)})  # fmt: skip
    frame.to_parquet(tmp_path / "log.parquet", row_group_size=500)
    both_ways(spark, tmp_path, DataConfig(path=str(tmp_path / "log.parquet")), SplitConfig())


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("name", ["taobao-userbehavior-sample", "yoochoose-100k"])
def test_prepare_of_real_logs(spark: Any, tmp_path: Path, name: str) -> None:
    if not (data_root() / name).is_dir():
        pytest.skip(f"no {name} in {data_root()}")
    (packed,) = (data_root() / name).glob("interactions.csv.gz")
    rows = gzip.decompress(packed.read_bytes()).splitlines(keepends=True)[:30_000]
    (tmp_path / "log.csv").write_bytes(b"".join(rows))  # no gzip, so that it is cut into parts
    spark.conf.set("spark.sql.files.maxPartitionBytes", 200_000)
    try:
        both_ways(spark, tmp_path, DataConfig(path=str(tmp_path / "log.csv")), SplitConfig())
    finally:
        spark.conf.set("spark.sql.files.maxPartitionBytes", 40_000)


@pytest.mark.slow
def test_the_quantile_time_is_exact(spark: Any) -> None:
    """Few events, equal times, fractions, times that a double rounds, and more than an approximation keeps."""
    from pocketrec.cloud.spark.prepare import _quantile_time

    rng, nanoseconds = np.random.default_rng(1), 1_500_000_000_123_456_789
    logs = [
        np.array([7]), np.array([2, 1, 3]), np.full(10, nanoseconds), nanoseconds + rng.integers(0, 9, 1000),
        np.array([-1.5, 2e15, 3.25]), rng.integers(-(10**9), 10**9, 200_000),
    ]  # fmt: skip
    for times in logs:
        events = spark.createDataFrame(pa.table({"time": times}))
        for quantile in (0.001, 0.8):
            assert _quantile_time(events, quantile) == quantile_time(times, quantile), (times[:9], quantile)


@pytest.mark.slow
def test_als_recall_is_that_of_one_machine(spark: Any, tmp_path: Path) -> None:
    """Within 2 % of implicit's mean over three seeds, which by themselves differ by about 1 %; one fit, whose sets may
    hold what a user has had, or leave it out."""
    from pocketrec.cloud.spark.candidates import als_on_spark, als_sets

    shape = {"users": 2000, "items": 800, "events": 60, "categories": 40}
    data, split = DataConfig(set="synthetic", synthetic=shape), SplitConfig()
    log = split_log(read_log(data), split, data)
    config = CandidatesConfig(tables={"als": AlsOptions(factors=32, iterations=10)})
    past = Past(log.before, len(log.vocabulary))
    als = als_on_spark(spark, config.als, log.before, past.items, seed=1)
    for mask_seen in (False, True):
        here = [
            recall_ceiling(build(config, dataclasses.replace(past, seed=seed, mask_seen=mask_seen)), log.after)["old"]
            for seed in (1, 2, 3)
        ]
        sets = als_sets(spark, config.als.head, config.k, log.before, als, mask_seen=mask_seen)
        there = recall_ceiling(sets, log.after)["old"]
        print(f"mask_seen {mask_seen}: implicit {here}, Spark {there}")
        assert abs(there / np.mean(here) - 1) < 0.02
        np.testing.assert_array_equal(sets.rows, als.top(config.k, seen=log.before if mask_seen else None))
    sets.save(tmp_path / "candidates.npz")
    np.testing.assert_array_equal(Candidates.load(tmp_path / "candidates.npz").rows, sets.rows)


def test_every_source_with_a_spark_target_has_one_that_exists() -> None:
    pytest.importorskip("pyspark")
    targets = [getattr(choice, "spark", "") for choice in CANDIDATES.choices().values()]
    assert any(targets)
    for target in filter(None, targets):
        assert callable(imported(target)().build)


@pytest.mark.slow
def test_what_spark_cannot_cut_is_one_line(spark: Any, tmp_path: Path) -> None:
    from pocketrec.cloud.spark.rows import read_rows
    from pocketrec.cloud.spark.session import _one_line

    (tmp_path / "log.csv").write_bytes(gzip.compress(PLAIN))
    with pytest.raises(DataError, match="recognises gzip by the file name"):
        read_rows(spark, DataConfig(path=str(tmp_path / "log.csv")), None)
    lines = "".join(f'{n % 40},{n},{n},"a long\nnote {n:050d}"\n' for n in range(2000))
    (tmp_path / "log.csv").write_text("user,item,timestamp,note\n" + lines)
    with pytest.raises(DataError, match="a quote is left open where Spark cuts"), _one_line(""):
        read_rows(spark, DataConfig(path=str(tmp_path / "log.csv")), None)
    with pytest.raises(ConfigError, match="synthetic"):
        read_rows(spark, DataConfig(set="synthetic"), None)
