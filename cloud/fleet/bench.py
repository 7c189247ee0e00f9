# SPDX-License-Identifier: Apache-2.0
"""What a device needs for a bundle: the measurement of `pocketrec bench`, in a process that holds nothing else."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Final

from pocketrec.device.base.errors import PocketRecError
from pocketrec.device.bench.bench import bench
from pocketrec.device.delivery.bundle import open_bundle

_CALLS: Final = 50


def device_figures(bundle: Path, runtime: str = "auto") -> dict[str, Any]:
    """Runtime, medians of train, embed and infer in milliseconds, and peak memory in 10^6 bytes.

    Args:
        bundle: the bundle folder.
        runtime: auto, ai_edge_litert or tflite_runtime.

    Raises:
        PocketRecError: the bundle cannot be used, or the process died.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_measure, bundle, runtime).result()
        except BrokenProcessPool:
            raise PocketRecError(
                "the process that measures the bundle ended unexpectedly: `pocketrec bench` may say why"
            ) from None


def _measure(bundle: Path, runtime: str) -> dict[str, Any]:
    found = bench(open_bundle(bundle), runtime, calls=_CALLS, whole=False)
    return {name: found[name] for name in ("runtime", "train_ms_p50", "embed_ms_p50", "infer_ms_p50", "peak_rss_mb")}
