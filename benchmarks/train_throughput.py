# SPDX-License-Identifier: Apache-2.0
"""How fast does global training run on this machine? Events a second, on whatever device TensorFlow finds.

    python benchmarks/train_throughput.py [--items 4000 1000000 4000000] [--batching sessions] [--implementation keras]
    python benchmarks/train_throughput.py --items 300 4000 --backbone gru mingru:feed_forward=0 --threads 1

Trains on a log made for the purpose (Zipf items, geometric lengths of sequences), with the full softmax up to --full
items and the sampled softmax above. The first call, which builds the graph, is apart; then calls of some steps each
are timed. Several backbones take turns, call by call, in one process; how fast each is beside the first one is the
ratio of their events a second, of median steps, by the time that passes and by the processor's (of all threads: on a
shared machine it leaves out the waiting). --threads 1 gives TensorFlow one thread and the process one core. An event
is a target. Prints a table, and one JSON document as the last line.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from typing import Any

import numpy as np
from models import read_models

from pocketrec.device.base.errors import PocketRecError


def log_of(users: int, length: float, items: int) -> Any:
    """Sequences with `length` events on average, items with P(row) about 1 / row."""
    from pocketrec.cloud.data.sequences import Sequences, offsets_of

    rng = np.random.default_rng(1)
    lengths = 1 + rng.geometric(1 / max(1.0, length - 1), users)
    rows = np.clip(np.exp(rng.random(lengths.sum()) * np.log(items + 1)).astype(np.int32), 1, items)
    names = np.array([f"{i:08}" for i in range(users)], object)
    return Sequences(names, offsets_of(lengths), rows, np.arange(len(rows)))


class Training:
    """One backbone's training, and the times of its calls."""

    def __init__(self, name: str, model_config: Any, items: int, options: argparse.Namespace, log: Any) -> None:
        from pocketrec.cloud.backbones import backbone, build_model
        from pocketrec.cloud.config.training import SessionOptions, TrainConfig
        from pocketrec.cloud.training.objective import Objective
        from pocketrec.cloud.training.step import TrainSteps
        from pocketrec.cloud.training.trainer import make_batches

        loss = options.loss or ("full_softmax" if items <= options.full else "sampled_softmax")
        config = TrainConfig(
            batch=options.batch, loss=loss, negatives=options.negatives, optimizer=options.optimizer,
            batching=options.batching, tables={"sessions": SessionOptions(unroll=options.unroll)},
            objective="next_item" if model_config.causal else "cloze",
        )  # fmt: skip
        self.name, self.loss, self.steps = name, loss, options.steps
        model = build_model(model_config, items, 1)
        self.weights = int(sum(np.prod(variable.shape) for variable in model.trainable_variables))
        objective = Objective(config, np.bincount(log.items, minlength=items + 1))
        self.run = TrainSteps(backbone(model_config.backbone), model, model_config, config, objective, 1)
        self.arrays = next(iter(make_batches(model_config, config, log).blocks([1]))).batches
        self.first, self.events = 0.0, 0
        self.passed: list[float] = []
        self.used: list[float] = []

    def call(self, number: int) -> None:
        """Some steps; the first call, number 0, is no part of the series."""
        from pocketrec.cloud.training.batches import Batch
        from pocketrec.cloud.training.step import Step

        part = Batch(*(array[number * self.steps : (number + 1) * self.steps] for array in self.arrays))
        count = len(part.items)
        if count < self.steps:
            return
        rates, kept = np.full(count, 1e-3, np.float32), np.full(count, -1, np.float32)
        step = Step(part, np.arange(count, dtype=np.int32), rates, kept)
        started, used = time.perf_counter(), time.process_time()
        self.run(step)
        took, used = time.perf_counter() - started, time.process_time() - used
        if not number:
            self.first = took
            return
        self.passed.append(took / count * 1e3)
        self.used.append(used / count * 1e3)
        self.events += int((part.targets > 0).sum())

    def figures(self) -> dict[str, Any]:
        targets = self.events / (len(self.passed) * self.steps)
        passed, used = float(np.median(self.passed)), float(np.median(self.used))
        return {
            "model": self.name, "weights": self.weights,
            "implementation": getattr(self.run.model_config.options, "implementation", None), "loss": self.loss,
            "targets_per_step": round(targets), "step_ms_p50": round(passed, 3), "step_cpu_ms_p50": round(used, 3),
            "first_call_s": round(self.first, 2),
            "events_per_s": round(self.events / (sum(self.passed) * self.steps / 1e3)),
            "events_per_s_p50": targets / passed * 1e3, "events_per_cpu_s_p50": targets / used * 1e3,
            "raw_step_ms": [round(value, 3) for value in self.passed],
            "raw_step_cpu_ms": [round(value, 3) for value in self.used],
        }  # fmt: skip


