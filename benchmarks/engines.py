# SPDX-License-Identifier: Apache-2.0
"""The same stages on this machine and on Spark: time, and the bytes that a cluster stores and shuffles for an event.

    python benchmarks/engines.py [--events 1000000] [--cores 2] [--factors 64] [--iterations 15]

The log has UserBehavior's shape (`scale_log`). Both use as many cores; Spark runs them in one Java process, whose start
is not counted. Processor seconds are those of all processes: they say more where the machine has other work, too. Needs
pyspark and Java, as `.venv-spark` of `make test-distributed` has.
Prints a table, and one JSON document as the last line.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scale_log import write_log

from pocketrec.cloud.candidates import Past, build, fit_als, recall_ceiling
from pocketrec.cloud.config.candidates import AlsOptions, CandidatesConfig
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.data import prepared
from pocketrec.cloud.spark.session import spark_session


def timed(name: str, figures: dict[str, Any], work: Callable[[], Any]) -> Any:
    """The result of some work; its seconds go to the figures."""
    started, used = time.perf_counter(), processor_seconds()
    result = work()
    figures[f"{name}_s"] = time.perf_counter() - started
    figures[f"{name}_processor_s"] = processor_seconds() - used
    return result


def processor_seconds() -> float:
    """Of this process and all that it has started, Java and Spark's Python among them."""
    processes: dict[int, tuple[int, int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            fields = path.read_text().rpartition(")")[2].split()
            processes[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    total, waiting = 0, [os.getpid()]
    while waiting:
        number = waiting.pop()
        total += processes[number][1]
        waiting += [child for child, (parent, _) in processes.items() if parent == number]
    return total / os.sysconf("SC_CLK_TCK")


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def shuffled(spark: Any) -> int:
    """Bytes that the session has written for shuffles so far."""
    executors = spark.sparkContext._jsc.sc().statusStore().executorList(False)
    return sum(executors.apply(place).totalShuffleWrite() for place in range(executors.size()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    for name, value in (("cores", 2), ("factors", 64), ("iterations", 15), ("head", 20_000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_log(folder / "log.csv", options.events)
        config = RunConfig(data=DataConfig(path=str(folder / "log.csv"), format="taobao"))
        weights = AlsOptions(factors=options.factors, iterations=options.iterations, head=options.head)
        als = CandidatesConfig(tables={"als": weights})
        times: dict[str, Any] = {}
        timed("prepare_here", times, lambda: prepared.prepare(config, folder / "here"))
        data, later = prepared.load_cloud(folder / "here"), prepared.load_devices(folder / "here").after
        past = Past(data.before, items := len(data.vocabulary), threads=options.cores)
        model = timed("als_here", times, lambda: fit_als(weights, data.before, items, 1, options.cores))
        sets = timed("ranking_here", times, lambda: build(als, dataclasses.replace(past, als=model)))
        with spark_session(f"local[{options.cores}]") as spark:
            from pocketrec.cloud.spark.candidates import als_on_spark, als_sets
            from pocketrec.cloud.spark.prepare import prepare

            spark.range(1).count()
            timed("prepare_spark", times, lambda: prepare(spark, config, folder / "there"))
            prepare_bytes = shuffled(spark)
            sets_there = timed(
                "als_and_ranking_spark", times,
                lambda: als_sets(
                    spark, weights.head, als.k, data.before, als_on_spark(spark, weights, data.before, items)
                ),
            )  # fmt: skip
            als_bytes = shuffled(spark) - prepare_bytes
        result = {
            "events": options.events,
            "users": len(data.before),
            "items": items,
            "log_bytes_per_event": (folder / "log.csv").stat().st_size / options.events,
            "data_bytes_per_event": size(folder / "here") / options.events,
            "identical": all(
                path.read_bytes() == (folder / "there" / path.relative_to(folder / "here")).read_bytes()
                for path in (folder / "here").rglob("*.np?")
            ),
            **times,
            "prepare_shuffle_bytes_per_event": prepare_bytes / options.events,
            "als_shuffle_bytes_per_event": als_bytes / options.events,
            "ceiling_here": recall_ceiling(sets, later)["old"],
            "ceiling_spark": recall_ceiling(sets_there, later)["old"],
            **{name: getattr(options, name) for name in ("cores", "factors", "iterations", "head")},
            "machine": platform.machine(),
        }
    for name, value in result.items():
        print(f"{name:<34}{value:>14.3f}" if isinstance(value, float) else f"{name:<34}{value!s:>14}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
