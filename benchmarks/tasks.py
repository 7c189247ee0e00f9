# SPDX-License-Identifier: Apache-2.0
"""Three tasks beside one model: what a swap costs, in time, bytes and memory, each beside its other way in one run.

    python -P benchmarks/tasks.py BUNDLE [--runtime auto] [--calls 200] [--items 1000]

Three random patches of `--items` items each are put into a copy of BUNDLE. Timed are the swap (the import of a patch's
tensors) beside opening the model again, and the scores of a whole head in numpy beside calls of the graph's `infer` for
as many candidates, the embedding included in both. Bytes are of three patches beside three models; memory is the
resident size after three tasks were asked, beside three recommenders with a model each. Times are process CPU times,
medians, the two ways in turns.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pocketrec.device import Recommender
from pocketrec.device.contract.patch import ITEMS_KIND, Patch, head_of, pack
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.delivery.patches import patch_path
from pocketrec.device.personal.task import scores_of
from pocketrec.device.personal.windows import context

NAMES = ("first", "second", "third")
_MEMORY = """
import sys
from pocketrec.device import Recommender
from pocketrec.device.base.memory import resident_mb
kind, bundle, runtime, *names = sys.argv[1:]
made, before = [], 0.0
for name in names:
    if kind == "models" or not made:
        recommender = Recommender(bundle, runtime=runtime)
        recommender.add(recommender.bundle.vocabulary.ids(range(1, 21)))
        made.append(recommender)
    task = recommender.task(name)
    made.append(task)
    task.recommend(10)
    before = before or resident_mb()
print(resident_mb() - before)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--items", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(options.bundle, Path(folder) / "bundle"))
        bundle = open_bundle(copy)
        sizes = [put(bundle, name, seed, options.items) for seed, name in enumerate(NAMES)]
        found = measured(copy, options.runtime, options.calls)
        memory = {kind: float(subprocess.run(
            [sys.executable, "-P", "-c", _MEMORY, kind, str(copy), options.runtime, *NAMES], check=True,
            capture_output=True, text=True).stdout) for kind in ("tasks", "models")}  # fmt: skip
        model = bundle.model_path.stat().st_size
    result = {
        **found, "patch_bytes": sizes[0], "model_bytes": model,
        "bytes_ratio": round((model + sum(sizes)) / (3 * model), 4),
        "tasks_rss_mb": round(memory["tasks"], 2), "models_rss_mb": round(memory["models"], 2),
        "rss_ratio": round(memory["tasks"] / memory["models"], 4) if memory["models"] > 0 else None,
    }  # fmt: skip
    print(f"a swap takes {result['swap_ms']} ms, opening the model {result['open_ms']} ms: {result['swap_ratio']}")
    print(f"scores of {options.items} items: {result['numpy_ms']} ms in numpy, {result['graph_ms']} ms in the graph: "
          f"{result['numpy_ratio']}")  # fmt: skip
    print(f"bytes of a model and three patches, of those of three models: {result['bytes_ratio']}")
    print(f"memory of the second and third task: {result['tasks_rss_mb']} MB, as models {result['models_rss_mb']} MB")
    print(json.dumps(result))
    return 0


def put(bundle: Bundle, name: str, seed: int, items: int) -> int:
    """Write a random patch into the bundle's folder; its bytes."""
    rng = np.random.default_rng(seed)
    tensors = {spec["name"]: rng.normal(0, 0.05, spec["shape"]).astype(np.float32)
               for spec in bundle.manifest.tensors["trainable"]}  # fmt: skip
    rows = rng.normal(0, 1, (items + 1, int(bundle.manifest.model["embedding"]))).astype(np.float32)
    patch = Patch(name, ITEMS_KIND, str(bundle.manifest.model["way"]), bundle.manifest.model_id,
                  tuple(f"{name} {row}" for row in range(items)), tensors, *head_of(rows, ITEMS_KIND),
                  np.zeros(items + 1, np.float32), Recipe(), {})  # fmt: skip
    path = patch_path(bundle.folder, name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pack(patch))
    return path.stat().st_size


def measured(folder: Path, runtime: str, calls: int) -> dict[str, object]:
    """Times of both ways, and their ratios."""
    recommender = Recommender(folder, runtime=runtime)
    bundle = recommender.bundle
    recommender.add(bundle.vocabulary.ids(range(1, 21)))
    tasks = [recommender.task(name) for name in NAMES]
    for task in tasks:
        task.embed()
    serving, weights = recommender._session.serving, [task._reference() for task in tasks]
    turns = iter(range(10**9))
    model, patch = recommender.model, tasks[0].patch
    window = context(recommender._session.events[0], model.window)
    count = len(patch.ids)
    rows = np.resize(np.arange(1, len(bundle.vocabulary) + 1, dtype=np.int32),
                     -(-count // model.candidates) * model.candidates).reshape(-1, model.candidates)  # fmt: skip

    def in_graph() -> None:
        for part in rows:
            model.infer(window, part)

    swap, opened = turned(lambda: serving.model(weights[next(turns) % 3]), lambda: bundle.load_model(runtime).batch,
                          calls)  # fmt: skip
    numpy_ms, graph_ms = turned(lambda: scores_of(patch, model.embed(window)), in_graph, calls)
    return {
        "runtime": model.runtime, "calls": calls, "items": count, "swap_ms": swap, "open_ms": opened,
        "swap_ratio": round(swap / opened, 4), "numpy_ms": numpy_ms, "graph_ms": graph_ms,
        "numpy_ratio": round(numpy_ms / graph_ms, 4),
    }  # fmt: skip


def turned(one: Callable[[], object], other: Callable[[], object], calls: int) -> tuple[float, float]:
    """Median CPU ms of two functions, called in turns after a tenth as many for warm-up."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(calls + calls // 10):
        for place, function in enumerate((one, other)):
            started = time.process_time()
            function()
            if number >= calls // 10:
                taken[place].append((time.process_time() - started) * 1e3)
    first, second = (round(statistics.median(series), 4) for series in taken)
    return first, second


if __name__ == "__main__":
    sys.exit(main())