def measure(items: int, models: dict[str, Any], options: argparse.Namespace) -> list[dict[str, Any]]:
    """The figures of each model at one size of the catalogue."""
    from pocketrec.device.base.memory import peak_resident_mb

    log = log_of(options.batch * options.steps * (options.calls + 2), options.length, items)
    trainings = [Training(name, config, items, options, log) for name, config in models.items()]
    for number in range(options.calls + 1):
        for training in trainings:
            training.call(number)
    rows = [training.figures() for training in trainings]
    for row in rows:
        for key in ("events_per_s_p50", "events_per_cpu_s_p50"):
            row[f"{key}_of_first"] = round(row[key] / rows[0][key], 3)
    for row in rows:
        row |= {key: round(row[key]) for key in ("events_per_s_p50", "events_per_cpu_s_p50")}
        row |= {"items": items, "optimizer": options.optimizer, "batching": options.batching,
                "peak_rss_mb": round(peak_resident_mb())}  # fmt: skip
    return rows


def on_few_cores(count: int) -> None:
    """Give TensorFlow `count` threads, and this process as many cores where the system can."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-count:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[4_000, 4_000_000], help="sizes of the catalogue")
    parser.add_argument("--backbone", nargs="+", default=["gru"], metavar="NAME[:KEY=VALUE,...]",
                        help="these take turns, with options of [model.NAME]; ratios are to the first")  # fmt: skip
    parser.add_argument("--option", nargs="+", default=[], metavar="NAME.KEY=VALUE", help="for every NAME")
    parser.add_argument("--threads", type=int, default=0, help="threads and cores; 0 = all that there are")
    parser.add_argument("--full", type=int, default=20_000, help="largest catalogue with the full softmax")
    parser.add_argument("--loss", default="", help="this loss instead, for every size")
    parser.add_argument("--batching", default="windows")
    parser.add_argument("--implementation", help="of a GRU")
    parser.add_argument("--optimizer", default="adam")
    for name in ("hidden", "layers"):
        parser.add_argument(f"--{name}", type=int, help="of every backbone with this option; its own default if absent")
    for name, value in (
        ("batch", 64), ("unroll", 8), ("negatives", 2048), ("embedding", 64), ("window", 20), ("length", 20),
        ("steps", 10), ("calls", 10),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    try:
        defaults = {name: getattr(options, name) for name in ("hidden", "layers", "implementation")}
        models = read_models(options.backbone, options.option, defaults, embedding=options.embedding,
                             window=options.window)  # fmt: skip
    except PocketRecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    import tensorflow as tf

    if options.threads:
        on_few_cores(options.threads)
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "?") for gpu in gpus]
    rows = []
    wide = max(5, *map(len, models))
    print(f"{'items':>9} {'model':<{wide}} {'loss':<16} {'targets':>7} {'step':>10} {'CPU':>10} {'events/s':>9} "
          f"{'of first':>8} {'by CPU':>6} {'first call':>10} {'peak RSS':>9}")  # fmt: skip
    for items in options.items:
        for row in measure(items, models, options):
            rows.append(row)
            print(
                f"{items:>9} {row['model']:<{wide}} {row['loss']:<16} {row['targets_per_step']:>7}"
                f" {row['step_ms_p50']:>7.2f} ms {row['step_cpu_ms_p50']:>7.2f} ms {row['events_per_s']:>9}"
                f" {row['events_per_s_p50_of_first']:>8.2f} {row['events_per_cpu_s_p50_of_first']:>6.2f}"
                f" {row['first_call_s']:>8.1f} s {row['peak_rss_mb']:>6} MB",
                flush=True,
            )
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "gpus": names}
    print(json.dumps({"benchmark": "train_throughput", "options": vars(options), "machine": machine, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
