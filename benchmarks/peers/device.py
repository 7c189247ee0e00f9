# SPDX-License-Identifier: Apache-2.0
"""Train step, embed, file and memory of one device, of models in turns on one core, and PyTorch's times beside them.

    python benchmarks/peers/device.py --pytorch PYTHON [--device PYTHON ...] [--negatives 0 100] [--rounds 3]
    python benchmarks/peers/device.py --model gru --model mingru:feed_forward=0,layers=2 [--runtime tflite_runtime ...]

The reference configuration R (3,706 items, E = 64, H = 96, two GRU layers, T = 20, B = 16; last GRU and FC trained with
Adagrad) with the full softmax (0 negatives) or a sampled one; --model names others in its place (`../models.py`), --way
and --optimizer how they are trained; NAME@WAY gives one a way of its own. --pytorch is the interpreter of an
environment with PyTorch, brought by whoever runs this: it runs R's GRU alone. --device names those of environments with
a runtime (default: this one), --runtime the runtimes in each. Every round runs each of them in a new process, one
thread, without TensorFlow. Times are CPU times of the process, medians: on an idle machine the times that pass, and on
a shared one they leave out the waiting; what else runs there makes a call take longer all the same, and the least of
all calls ("least", of first) less so. The rate of numpy's matrix product is measured alike between the calls, and the
arithmetic limit is that of `pocketrec.device.bench.limit`. Memory is the peak after the first calls, above that of a
process of the same run which has only loaded numpy and the runtime. "of first" is the ratio to the first model on the
same runtime. Prints a table, and one JSON document as the last line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = {"items": 3706, "embedding": 64, "window": 20, "batch": 16}  # also pytorch_device.py's
SIZE, EVERY, WARM_UP = 512, 10, 20
PYTORCH = Path(__file__).with_name("pytorch_device.py")
EXPORT = Path(__file__).parents[1] / "export_models.py"
RATIOS = ("train_ms_p50", "train_ms_least", "embed_ms_p50", "embed_ms_least", "file_bytes", "above_base_mb")


def base(runtime: str) -> dict[str, Any]:
    """Peak memory of this process, which has only numpy, once it has loaded the runtime, too."""
    from pocketrec.device.base.memory import peak_resident_mb
    from pocketrec.device.engine.runtime import choose_runtime
    from pocketrec.device.engine.runtimes import RUNTIMES

    RUNTIMES.load(choose_runtime(runtime))
    return {"peak_rss_mb": round(peak_resident_mb(), 1)}


def measure(path: str, negatives: int, items: int, runtime: str, calls: int) -> dict[str, Any]:
    """CPU milliseconds of every call in this process, and of the matrix product between them; peak memory before."""
    from pocketrec.device.base.memory import peak_resident_mb
    from pocketrec.device.engine.model import Model
    from pocketrec.device.personal.windows import log_uniform

    model = Model(path, runtime, items=items)
    window = np.random.default_rng(1).integers(1, items + 1, (model.batch, model.window + 1), dtype=np.int32)
    rows, targets, one = window[:, :-1].copy(), window[:, -model.targets :].copy(), window[:1, :-1].copy()
    drawn = log_uniform(negatives, items, 1, 0) if negatives else None
    raw: dict[str, list[float]] = {"train": [], "embed": [], "sgemm": []}
    kinds = {"train": lambda: model.train(rows, targets, 0.01, 0.05, drawn), "embed": lambda: model.embed(one)}
    for call in kinds.values():
        for _ in range(WARM_UP):
            call()
    peak = peak_resident_mb()
    square = np.random.default_rng(1).random((SIZE, SIZE), np.float32)
    out = np.empty_like(square)
    for name, call in kinds.items():
        for place in range(calls):
            if place % EVERY == 0:
                raw["sgemm"].append(_milliseconds(lambda: np.matmul(square, square, out=out)))
                call()
            raw[name].append(_milliseconds(call))
    return {"runtime": model.runtime, "peak_rss_mb": round(peak, 1), "raw_ms": raw}


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return round((time.process_time() - started) * 1e3, 4)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pytorch", metavar="PYTHON", help="interpreter that has PyTorch; its column is left out else")
    parser.add_argument("--device", metavar="PYTHON", nargs="+", default=[sys.executable], help="ours")
    parser.add_argument("--runtime", nargs="+", default=["auto"], help="runtimes of each, such as tflite_runtime")
    parser.add_argument("--model", action="append", metavar="NAME[@WAY][:KEY=VALUE,...]", help="default: gru")
    parser.add_argument("--way", default="partial", help="what is trained")
    parser.add_argument("--optimizer", default="adagrad", help="with what")
    parser.add_argument("--negatives", type=int, nargs="+", default=[0, 100], help="0 = the full softmax")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=100, help="calls of each kind in a round")
    for name, value in SHAPE.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--measure", nargs=2, metavar=("MODEL", "NEGATIVES"), help=argparse.SUPPRESS)
    parser.add_argument("--base", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.model = options.model or ["gru"]
    if options.pytorch and any(getattr(options, name) != value for name, value in SHAPE.items()):
        parser.error("PyTorch's side has the sizes of R alone: leave --pytorch out, or --" + ", --".join(SHAPE))
    return options


def main() -> int:
    options = parsed()
    if options.base:
        print(json.dumps(base(options.runtime[0])))
        return 0
    if options.measure:
        path, negatives = options.measure
        print(json.dumps(measure(path, int(negatives), options.items, options.runtime[0], options.calls)))
        return 0
    rows: list[dict[str, Any]] = []
    wide = max(map(len, options.model))
    print(f"{'negatives':>9} {'model':<{wide}} {'':<16} {'train':>10} {'of first':>8} {'least':>5} "
          + (f"{'of PyTorch':>10} " if options.pytorch else "")
          + f"{'of limit':>8} {'embed':>9} {'of first':>8} {'least':>5} {'file':>11} {'of first':>8} "
          + f"{'memory':>8} {'of first':>8} {'trained':>9}")  # fmt: skip
    for negatives in options.negatives:
        for row in compared(negatives, options):
            rows.append(row)
            print(line(row, wide), flush=True)
    print(json.dumps({"benchmark": "peers-device", "calls": options.calls, "way": options.way,
                      "optimizer": options.optimizer, "rows": rows}))  # fmt: skip
    return 0


def compared(negatives: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one number of negatives."""
    shape = [word for name in SHAPE for word in (f"--{name}", str(getattr(options, name)))]
    places = [(device, runtime) for device in options.device for runtime in options.runtime]
    with tempfile.TemporaryDirectory() as folder:
        made = document([sys.executable, str(EXPORT), folder, "--model", *options.model, "--way", options.way,
                         "--optimizer", options.optimizer, "--negatives", str(negatives), *shape])  # fmt: skip
        commands: dict[Any, list[str]] = {}
        for device, runtime in places:
            words = [device, __file__, "--runtime", runtime, "--calls", str(options.calls), *shape]
            commands[device, runtime, ""] = [*words, "--base"]
            for name, facts in made.items():
                commands[device, runtime, name] = [*words, "--measure", facts["file"], str(negatives)]
        if options.pytorch:
            commands["pytorch"] = [options.pytorch, str(PYTORCH), str(negatives), str(options.calls)]
        found: dict[Any, list[dict[str, Any]]] = {key: [] for key in commands}
        for _ in range(options.rounds):
            for key, command in commands.items():
                found[key].append(document(command))
    rates = [ms for place in places for name in made for one in found[*place, name] for ms in one["raw_ms"]["sgemm"]]
    rate = 2 * SIZE**3 / float(np.median(rates)) / 1e6
    theirs = p50(found["pytorch"], "train") if options.pytorch else None
    rows = []
    for place in places:
        alone = statistics.median(one["peak_rss_mb"] for one in found[*place, ""])
        first: dict[str, Any] = {}
        for name, facts in made.items():
            row = figures(negatives, found[*place, name], theirs)
            limit = (facts["flop"] or {}).get("train")
            peak = statistics.median(one["peak_rss_mb"] for one in row["rounds"])
            row |= {
                "model": name, "of_limit": round(row["train_ms_p50"] / (limit / rate / 1e6), 3) if limit else None,
                "sgemm_gflops": round(rate, 1), "file_bytes": facts["bytes"], "trained": facts["trained"],
                "base_mb": alone, "above_base_mb": round(peak - alone, 1),
            }  # fmt: skip
            first = first or row
            row |= {f"{key}_of_first": round(row[key] / first[key], 3) if first[key] else None for key in RATIOS}
            rows.append(row)
    return [*rows, *([figures(negatives, found["pytorch"], theirs)] if options.pytorch else [])]


