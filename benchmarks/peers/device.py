"""Train step and embed of one device, ours and PyTorch's, in turns on one core.

    python benchmarks/peers/device.py --pytorch PYTHON [--device PYTHON ...] [--negatives 0 100] [--rounds 3]

The reference configuration R (3,706 items, E = 64, H = 96, two GRU layers, T = 20, B = 16; last GRU and FC trained with
Adagrad) with the full softmax (0 negatives) or a sampled one. PYTHON is the interpreter of an environment with PyTorch,
brought by whoever runs this; --device names those of environments with a runtime (default: this one). Every round runs
each of them in a new process, one thread. Times are CPU times of the process: on an idle machine the times that pass,
and on a shared one they leave out the waiting. The rate of numpy's matrix product is measured alike between the calls,
and the arithmetic limit is that of `pocketrec.device.bench.limit`. Prints a table, and one JSON document as the last
line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ITEMS, EMBEDDING, HIDDEN, BATCH, WINDOW, CANDIDATES = 3706, 64, 96, 16, 20, 100
SIZE, EVERY, WARM_UP = 512, 10, 20
PYTORCH = Path(__file__).with_name("pytorch_device.py")


def export(negatives: int, path: Path) -> dict[str, Any]:
    """Write the untrained model; FLOP of its calls."""
    from pocketrec.cloud.backbones import build_model
    from pocketrec.cloud.config.export import ExportConfig
    from pocketrec.cloud.config.model import GruOptions, ModelConfig
    from pocketrec.device.bench.limit import flop
    from pocketrec.export.build import build_tflite

    config = ModelConfig(embedding=EMBEDDING, window=WINDOW, tables={"gru": GruOptions(hidden=HIDDEN, layers=2)})
    sampled = {"full_softmax_limit": 1, "negatives": negatives} if negatives else {}
    made = build_tflite(
        build_model(config, ITEMS, 1), config, ExportConfig(batch=BATCH, **sampled), way="partial",
        optimizer="adagrad", candidates=CANDIDATES,
    )  # fmt: skip
    path.write_bytes(made.content)
    return dict(flop(made.model, [spec["name"] for spec in made.tensors["trainable"]]) or {})


def measure(path: str, negatives: int, calls: int) -> dict[str, Any]:
    """CPU milliseconds of every call in this process, and 10^9 FLOP a second of the matrix product between them."""
    from pocketrec.device.base.memory import peak_resident_mb
    from pocketrec.device.engine.model import Model
    from pocketrec.device.personal.windows import log_uniform

    model = Model(path, items=ITEMS)
    window = np.random.default_rng(1).integers(1, ITEMS + 1, (BATCH, WINDOW + 1), dtype=np.int32)
    items, targets, one = window[:, :-1].copy(), window[:, 1:].copy(), window[:1, :-1].copy()
    drawn = log_uniform(negatives, ITEMS, 1, 0) if negatives else None
    square = np.random.default_rng(1).random((SIZE, SIZE), np.float32)
    out = np.empty_like(square)
    raw: dict[str, list[float]] = {"train": [], "embed": [], "sgemm": []}
    kinds = {"train": lambda: model.train(items, targets, 0.01, 0.05, drawn), "embed": lambda: model.embed(one)}
    for name, call in kinds.items():
        for _ in range(WARM_UP):
            call()
        for place in range(calls):
            if place % EVERY == 0:
                raw["sgemm"].append(_milliseconds(lambda: np.matmul(square, square, out=out)))
                call()
            raw[name].append(_milliseconds(call))
    return {"runtime": model.runtime, "peak_rss_mb": round(peak_resident_mb(), 1), "raw_ms": raw}


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return round((time.process_time() - started) * 1e3, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pytorch", metavar="PYTHON", required=False, help="interpreter that has PyTorch")
    parser.add_argument("--device", metavar="PYTHON", nargs="+", default=[sys.executable], help="ours")
    parser.add_argument("--negatives", type=int, nargs="+", default=[0, 100], help="0 = the full softmax")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=100, help="calls of each kind in a round")
    parser.add_argument("--measure", nargs=2, metavar=("MODEL", "NEGATIVES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure[0], int(options.measure[1]), options.calls)))
        return
    if options.pytorch is None:
        parser.error("name an interpreter that has PyTorch with --pytorch")
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    rows = []
    print(f"{'negatives':>9} {'':<16} {'train':>9} {'of PyTorch':>10} {'of limit':>8} {'embed':>9} {'peak RSS':>9}")
    for negatives in options.negatives:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.tflite"
            work = export(negatives, path)
            calls = ["--calls", str(options.calls)]
            commands = {device: [device, __file__, "--measure", str(path), str(negatives), *calls]
                        for device in options.device}  # fmt: skip
            commands["pytorch"] = [options.pytorch, str(PYTORCH), str(negatives), str(options.calls)]
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
            for _ in range(options.rounds):
                for name, command in commands.items():
                    done = subprocess.run(command, env=one_thread, capture_output=True, text=True, check=True)
                    found[name].append(json.loads(done.stdout.splitlines()[-1]))
        rates = [ms for name in options.device for one in found[name] for ms in one["raw_ms"]["sgemm"]]
        rate = 2 * SIZE**3 / float(np.median(rates)) / 1e6
        theirs = _median(found["pytorch"], "train")
        for results in found.values():
            train = _median(results, "train")
            row = {
                "negatives": negatives, "name": results[0].get("runtime", "pytorch"), "train_ms_p50": round(train, 3),
                "of_pytorch": round(train / theirs, 3), "of_limit": round(train / (work["train"] / rate / 1e6), 3),
                "embed_ms_p50": round(_median(results, "embed"), 4), "sgemm_gflops": round(rate, 1),
                "peak_rss_mb": max(one["peak_rss_mb"] for one in results), "rounds": results,
            }  # fmt: skip
            rows.append(row)
            print(
                f"{negatives:>9} {row['name']:<16} {train:>6.2f} ms {row['of_pytorch']:>10.2f} {row['of_limit']:>8.2f} "
                f"{row['embed_ms_p50']:>6.3f} ms {row['peak_rss_mb']:>6.1f} MB",
                flush=True,
            )
    print(json.dumps({"benchmark": "peers-device", "calls": options.calls, "rows": rows}))


def _median(results: list[dict[str, Any]], kind: str) -> float:
    return float(np.median([value for result in results for value in result["raw_ms"][kind]]))


if __name__ == "__main__":
    main()
