# SPDX-License-Identifier: Apache-2.0
"""How fast a model runs here, how near that is to what the processor could do, and how much memory it takes.

Times are of single calls through the Python API, after the conventions of TensorFlow Lite's benchmark_model and
AndroidX Benchmark: loading, the first call of each kind and the warm-up are apart from the series, and the raw series
is kept. The result has the form of `pocketrec.device.bench.schema`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pocketrec.device.base import documents, memory
from pocketrec.device.base.files import sha256_file
from pocketrec.device.base.machine import emulated, machine
from pocketrec.device.bench.limit import flop, sgemm_gflops
from pocketrec.device.bench.schema import FORMAT, NOT_MEASURED
from pocketrec.device.engine.runtime import runtime_version
from pocketrec.device.personal.budget import hottest
from pocketrec.device.personal.windows import log_uniform

if TYPE_CHECKING:
    from pathlib import Path

    from pocketrec.device.delivery.bundle import Bundle
    from pocketrec.device.engine.model import Model

_QUANTILES: Final = (50, 90, 99)
#: Items that `rank` orders in a call, where the file has that signature.
RANKED: Final = 1000
_STARTS: Final = 5  # processes started for `start_ms`

_START: Final = """
import sys, time
started = time.perf_counter()
from pocketrec.device import Recommender
recommender = Recommender(sys.argv[1], runtime=sys.argv[2])
recommender.add(sys.argv[3:])
recommender.recommend(10)
print((time.perf_counter() - started) * 1e3)
"""


def bench(
    bundle: Bundle,
    runtime: str = "auto",
    threads: int = 1,
    calls: int = 100,
    seed: int = 1,
    whole: bool = True,
) -> dict[str, Any]:
    """Measure opening, train step, embed and infer of a bundle's model; `retrieve` and `rank` of a file that has them.

    Args:
        bundle: the bundle.
        runtime: auto, ai_edge_litert or tflite_runtime.
        threads: threads of the runtime's kernels.
        calls: calls of each kind in the series, at least 1, after a tenth as many for warm-up.
        seed: seed of the random windows.
        whole: measure the start of a process and the matrix product too, for which others are started; else they are
            None, and so are limits and ratios.

    Returns:
        The fields of `bench_schema.FIELDS` and, for each kind, `bench_schema.KIND_FIELDS`.
    """
    calls = max(1, calls)
    warm_up = calls // 10
    temperature = hottest()
    before = memory.resident_mb()
    started = time.perf_counter()
    model = bundle.load_model(runtime, threads)
    load = (time.perf_counter() - started) * 1e3
    first, raw = {}, {}
    for kind, call in _kinds(bundle, model, seed).items():
        first[kind] = _milliseconds(call)
        for _ in range(warm_up):
            call()
        raw[kind] = [_milliseconds(call) for _ in range(calls)]
    now, peak = memory.resident_mb(), memory.peak_resident_mb()
    rate = sgemm_gflops(threads) if whole else None
    result: dict[str, Any] = {
        "format": FORMAT,
        "runtime": model.runtime,
        "runtime_version": runtime_version(model.runtime),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "machine": machine(),
        "emulated": emulated(),
        "threads": threads,
        "energy": NOT_MEASURED,
        "temperature_before_c": temperature,
        "temperature_after_c": hottest(),
        "model_id": bundle.manifest.model_id,
        "model_sha256": sha256_file(bundle.model_path),
        "model": bundle.manifest.model,
        "calls": calls,
        "warm_up_calls": warm_up,
        "load_ms": round(load, 3),
        "start_ms": _start(bundle, model.runtime) if whole else None,
        "rss_before_mb": round(before, 1),
        "rss_mb": round(now, 1),
        "rss_delta_mb": round(now - before, 1),
        "peak_rss_mb": round(peak, 1),
        "sgemm_gflops": None if rate is None else round(rate, 2),
    }
    work = flop(bundle.manifest.model, (spec["name"] for spec in bundle.manifest.tensors["trainable"]))
    for kind, series in raw.items():
        result |= _summary(kind, first[kind], series, None if work is None else work.get(kind), rate)
    result["raw_ms"] = {kind: [round(value, 4) for value in series] for kind, series in raw.items()}
    return result


def _kinds(bundle: Bundle, model: Model, seed: int) -> dict[str, Callable[[], object]]:
    """The calls to time, on random windows that are full, the longest work there is."""
    rng = np.random.default_rng(seed)
    count = len(bundle.vocabulary)
    window = rng.integers(1, count + 1, (model.batch, model.window + 1), dtype=np.int32)  # (B, T + 1)
    pairs, one = (window[None, :, :-1].copy(), window[None, :, -model.targets :].copy()), window[:1, 1:].copy()
    items, targets = (made[0] for made in model.steps(*pairs))
    candidates = np.resize(np.arange(1, count + 1, dtype=np.int32), model.candidates)
    negatives = log_uniform(model.negatives, count, seed, 0) if model.sampled else None
    recipe = bundle.recipe
    calls: dict[str, Callable[[], object]] = {
        "train": lambda: model.train(items, targets, recipe.learning_rate, recipe.proximal, negatives),
        "embed": lambda: model.embed(one),
        "infer": lambda: model.infer(one, candidates),
    }
    if model.retrieves:
        calls["retrieve"] = lambda: model.retrieve(one)
    if model.ranks:
        many = np.resize(np.arange(1, count + 1, dtype=np.int32), RANKED)
        calls["rank"] = lambda: model.rank(one, many)
    return calls


def _summary(kind: str, first: float, series: list[float], work: int | None, rate: float | None) -> dict[str, Any]:
    """The fields of one kind; `work` in FLOP, `rate` in 10^9 FLOP a second."""
    values = {f"ms_p{quantile}": float(np.percentile(series, quantile)) for quantile in _QUANTILES}
    limit = None if work is None or rate is None else work / rate / 1e6
    fields = {
        "first_ms": round(first, 4),
        **{name: round(value, 4) for name, value in values.items()},
        "mflop": None if work is None else round(work / 1e6, 4),
        "limit_ms": None if limit is None else round(limit, 5),
        "ratio": None if limit is None else round(values["ms_p50"] / limit, 3),
    }
    return {f"{kind}_{name}": value for name, value in fields.items()}


def _start(bundle: Bundle, runtime: str) -> float | None:
    """Median time in ms from the first import to the first recommendation, of new processes; None where none ran.

    Modules come from Python's cache of compiled ones, as on a device that has run before: it is not switched
    off here, and the first process fills it.
    """
    folder: Path = bundle.folder
    items = bundle.vocabulary.ids(range(1, min(3, len(bundle.vocabulary)) + 1))
    command = [sys.executable, "-P", "-c", _START, str(folder), runtime, *items]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times = []
    try:
        for _ in range(1 + _STARTS):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
            times.append(float(documents.parse(done.stdout)))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return round(float(np.median(times[1:])), 2)


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3
