# SPDX-License-Identifier: Apache-2.0
"""What the ranker of the second stage costs on a device: `rank`, and a step of the way that trains it, against `infer`.

    python benchmarks/rank.py [--items 50000] [--positions 32] [--transitions 0] [--runtimes ...] [--keep DIR]

A file of the reference shape (E = 64, H = 96, two GRU layers, T = 20), untrained, int8 table, with RankNet of 64 and 32
units; with `--transitions M`, `rank` reads a table of M items for each item too. A process of its own for each runtime
calls `infer` of 100 items, `rank` of 100 and of 1,000, a train step of the way `ranker` (user embeddings of 32
positions, 32 shared negatives), and what makes the user embeddings, once for a training (16 windows of 20 events, 320
positions, a call), one after the other, in CPU time. Prints a table, and one JSON document as the last line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CALLS, WARM_UP = 200, 20
EMBEDDING, HIDDEN, WINDOW, BATCH, CANDIDATES, NEGATIVES, UNITS = 64, 96, 20, 16, 100, 32, (64, 32)


def write(items: int, rank: int, positions: int, transitions: int, path: Path) -> None:
    """A model file with the signature rank, and steps of so many positions, 0 = as many as an export has; the ranker
    reads a table of so many `transitions` of each item."""
    from pocketrec.cloud.backbones import backbone, build_model, item_embeddings
    from pocketrec.cloud.config.export import ExportConfig
    from pocketrec.cloud.config.model import GruOptions, ModelConfig
    from pocketrec.cloud.rankers.transitions import FEATURES, KINDS, Transitions
    from pocketrec.cloud.ways.ranker import TRAINED
    from pocketrec.device.contract.names import RANKER_TENSORS
    from pocketrec.export.file.convert import convert
    from pocketrec.export.graph.graph import GraphModel, GraphShape
    from pocketrec.export.graph.positions import PositionGraph
    from pocketrec.export.graph.weights import weights_of
    from pocketrec.export.rankers.ranknet import RankNet
    from pocketrec.export.second import positions_of
    from pocketrec.export.tables.table import ItemTable

    config = ModelConfig(embedding=EMBEDDING, window=WINDOW, tables={"gru": GruOptions(hidden=HIDDEN, layers=2)})
    model, rng, export = build_model(config, items, 1), np.random.default_rng(1), ExportConfig(batch=BATCH)
    one, two = UNITS
    shapes = [(EMBEDDING, one), (EMBEDDING, one), (one,), (one, two), (two,), (two,)]
    own = {name: rng.normal(0, 0.1, shape).astype(np.float32)
           for name, shape in zip(RANKER_TENSORS, shapes, strict=True)}  # fmt: skip
    held = GraphModel(backbone("gru").layers(config), {**weights_of(model), **own}, TRAINED)
    table = ItemTable.quantise(item_embeddings(model), "int8")
    positions = positions or positions_of("ranker", export)
    shape = GraphShape(BATCH, WINDOW, CANDIDATES, NEGATIVES, rank=rank, positions=positions)
    told = None
    if transitions:
        rows = rng.integers(1, items + 1, (items + 1, transitions), dtype=np.int32)
        values = rng.integers(0, 128, (KINDS, items + 1, transitions), dtype=np.int8)
        weights = rng.normal(0, 0.1, (FEATURES, one)).astype(np.float32)
        told = Transitions(rows, values, np.full(KINDS, 0.05, np.float32), np.ones(items + 1, np.float32), weights,
                           np.ones(FEATURES, np.float32))  # fmt: skip
    graph = PositionGraph(held, table, "sgd", shape, second=RankNet(told))
    path.write_bytes(convert(graph))


def measure(folder: Path, items: int, runtime: str) -> dict[str, Any]:
    """One process: times in ms of CPU."""
    from pocketrec.device.engine.model import Model
    from pocketrec.device.personal.windows import log_uniform

    few, many = (Model(folder / f"{rank}.tflite", runtime, items=items) for rank in (100, 1000))
    rows = log_uniform(BATCH * WINDOW + 1000 + NEGATIVES, items, 3, 0).astype(np.int32)
    windows = rows[: BATCH * WINDOW].reshape(BATCH, WINDOW)
    users, targets = (made[0] for made in few.steps(windows[None], windows[None]))
    candidates, negatives = rows[BATCH * WINDOW :][:1000], rows[-NEGATIVES:]
    calls = {
        "infer_100": lambda: few.infer(windows[:1], candidates[:CANDIDATES]),
        "rank_100": lambda: few.rank(windows[:1], candidates[:100]),
        "rank_1000": lambda: many.rank(windows[:1], candidates),
        "train": lambda: few.train(users, targets, 0.01, 0.0, negatives),
        "embed_windows": lambda: few.embed_windows(windows),
    }
    series: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(WARM_UP + CALLS):
        for name, run in calls.items():
            started = time.process_time()
            run()
            series[name].append((time.process_time() - started) * 1e3)
    p50 = {name: float(np.median(values[WARM_UP:])) for name, values in series.items()}
    return {
        "items": items, "runtime": few.runtime, "positions": few.positions,
        **{f"{name}_ms_p50": round(value, 4) for name, value in p50.items()},
        "rank_1000_of_infer": round(p50["rank_1000"] / p50["infer_100"], 3),
        "train_of_infer": round(p50["train"] / p50["infer_100"], 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=50_000, help="size of the catalogue")
    parser.add_argument("--positions", type=int, default=0, help="targets of a step; 0 = as in an export")
    parser.add_argument("--transitions", type=int, default=0, help="items of each item in the ranker's table; 0 = none")
    parser.add_argument("--runtimes", nargs="+", default=["ai_edge_litert", "tflite_runtime"], help="runtimes")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the device's process")
    parser.add_argument("--keep", metavar="DIR", help="keep the files, and use those that are there")
    parser.add_argument("--measure", metavar="DIR", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(Path(options.measure), options.items, options.runtimes[0])))
        return
    rows = []
    place: Any = contextlib.nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory()
    names = ("infer_100", "rank_100", "rank_1000", "train", "embed_windows")
    print(f"{'runtime':<15} " + " ".join(f"{name:>13}" for name in names) + f" {'rank 1,000':>11} {'train':>6}")
    with place as folder:
        Path(folder).mkdir(exist_ok=True)
        for rank in (100, 1000):
            if not (path := Path(folder) / f"{rank}.tflite").exists():
                write(options.items, rank, options.positions, options.transitions, path)
        for runtime in options.runtimes:
            command = [options.python, __file__, "--runtimes", runtime, "--measure", str(folder), "--items",
                       str(options.items)]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            rows.append(row)
            times = " ".join(f"{row[f'{name}_ms_p50']:>10.3f} ms" for name in names)
            print(f"{row['runtime']:<15} {times} {row['rank_1000_of_infer']:>9.2f} x {row['train_of_infer']:>4.1f} x",
                  flush=True)  # fmt: skip
    print(json.dumps({"benchmark": "rank", "calls": CALLS, "runtimes": rows}))


if __name__ == "__main__":
    main()
