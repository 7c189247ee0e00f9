"""How fast does global training run on this machine? Events a second, on whatever device TensorFlow finds.

    python benchmarks/train_throughput.py [--items 4000 1000000 4000000] [--batching sessions] [--implementation keras]

Trains on a log made for the purpose (Zipf items, geometric lengths of sequences), with the full softmax up to --full
items and the sampled softmax above. The first call, which builds the graph, is apart; then calls of some steps each
are timed. An event is a target. Prints a table, and one JSON document as the last line.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from typing import Any

import numpy as np


def log_of(users: int, length: float, items: int) -> Any:
    """Sequences with `length` events on average, items with P(row) about 1 / row."""
    from pocketrec.cloud.data.sequences import Sequences, offsets_of

    rng = np.random.default_rng(1)
    lengths = 1 + rng.geometric(1 / max(1.0, length - 1), users)
    rows = np.clip(np.exp(rng.random(lengths.sum()) * np.log(items + 1)).astype(np.int32), 1, items)
    names = np.array([f"{i:08}" for i in range(users)], object)
    return Sequences(names, offsets_of(lengths), rows, np.arange(len(rows)))


def measure(items: int, options: argparse.Namespace) -> dict[str, Any]:
    from pocketrec.cloud.backbones import backbone, build_model
    from pocketrec.cloud.config.model import GruOptions, ModelConfig
    from pocketrec.cloud.config.training import SessionOptions, TrainConfig
    from pocketrec.cloud.training.batches import Batch
    from pocketrec.cloud.training.objective import Objective
    from pocketrec.cloud.training.step import Step, TrainSteps
    from pocketrec.cloud.training.trainer import make_batches
    from pocketrec.device.base.memory import peak_resident_mb

    loss = options.loss or ("full_softmax" if items <= options.full else "sampled_softmax")
    gru = GruOptions(hidden=options.hidden, layers=options.layers, implementation=options.implementation)
    model_config = ModelConfig(embedding=options.embedding, window=options.window, tables={"gru": gru})
    config = TrainConfig(
        batch=options.batch, loss=loss, negatives=options.negatives, optimizer=options.optimizer,
        batching=options.batching, tables={"sessions": SessionOptions(unroll=options.unroll)},
    )  # fmt: skip
    log = log_of(options.batch * options.steps * (options.calls + 2), options.length, items)
    model = build_model(model_config, items, 1)
    objective = Objective(config, np.bincount(log.items, minlength=items + 1))
    run = TrainSteps(backbone("gru"), model, model_config, config, objective, 1)
    batches = make_batches(model_config, config, log).blocks([1])
    arrays = next(iter(batches)).batches
    raw, first, events = [], 0.0, 0
    for call in range(options.calls + 1):
        part = Batch(*(array[call * options.steps : (call + 1) * options.steps] for array in arrays))
        count = len(part.items)
        if count < options.steps:
            break
        rates, kept = np.full(count, 1e-3, np.float32), np.full(count, -1, np.float32)
        step = Step(part, np.arange(count, dtype=np.int32), rates, kept)
        started = time.perf_counter()
        run(step)
        took = time.perf_counter() - started
        if call:
            raw.append(took / count * 1e3)
            events += int((part.targets > 0).sum())
        else:
            first = took
    return {
        "items": items, "loss": loss, "optimizer": options.optimizer, "batching": options.batching,
        "implementation": run.model_config.options.implementation,
        "targets_per_step": round(events / (len(raw) * options.steps)),
        "step_ms_p50": round(float(np.median(raw)), 3), "first_call_s": round(first, 2),
        "events_per_s": round(events / (sum(raw) * options.steps / 1e3)), "peak_rss_mb": round(peak_resident_mb()),
        "raw_step_ms": [round(value, 3) for value in raw],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[4_000, 4_000_000], help="sizes of the catalogue")
    parser.add_argument("--full", type=int, default=20_000, help="largest catalogue with the full softmax")
    parser.add_argument("--loss", default="", help="this loss instead, for every size")
    parser.add_argument("--batching", default="windows")
    parser.add_argument("--implementation", default="auto")
    parser.add_argument("--optimizer", default="adam")
    for name, value in (
        ("batch", 64), ("unroll", 8), ("negatives", 2048), ("embedding", 64), ("hidden", 96), ("layers", 2),
        ("window", 20), ("length", 20), ("steps", 10), ("calls", 10),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "?") for gpu in gpus]
    rows = []
    print(f"{'items':>9} {'loss':<16} {'targets':>7} {'step':>10} {'events/s':>9} {'first call':>10} {'peak RSS':>9}")
    for items in options.items:
        row = measure(items, options)
        rows.append(row)
        print(
            f"{items:>9} {row['loss']:<16} {row['targets_per_step']:>7} {row['step_ms_p50']:>7.2f} ms"
            f" {row['events_per_s']:>9} {row['first_call_s']:>8.1f} s {row['peak_rss_mb']:>6} MB"
        )
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "gpus": names}
    print(json.dumps({"benchmark": "train_throughput", "options": vars(options), "machine": machine, "rows": rows}))


if __name__ == "__main__":
    main()
