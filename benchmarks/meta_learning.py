# SPDX-License-Identifier: Apache-2.0
"""Can a starting point, or rates, be learned from which devices adapt better than from the global weights?

    python benchmarks/meta_learning.py configs/taobao-categories.toml [--out runs/taobao-categories] [--users 300]
        [--epochs 6] [--optimizer adagrad --rate 0.005 --passes 3 --pull 0.05] [--bonus 4 1.5 0.5]

Works on what the rehearsal works on, so nothing at or after the cut-off is opened: the model of the earlier cut (made
where RUN lacks it), and each user's later events, split into what a device learns from (support) and what follows
(query). Users are halved; what is learned from one half is judged on the other, and the other way round, so that every
user is judged once, by full ranking, without a guard. A quarter of the learning half picks the epoch; epoch 0 is the
global weights.

- more training: Adam on the support and query of the same users, no adaptation in it. A better start may be just that.
- reptile: start += eps (mean adapted - start), adapted on support and query (Nichol et al. 2018, batched)
- maml: Adam on the query's gradient after adaptation on the support, first-order (Finn et al. 2017)
- rates: one factor a tensor on the learning rate; d loss / d log factor ~ <query's gradient, what adaptation changed>
  (Meta-SGD, Li et al. 2017, by tensor and first-order)
- maml + rates: both

Prints a table, and one JSON document as the last line. About half an hour for taobao-categories on one core.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Weights = dict[str, Any]  # float32 arrays by name

FACTORS = (1.0, 0.3, 0.1, 0.03, 0.01)
VALIDATION = 4  # one in so many of the learning users picks the epoch
METHODS = ("more training", "reptile", "maml", "rates", "maml + rates")


@dataclass
class Learned:
    """A starting point and factors on the learning rate by tensor."""

    start: Weights
    factors: dict[str, float] = field(default_factory=dict)
    epoch: int = 0
    curve: list[float] = field(default_factory=list)
    """MRR@20 on the validation users after each epoch, that of the global weights first."""


class Adam:
    """Kingma and Ba 2015, for numpy arrays or numbers by name."""

    def __init__(self, rate: float) -> None:
        self.rate, self.count = rate, 0
        self.m: Weights = {}
        self.v: Weights = {}

    def step(self, gradients: Weights) -> Weights:
        """What to add to each value."""
        self.count += 1
        changes = {}
        for name, gradient in gradients.items():
            self.m[name] = 0.9 * self.m.get(name, 0.0) + 0.1 * gradient
            self.v[name] = 0.999 * self.v.get(name, 0.0) + 0.001 * gradient**2
            m, v = self.m[name] / (1 - 0.9**self.count), self.v[name] / (1 - 0.999**self.count)
            changes[name] = -self.rate * m / (np.sqrt(v) + 1e-8)
        return changes


def mean(parts: Sequence[Weights]) -> Weights:
    return {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}


class Learner:
    """Learns on some users' tasks with one method."""

    def __init__(self, device: Any, tasks: Sequence[Any], options: argparse.Namespace) -> None:
        self.device, self.options = device, options
        self.validation, self.tasks = tasks[::VALIDATION], [t for i, t in enumerate(tasks) if i % VALIDATION]
        self.origin: Weights = device.weights

    def quality(self, tasks: Sequence[Any], start: Weights, factors: dict[str, float] | None, adapted: bool) -> float:
        """Mean over users of MRR@20."""
        from pocketrec.device.contract.repeats import Repeats

        values = []
        for task in tasks:
            self.device.begin(start, factors)
            if adapted:
                self.device.adapt(task.support)
            values.append(self.device.judge(task, [Repeats()])[0][0])
        return float(np.mean(values))

    def best_factor(self) -> tuple[float, dict[str, float]]:
        """The single factor on the rate with which adaptation from the global weights does best."""
        found = {}
        for factor in FACTORS:
            everywhere = dict.fromkeys(self.origin, factor)
            found[f"{factor:g}"] = self.quality([*self.tasks, *self.validation], self.origin, everywhere, True)
        return float(max(found, key=found.__getitem__)), found

    def learn(self, method: str, factor: float) -> Learned:
        """Run the epochs, the rates beginning at `factor`, and keep the best."""
        options, adapted = self.options, method != "more training"
        start, factors = dict(self.origin), dict.fromkeys(self.origin, factor)
        best = Learned(dict(start), dict(factors))
        best.curve.append(self.quality(self.validation, start, factors, adapted))
        weights_by, rates_by = Adam(options.outer_rate), Adam(options.outer_factor)
        generator = np.random.default_rng(options.seed)
        batches = -(-len(self.tasks) // options.batch)
        for epoch in range(options.epochs):
            for number, chosen in enumerate(np.array_split(generator.permutation(len(self.tasks)), batches)):
                told = [self._task(method, start, factors, self.tasks[place]) for place in chosen]
                if method == "reptile":
                    left = 1 - (epoch * batches + number) / (options.epochs * batches)
                    moved = mean([change for change, _ in told])
                    change = {name: options.eps * left * value for name, value in moved.items()}
                else:
                    change = weights_by.step(mean([gradient for gradient, _ in told]))
                if method != "rates":
                    start = {name: (value + change[name]).astype(np.float32) for name, value in start.items()}
                if method in ("rates", "maml + rates"):
                    logs = rates_by.step(mean([by_factor for _, by_factor in told]))
                    factors = {name: float(value * np.exp(logs[name])) for name, value in factors.items()}
            best.curve.append(self.quality(self.validation, start, factors, adapted))
            if best.curve[-1] > max(best.curve[:-1]):
                best = dataclasses.replace(best, start=start, factors=factors, epoch=epoch + 1)
        if best.epoch and method != "rates":
            shipped = self.device.as_shipped(best.start)
            best.start = {name: shipped[name] for name in best.start}
        return best

    def _task(self, method: str, start: Weights, factors: dict[str, float], task: Any) -> tuple[Weights, Weights]:
        """What one user says: a gradient of the start (Reptile: the change), and one of the log factors."""
        device = self.device
        device.begin(start, factors)
        if method == "more training":
            return mean([device.gradient(step)[0] for step in task.all_steps]), {}
        device.adapt(task.all_steps if method == "reptile" else task.support)
        changed = {name: value - start[name] for name, value in device.weights.items()}
        if method == "reptile":
            return changed, {}
        gradient, _ = device.gradient(task.query)
        return gradient, {name: float((gradient[name] * changed[name]).sum()) for name in gradient}


def judge(device: Any, tasks: Sequence[Any], learned: Learned, adapted: bool, bonuses: Sequence[Any]) -> np.ndarray:
    """[users, bonuses, 2]: mean reciprocal rank and loss of each user."""
    found = []
    for task in tasks:
        device.begin(learned.start, learned.factors)
        if adapted:
            device.adapt(task.support)
        found.append(device.judge(task, bonuses))
    return np.array(found)


def compare(values: dict[str, np.ndarray], bonus: int) -> list[dict[str, Any]]:
    """A line for each system: quality, against the global weights, and against adaptation from them."""
    from pocketrec.cloud.metrics.metrics import paired

    rows = []
    for name, of_users in values.items():
        quality = of_users[:, bonus, 0]
        row: dict[str, Any] = {"system": name, "mrr20": quality.mean(), "loss": of_users[:, bonus, 1].mean()}
        for other in ("global", "plain", "plain, best rate", "more training"):
            if other != name:
                row[f"to {other}"] = paired(quality, values[other][:, bonus, 0]).to_dict()
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]], title: str) -> None:
    others = ("global", "plain, best rate", "more training")
    print(f"\n{title:<26}{'MRR@20':>8}{'loss':>8}" + "".join(f"{'to ' + other:>40}" for other in others))
    for row in rows:
        line = f"{row['system']:<26}{row['mrr20']:>8.4f}{row['loss']:>8.3f}"
        for other in others:
            text = ""
            if against := row.get(f"to {other}"):
                text = f"{against['mean']:+.4f} ({against['low']:+.4f} to {against['high']:+.4f})"
                text += f" {against['gained']:>4} :{against['harmed']:>4}"
            line += f"{text:>40}"
        print(line)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="TOML file, such as configs/ml-100k.toml")
    parser.add_argument("--out", type=Path, help="run directory; runs/NAME if not given")
    parser.add_argument("--set", dest="overrides", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--users", type=int, default=0, help="a sample of them; 0 = all")
    parser.add_argument("--epochs", type=int, default=6, help="passes over the learning users")
    parser.add_argument("--batch", type=int, default=10, help="users of a step of learning")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--optimizer", choices=("sgd", "adagrad", "adam"), default="adagrad", help="of the device")
    parser.add_argument("--rate", type=float, default=0.005, help="of the device")
    parser.add_argument("--passes", type=int, default=3, help="of the device")
    parser.add_argument("--pull", type=float, default=0.05, help="of the device, to the starting point")
    parser.add_argument("--factor", type=float, help="on the rate, where learning begins; plain's best if not given")
    parser.add_argument("--outer-rate", type=float, default=3e-4, help="Adam's, of the starting point")
    parser.add_argument("--outer-factor", type=float, default=0.1, help="Adam's, of the log factors")
    parser.add_argument("--eps", type=float, default=0.25, help="Reptile's, falling to 0")
    parser.add_argument("--bonus", type=float, nargs=3, metavar=("STRENGTH", "POWER", "FOLLOWS"), default=(4, 1.5, 0.5),
                        help="for repeats, beside none, where seen items are not masked")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1)
    return parser


