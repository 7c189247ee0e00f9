"""How fast a model runs here, and how much memory it takes. Times are of single calls through the Python API.

The first call of each kind and the warm-up are apart from the series; the raw series is kept.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketrec.device import memory
from pocketrec.device.runtime import runtime_version
from pocketrec.device.windows import log_uniform

if TYPE_CHECKING:
    from pocketrec.device.bundle import Bundle

_QUANTILES = (50, 90, 99)


def bench(bundle: Bundle, runtime: str = "auto", threads: int = 1, calls: int = 100, seed: int = 1) -> dict[str, Any]:
    """Measure opening, train step, embed and infer of a bundle's model.

    Args:
        bundle: the bundle.
        runtime: auto, ai_edge_litert or tflite_runtime.
        threads: threads of the runtime's kernels.
        calls: calls of each kind in the series, at least 1, after a tenth as many for warm-up.
        seed: seed of the random windows.

    Returns:
        Plain values, ready for JSON. For each of train, embed and infer: ``<kind>_first_ms``, ``<kind>_ms_p50``,
        ``_p90`` and ``_p99``; ``load_ms``, ``rss_before_mb``, ``rss_mb``, ``peak_rss_mb`` (10^6 bytes, whole process);
        runtime, versions, machine, model id and shapes; ``raw_ms`` with the series.
    """
    calls = max(1, calls)
    before = memory.resident_mb()
    started = time.perf_counter()
    model = bundle.load_model(runtime, threads)
    load = (time.perf_counter() - started) * 1e3
    rng = np.random.default_rng(seed)
    count = len(bundle.vocabulary)
    window = rng.integers(1, count + 1, (model.batch, model.window + 1), dtype=np.int32)  # (B, T + 1)
    items, targets, one = window[:, :-1].copy(), window[:, 1:].copy(), window[:1, 1:].copy()
    candidates = np.resize(np.arange(1, count + 1, dtype=np.int32), model.candidates)
    negatives = log_uniform(model.negatives, count, seed, 0) if model.sampled else None
    kinds: dict[str, Callable[[], object]] = {
        "train": lambda: model.train(items, targets, bundle.recipe.learning_rate, bundle.recipe.proximal, negatives),
        "embed": lambda: model.embed(one),
        "infer": lambda: model.infer(one, candidates),
    }
    result: dict[str, Any] = {
        "runtime": model.runtime,
        "runtime_version": runtime_version(model.runtime),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "machine": machine(),
        "threads": threads,
        "model_id": bundle.manifest.model_id,
        "model": bundle.manifest.model,
        "calls": calls,
        "load_ms": round(load, 3),
    }
    raw = {}
    for kind, call in kinds.items():
        result[f"{kind}_first_ms"] = round(_milliseconds(call), 4)
        for _ in range(calls // 10):
            call()
        raw[kind] = [round(_milliseconds(call), 4) for _ in range(calls)]
        for quantile, value in zip(_QUANTILES, np.percentile(raw[kind], _QUANTILES), strict=True):
            result[f"{kind}_ms_p{quantile}"] = round(float(value), 4)
    result["rss_before_mb"] = round(before, 1)
    result["rss_mb"] = round(memory.resident_mb(), 1)
    result["peak_rss_mb"] = round(memory.peak_resident_mb(), 1)
    result["raw_ms"] = raw
    return result


def machine() -> dict[str, Any]:
    """System, architecture, processor and number of cores of this machine."""
    system = os.uname() if hasattr(os, "uname") else None
    processor = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.lower().startswith(("model name", "hardware", "model\t")) and ":" in line:
                    processor = line.split(":", 1)[1].strip()
                    if line.lower().startswith("model name"):
                        break
    except OSError:
        pass
    return {
        "system": f"{system.sysname} {system.release}" if system else sys.platform,
        "architecture": system.machine if system else "",
        "processor": processor,
        "cores": os.cpu_count() or 0,
    }


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3
