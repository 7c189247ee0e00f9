# SPDX-License-Identifier: Apache-2.0
"""Where does the full softmax end on a device? Train step and memory by size of the catalogue.

    python benchmarks/softmax.py [--items 4000 16000 64000] [--runtime ai_edge_litert]

A model of the reference shape (E = 64, H = 96, two GRU layers, T = 20) with batches of 8, untrained, is exported
with the full softmax and with the sampled one (1,024 negatives). Each is measured in a process of its own, one thread,
after a warm-up; the sampled softmax of the same size is the reference of each ratio. Prints a table, and one JSON
document as the last line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CALLS, WARM_UP = 30, 3
BATCH, WINDOW = 8, 20


def measure(path: str, items: int, runtime: str) -> dict[str, Any]:
    """Median train step in ms and peak memory in 10^6 bytes of this process."""
    from pocketrec.device.base.memory import peak_resident_mb
    from pocketrec.device.engine.model import Model
    from pocketrec.device.personal.windows import log_uniform

    model = Model(path, runtime, items=items)
    window = np.random.default_rng(1).integers(1, items + 1, (BATCH, WINDOW + 1), dtype=np.int32)
    negatives = log_uniform(model.negatives, items, 1, 0) if model.sampled else None
    raw = []
    for _ in range(WARM_UP + CALLS):
        started = time.perf_counter()
        model.train(window[:, :-1].copy(), window[:, 1:].copy(), 0.01, 0.05, negatives)
        raw.append((time.perf_counter() - started) * 1e3)
    series = raw[WARM_UP:]
    return {
        "runtime": model.runtime, "train_ms_p50": round(float(np.median(series)), 3),
        "peak_rss_mb": round(peak_resident_mb(), 1), "raw_ms": [round(value, 3) for value in series],
    }  # fmt: skip


def export(items: int, limit: int, path: Path) -> None:
    """Write an untrained model over `items` items; the full softmax where they are at most `limit`."""
    from pocketrec.cloud.backbones import build_model
    from pocketrec.cloud.config.export import ExportConfig
    from pocketrec.cloud.config.model import GruOptions, ModelConfig
    from pocketrec.export.build import build_tflite

    config = ModelConfig(embedding=64, window=WINDOW, tables={"gru": GruOptions(hidden=96, layers=2)})
    made = build_tflite(
        build_model(config, items, 1), config, ExportConfig(batch=BATCH, full_softmax_limit=limit),
        way="partial", optimizer="adagrad", candidates=100,
    )  # fmt: skip
    path.write_bytes(made.content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[4_000, 16_000, 64_000], help="sizes of the catalogue")
    parser.add_argument("--runtime", default="auto", help="auto, ai_edge_litert or tflite_runtime")
    parser.add_argument("--measure", nargs=2, metavar=("MODEL", "ITEMS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure[0], int(options.measure[1]), options.runtime)))
        return
    rows = []
    print(f"{'items':>8} {'loss':<8} {'train step':>11} {'peak RSS':>10} {'ratio':>6}")
    for items in options.items:
        found = {}
        for loss, limit in (("sampled", 1), ("full", items)):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.tflite"
                export(items, limit, path)
                command = [sys.executable, __file__, "--runtime", options.runtime, "--measure", str(path), str(items)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[loss] = json.loads(done.stdout.splitlines()[-1])
            ratio = found[loss]["train_ms_p50"] / found["sampled"]["train_ms_p50"]
            rows.append({"items": items, "loss": loss, "ratio": round(ratio, 2), **found[loss]})
            step, memory = found[loss]["train_ms_p50"], found[loss]["peak_rss_mb"]
            print(f"{items:>8} {loss:<8} {step:>8.2f} ms {memory:>7.1f} MB {ratio:>6.2f}")
    print(json.dumps({"benchmark": "softmax", "batch": BATCH, "window": WINDOW, "calls": CALLS, "rows": rows}))


if __name__ == "__main__":
    main()