def figures(negatives: int, results: list[dict[str, Any]], theirs: float | None) -> dict[str, Any]:
    """Times of all rounds, and the peak memory of the largest."""
    train = p50(results, "train")
    return {
        "negatives": negatives, "name": results[0].get("runtime", "pytorch"), "train_ms_p50": round(train, 3),
        "train_ms_least": min(values(results, "train")),
        "of_pytorch": None if theirs is None else round(train / theirs, 3),
        "embed_ms_p50": round(p50(results, "embed"), 4), "embed_ms_least": min(values(results, "embed")),
        "peak_rss_mb": max(one["peak_rss_mb"] for one in results),
        "rounds": results,
    }  # fmt: skip


def line(row: dict[str, Any], wide: int) -> str:
    """A row of the table: PyTorch's has times alone."""
    theirs = "" if row["of_pytorch"] is None else f"{row['of_pytorch']:>10.2f} "
    begin = f"{row['negatives']:>9} {row.get('model', ''):<{wide}} {row['name']:<16} {row['train_ms_p50']:>7.2f} ms "
    if "model" not in row:
        return f"{begin}{'':>14} {theirs}{'':>8} {row['embed_ms_p50']:>6.3f} ms"
    ratios = {key: "" if row[f"{key}_of_first"] is None else f"{row[f'{key}_of_first']:.2f}" for key in RATIOS}
    limit = "" if row["of_limit"] is None else f"{row['of_limit']:.2f}"
    return (
        f"{begin}{ratios['train_ms_p50']:>8} {ratios['train_ms_least']:>5} {theirs}{limit:>8} "
        f"{row['embed_ms_p50']:>6.3f} ms {ratios['embed_ms_p50']:>8} {ratios['embed_ms_least']:>5} "
        f"{row['file_bytes']:>9} B {ratios['file_bytes']:>8} "
        f"{row['above_base_mb']:>5.1f} MB {ratios['above_base_mb']:>8} {row['trained']:>9}"
    )


def document(command: list[str]) -> Any:
    """What a process printed as its last line."""
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, env=one_thread, capture_output=True, text=True, check=False)
    if done.returncode:
        print((done.stderr.strip().splitlines() or [f"error: {command[0]} ended"])[-1], file=sys.stderr)
        sys.exit(2)
    return json.loads(done.stdout.splitlines()[-1])


def values(results: list[dict[str, Any]], kind: str) -> list[float]:
    return [value for result in results for value in result["raw_ms"][kind]]


def p50(results: list[dict[str, Any]], kind: str) -> float:
    return float(np.median(values(results, kind)))


if __name__ == "__main__":
    sys.exit(main())
