# SPDX-License-Identifier: Apache-2.0
"""How fast does a device search the whole catalogue, and does the int8 table keep the order of the float one?

    python benchmarks/retrieve.py [--items 50000 500000] [--runtimes ai_edge_litert tflite_runtime] [--keep DIR]

For each size a file of the reference shape (E = 64, H = 96, two GRU layers, T = 20) with an untrained model is written,
whose items lie in clusters of two levels with norms that fall with popularity, as those of trained tables do. A process
of its own for each runtime calls the signature `retrieve`, `embed`, and the same search in numpy over the same pages,
one after the other, and takes CPU times; the reference of `retrieve` is numpy's search and `embed` together, which is
the same work; its ratio to numpy's search alone is printed beside it. Recall is that of the first 100 of the float32
table's order, for users that are mixtures of four items; and `same` the share of the first 100 that the signature and
numpy have in common for the users of the model. Anonymous memory is what the first calls of `retrieve` add to a process
that has called `embed`. Prints a table, and one JSON document as the last line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CALLS, WARM_UP, USERS, TOP = 60, 6, 40, 100
EMBEDDING, HIDDEN, WINDOW, BATCH, K = 64, 96, 20, 8, 200
TABLE = "table.npy"


def item_table(items: int) -> np.ndarray:
    """Float32 (N + 1, E): 20 groups of clusters, an item near its cluster, norms .86 to 2.4, larger where popular."""
    rng = np.random.default_rng(1)
    groups = rng.normal(size=(20, EMBEDDING))
    clusters = groups[rng.integers(0, 20, 400)] + 0.7 * rng.normal(size=(400, EMBEDDING))
    rows = clusters[rng.integers(0, 400, items)].astype(np.float32)
    rows += 0.7 * rng.standard_normal(rows.shape, np.float32)
    rows *= np.linspace(2.4, 0.86, items, dtype=np.float32)[:, None] / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.concatenate([np.zeros((1, EMBEDDING), np.float32), rows])


def write(items: int, folder: Path) -> None:
    """model.tflite and facts.json as an export leaves them, and the float table."""
    from pocketrec.cloud.backbones import build_model
    from pocketrec.cloud.config.export import ExportConfig
    from pocketrec.cloud.config.model import GruOptions, ModelConfig
    from pocketrec.export.build import build_tflite

    config = ModelConfig(embedding=EMBEDDING, window=WINDOW, tables={"gru": GruOptions(hidden=HIDDEN, layers=2)})
    model, table = build_model(config, items, 1), item_table(items)
    for layer in model.layers:
        if layer.name == "item_embedding":
            layer.set_weights([table])
    export = ExportConfig(batch=BATCH, full_softmax_limit=0, retrieve=K)
    started = time.perf_counter()
    made = build_tflite(model, config, export, way="head", optimizer="sgd", candidates=TOP)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "seconds").write_text(f"{time.perf_counter() - started:.1f}", encoding="ascii")
    np.save(folder / TABLE, table)
    made.save(folder, {})


def measure(folder: Path, runtime: str) -> dict[str, Any]:
    """One process: times in ms of CPU, memory in MB, recall."""
    from pocketrec.device.contract.retrieval import retrieval_of
    from pocketrec.device.engine.model import Model
    from pocketrec.device.engine.retrieve import ItemScan
    from pocketrec.device.personal.windows import log_uniform

    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    path = folder / "model.tflite"
    items = facts["model"]["items"]
    told = retrieval_of(facts["retrieval"], items, path.stat().st_size)
    model = Model(path, runtime, items=items)
    windows = log_uniform(USERS * WINDOW, items, 3, 0).reshape(USERS, 1, WINDOW).astype(np.int32)
    users = [model.embed(window) for window in windows]
    before = _anonymous_mb()
    started = time.process_time()
    model.retrieve(windows[0])
    first = (time.process_time() - started) * 1e3
    for window in windows[:3]:
        model.retrieve(window)
    anonymous = _anonymous_mb() - before
    scan = ItemScan(path, told.table)
    calls: dict[str, Callable[[int], object]] = {
        "retrieve": lambda user: model.retrieve(windows[user]),
        "numpy": lambda user: scan.best(users[user], told.k),
        "embed": lambda user: model.embed(windows[user]),
    }
    series: dict[str, list[float]] = {name: [] for name in calls}
    for call in range(WARM_UP + CALLS):  # in turns, so that a busy machine harms all alike
        for name, run in calls.items():
            started = time.process_time()
            run(call % USERS)
            series[name].append((time.process_time() - started) * 1e3)
    p50 = {name: float(np.median(values[WARM_UP:])) for name, values in series.items()}
    same = [len(np.intersect1d(model.retrieve(window)[0][:TOP], scan.best(user, TOP)[0])) / TOP
            for window, user in zip(windows, users, strict=True)]  # fmt: skip
    table, recall = np.load(folder / TABLE, mmap_mode="r"), []
    for rows in windows[:, 0, :4]:
        user = table[rows].mean(axis=0)
        exact = np.argsort(-(table[1:] @ user), kind="stable")[:TOP] + 1
        recall.append(len(np.intersect1d(scan.best(user, TOP)[0], exact)) / TOP)
    return {
        "items": items, "runtime": model.runtime, "k": told.k, "model_mb": round(path.stat().st_size / 1e6, 1),
        "retrieve_first_ms": round(first, 3), **{f"{name}_ms_p50": round(value, 4) for name, value in p50.items()},
        "retrieve_ms_p95": round(float(np.percentile(series["retrieve"][WARM_UP:], 95)), 4),
        "ratio": round(p50["retrieve"] / (p50["numpy"] + p50["embed"]), 3),
        "ratio_to_numpy_alone": round(p50["retrieve"] / p50["numpy"], 3),
        "anonymous_mb": round(anonymous, 2),
        "recall": round(float(np.mean(recall)), 4), "same": round(float(np.mean(same)), 4),
        "raw_ms": {name: [round(value, 4) for value in values[WARM_UP:]] for name, values in series.items()},
    }  # fmt: skip


def _anonymous_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("RssAnon"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[50_000, 500_000], help="sizes")
    parser.add_argument("--runtimes", nargs="+", default=["ai_edge_litert", "tflite_runtime"], help="runtimes")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the device's process")
    parser.add_argument("--keep", metavar="DIR", help="keep the files, and use those that are there")
    parser.add_argument("--measure", metavar="DIR", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(Path(options.measure), options.runtimes[0])))
        return
    rows = []
    place: Any = contextlib.nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory()
    head = ("items", "runtime", "retrieve", "p95", "numpy", "embed", "ratio", "alone", "anonymous", "recall", "same")
    print(f"{head[0]:>9} {head[1]:<15} " + " ".join(f"{name:>10}" for name in head[2:]))
    with place as folder:
        for items in options.items:
            files = Path(folder) / f"items-{items}"
            if not (files / "facts.json").exists():
                write(items, files)
            for runtime in options.runtimes:
                command = [options.python, __file__, "--runtimes", runtime, "--measure", str(files)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                row = json.loads(done.stdout.splitlines()[-1])
                rows.append(row)
                times = [row[name] for name in ("retrieve_ms_p50", "retrieve_ms_p95", "numpy_ms_p50", "embed_ms_p50")]
                cells = [*(f"{value:.3f} ms" for value in times), f"{row['ratio']:.2f}",
                         f"{row['ratio_to_numpy_alone']:.2f}", f"{row['anonymous_mb']:.1f} MB",
                         f"{row['recall']:.4f}", f"{row['same']:.4f}"]  # fmt: skip
                print(f"{items:>9,} {row['runtime']:<15} " + " ".join(f"{cell:>10}" for cell in cells), flush=True)
    print(json.dumps({"benchmark": "retrieve", "calls": CALLS, "sizes": rows}))


if __name__ == "__main__":
    main()