def main() -> None:
    options = _parser().parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(name, "1")
    from pocketrec.cloud.base.runs import Pipeline, Run
    from pocketrec.cloud.config.load import load_config
    from pocketrec.device.base.errors import PocketRecError
    from pocketrec.stages import STAGES

    try:
        config = load_config(options.config, options.overrides)
        run = Run(config, options.out or Path("runs") / options.config.stem, print)
        Pipeline(STAGES, run).execute(["train-early"])
        _measure(run, options)
    except PocketRecError as error:
        sys.exit(f"error: {error}")


def _measure(run: Any, options: argparse.Namespace) -> None:
    import meta_device

    from pocketrec.cloud.backbones import item_embeddings, load_model
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.fleet.fleet import device_users
    from pocketrec.device.contract.repeats import Repeats
    from pocketrec.export.graph.weights import weights_of
    from pocketrec.stages.recipes import rehearsal_parts

    config, began = run.config, time.monotonic()
    earliest, later, learn = rehearsal_parts(config, load_cloud(run.folder).before)
    users, _ = device_users(earliest, later, learn, limit=options.users, seed=options.seed)
    how = meta_device.Adaptation(options.optimizer, options.rate, options.passes, options.pull)
    early = load_model(run.folder / "train" / "early.keras")
    device = meta_device.Device(weights_of(early), item_embeddings(early), config, how)
    tasks = [meta_device.task_of(user, config.model.window, config.export.batch) for user in users]
    strength, power, follows = options.bonus
    bonuses = [Repeats()]
    if strength and not config.evaluate.mask_seen:
        bonuses.append(Repeats(strength, 1.0, power, follows))
    halves = np.array_split(np.random.default_rng(options.seed).permutation(len(tasks)), 2)
    origin, values, told = device.weights, {}, []
    print(f"{len(tasks)} users; the device: {options.optimizer} {options.rate:g} x {options.passes}, "
          f"pull {options.pull:g}")  # fmt: skip
    for own, others in ((halves[0], halves[1]), (halves[1], halves[0])):
        device.begin(origin)
        learner = Learner(device, [tasks[place] for place in others], options)
        factor, tried = learner.best_factor()
        best, factor = dict.fromkeys(origin, factor), factor if options.factor is None else options.factor
        systems = {"global": (Learned(origin), False), "plain": (Learned(origin), True),
                   "plain, best rate": (Learned(origin, best), True)}  # fmt: skip
        fold: dict[str, Any] = {"factors": tried, "learned": {}}
        print(f"single factors on the rate: {', '.join(f'{k}: {v:.4f}' for k, v in tried.items())}")
        for method in ["more training", *(m for m in options.methods if m != "more training")]:
            learned = learner.learn(method, factor)
            fold["learned"][method] = {"epoch": learned.epoch, "curve": learned.curve, "factors": learned.factors}
            if method != "rates":
                plain = "" if method == "more training" else ", not adapted"
                systems[f"{method}{plain}"] = (learned, False)
            systems[f"{method}, adapted"] = (learned, True)
            curve = " ".join(f"{value:.4f}" for value in learned.curve)
            rates = " ".join(f"{name} {value:.3g}" for name, value in learned.factors.items())
            print(f"{method:<14} {curve}  best after {learned.epoch}; {rates}  ({time.monotonic() - began:.0f} s)",
                  flush=True)  # fmt: skip
        for name, (learned, adapted) in systems.items():
            found = judge(device, [tasks[place] for place in own], learned, adapted, bonuses)
            values.setdefault(name, np.zeros((len(tasks), *found.shape[1:])))[own] = found
        told.append(fold)
    result: dict[str, Any] = {"benchmark": "meta_learning", "config": run.config.to_dict(), "users": len(tasks),
                              "options": {k: str(v) for k, v in vars(options).items()}, "folds": told}  # fmt: skip
    for index, bonus in enumerate(bonuses):
        title = "with the bonus" if bonus.strength else "without bonus"
        rows = compare(values, index)
        show(rows, title)
        result[title] = rows
    print(json.dumps(result))


if __name__ == "__main__":
    main()
