# SPDX-License-Identifier: Apache-2.0
"""Does a device's memory grow with the catalogue? Resident memory and time of scoring by number of items.

    python benchmarks/catalogue.py [--items 5000 50000 500000 4000000] [--runtime ai_edge_litert] [--keep DIR]

For each size a full bundle of the reference shape (E = 64, H = 96, two GRU layers, T = 20, 1,024 negatives) is written,
untrained, with an int8 item table and ids of up to ten digits. A process of its own opens it and serves one user:
events of 20 items and a list of 100 candidates, both drawn by popularity (Zipf, exponent 1) or, the worst case, evenly
over the table; then `infer` is timed. Anonymous memory is the process's own; the rest of RSS are pages of files, which
the kernel maps 16 at a time and takes back when it needs the room. Prints a table, and one JSON document as the last
line.
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

CALLS, WARM_UP = 300, 30
EMBEDDING, HIDDEN, WINDOW, BATCH, CANDIDATES = 64, 96, 20, 16, 100


def write(items: int, folder: Path) -> None:
    """A bundle of an untrained model over `items` items: one of ten, with a larger item table in its place."""
    from pocketrec.cloud.backbones import build_model
    from pocketrec.cloud.config.export import ExportConfig
    from pocketrec.cloud.config.model import GruOptions, ModelConfig
    from pocketrec.device.contract import names as contract
    from pocketrec.export.build import build_tflite
    from pocketrec.export.bundle.content import BundleContent
    from pocketrec.export.bundle.write import write_bundle_files

    config = ModelConfig(embedding=EMBEDDING, window=WINDOW, tables={"gru": GruOptions(hidden=HIDDEN, layers=2)})
    small = build_tflite(
        build_model(config, 10, 1), config, ExportConfig(batch=BATCH, full_softmax_limit=0), way="partial",
        optimizer="adagrad", candidates=CANDIDATES,
    )  # fmt: skip
    tensors = json.loads(json.dumps(small.tensors))
    next(spec for spec in tensors["frozen"] if spec["dtype"] == "int8")["shape"] = [items + 1, EMBEDDING]
    write_bundle_files(
        folder,
        BundleContent(
            model_file=enlarged(small.content, items),
            items=[str(2_654_435_761 * row % 2**32) for row in range(1, items + 1)],
            recipe={},
            card="",
            model={**small.model, "items": items, "loss": contract.SAMPLED_SOFTMAX},
            tensors=tensors,
        ),
    )


def enlarged(content: bytes, items: int) -> bytes:
    """A model file over ten items with random rows for `items` of them: with the sampled softmax nothing else of the
    file depends on their number."""
    from tensorflow.lite.python import schema_py_generated as schema

    from pocketrec.export.file.shrink import write as write_model

    rng = np.random.default_rng(1)
    rows = rng.integers(-127, 128, (items + 1, EMBEDDING), dtype=np.int8)
    rows[0] = 0
    new = {EMBEDDING: rows, 1: rng.uniform(1e-4, 1e-3, (items + 1, 1)).astype(np.float32)}  # the table, its scales
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            shape = [] if tensor.shape is None else list(tensor.shape)
            if len(shape) == 2 and shape[0] == 11 and model.buffers[tensor.buffer].data is not None:
                values = new[shape[1]]
                tensor.shape = np.array(values.shape, np.int32)
                model.buffers[tensor.buffer].data = values.reshape(-1).view(np.uint8)
    return write_model(model)


def measure(bundle: str, runtime: str, even: bool) -> dict[str, Any]:
    """One user's device: memory in MB before and after, `infer` in ms."""
    from pocketrec.device.base.memory import peak_resident_mb, resident_mb
    from pocketrec.device.engine.runtime import choose_runtime
    from pocketrec.device.engine.runtimes import RUNTIMES
    from pocketrec.device.personal.windows import context, log_uniform
    from pocketrec.device.recommender import Recommender

    RUNTIMES.load(choose_runtime(runtime))
    before = resident_mb()
    recommender = Recommender(bundle, runtime=runtime)
    vocabulary = recommender.bundle.vocabulary
    items = len(vocabulary)
    rng = np.random.default_rng(3)
    drawn = rng.integers(1, items + 1, WINDOW + CANDIDATES) if even else log_uniform(WINDOW + CANDIDATES, items, 3, 0)
    rows = drawn.astype(np.int32)
    recommender.add(vocabulary.ids(rows[:WINDOW].tolist()))
    started = time.perf_counter()
    best = recommender.recommend(10, vocabulary.ids(rows[WINDOW:].tolist()))
    recommend = (time.perf_counter() - started) * 1e3
    assert len(best) == 10
    model, window = recommender.model, context(rows[:WINDOW], WINDOW)
    raw = []
    for _ in range(WARM_UP + CALLS):
        started = time.perf_counter()
        model.infer(window, rows[WINDOW:])
        raw.append((time.perf_counter() - started) * 1e3)
    series = raw[WARM_UP:]
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    anonymous = next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("RssAnon"))
    return {
        "runtime": model.runtime, "items": items, "drawn": "evenly" if even else "by popularity",
        "model_mb": round(recommender.bundle.model_path.stat().st_size / 1e6, 1),
        "rss_before_mb": round(before, 1), "rss_mb": round(resident_mb(), 1),
        "peak_rss_mb": round(peak_resident_mb(), 1), "rss_anonymous_mb": round(anonymous, 1),
        "infer_ms_p50": round(float(np.median(series)), 4), "recommend_first_ms": round(recommend, 2),
        "raw_ms": [round(value, 4) for value in series],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[5_000, 50_000, 500_000, 4_000_000], help="sizes")
    parser.add_argument("--runtime", default="auto", help="auto, ai_edge_litert or tflite_runtime")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the device's process")
    parser.add_argument("--keep", metavar="DIR", help="keep the bundles, and use those that are there")
    parser.add_argument("--measure", nargs=2, metavar=("BUNDLE", "DRAWN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure[0], options.runtime, options.measure[1] == "evenly")))
        return
    rows = []
    place: Any = contextlib.nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory()
    print(f"{'items':>9} {'drawn':<13} {'model':>9} {'RSS':>9} {'anonymous':>9} {'infer p50':>10} {'recommend':>13}")
    with place as folder:
        for items in options.items:
            bundle = Path(folder) / f"items-{items}"
            if not (bundle / "manifest.json").exists():
                write(items, bundle)
            for drawn in ("by popularity", "evenly"):
                command = [options.python, __file__, "--runtime", options.runtime, "--measure", str(bundle), drawn]
                subprocess.run(command, capture_output=True, check=True)  # hashes once, fills the page cache
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                row = json.loads(done.stdout.splitlines()[-1])
                rows.append(row)
                sizes = " ".join(f"{row[name]:>6.1f} MB" for name in ("model_mb", "rss_mb", "rss_anonymous_mb"))
                times = f"{row['infer_ms_p50']:>7.3f} ms {row['recommend_first_ms']:>10.1f} ms"
                print(f"{items:>9,} {drawn:<13} {sizes} {times}", flush=True)
    print(json.dumps({"benchmark": "catalogue", "calls": CALLS, "sizes": rows}))


if __name__ == "__main__":
    main()
