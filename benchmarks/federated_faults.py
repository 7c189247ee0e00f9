# SPDX-License-Identifier: Apache-2.0
"""The rounds of a finished `pocketrec federate` again, with devices that fail or lie: which share of the gain is left?

    python benchmarks/federated_faults.py RUN... [--processes 1]

For each run whose rehearsal chose rounds, the rounds are played as they were (seed, devices, rate), and once for each
fault. Devices that meddle are drawn once for all rounds of a run, a tenth of them, but for silence, of which each
answer has a chance of .4. Faults: `silent` (no answer), `nan` (a scale that is not a number), `shapes` (a row is
missing), `huge` (a million times the update), `replay` (what the device sent first), `flipped` (the opposite). Users
are ranked by the Keras model with the server's float weights. Runs are pooled over users. `share` is the mean gain in
MRR@20 over that of the rounds without fault; `lost` the paired difference between the two. The last line is JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from pocketrec.cloud.backbones import load_model
from pocketrec.cloud.config.load import stored_config
from pocketrec.cloud.data.prepared import load_cloud, load_devices
from pocketrec.cloud.federated.device import federated_users
from pocketrec.cloud.federated.engine import Answer, Engine
from pocketrec.cloud.federated.events import LaterEvents
from pocketrec.cloud.federated.judging import RoundJudge
from pocketrec.cloud.federated.processes import processes
from pocketrec.cloud.federated.rounds import Trained, Training, train
from pocketrec.cloud.metrics.metrics import bootstrap_mean
from pocketrec.device.base.digest import sha256_of
from pocketrec.device.contract.federated import CONTRIBUTION_FILE
from pocketrec.device.federated.code import Coded
from pocketrec.device.federated.contribution import Contribution
from pocketrec.device.federated.plan import Plan
from pocketrec.export.federated.broadcast import round_weights
from pocketrec.export.federated.build import build_contribution, set_weights

FAULTS: Final = ("silent", "nan", "shapes", "huge", "replay", "flipped")
_LIARS, _SILENT = 0.1, 0.4
_SAMPLES = 2000


class Faulty:
    """An engine whose devices fail or lie in one way."""

    live = False

    def __init__(self, inner: Engine, fault: str, devices: Sequence[str], seed: int) -> None:
        self._inner, self._fault = inner, fault
        self._rng = np.random.default_rng([seed, FAULTS.index(fault)])
        drawn = self._rng.choice(len(devices), round(_LIARS * len(devices)), replace=False)
        self._liars = {devices[place] for place in drawn.tolist()}
        self._first: dict[str, bytes] = {}

    def collect(self, plan: Plan, weights: bytes, devices: Sequence[str], timeout: float) -> Iterator[Answer]:
        """See `Engine.collect`."""
        for answer in self._inner.collect(plan, weights, devices, timeout):
            yield answer if answer.content is None else self._meddled(answer)

    def _meddled(self, answer: Answer) -> Answer:
        assert answer.content is not None
        if self._fault == "silent":
            return Answer(answer.device) if self._rng.random() < _SILENT else answer
        if answer.device not in self._liars:
            return answer
        if self._fault == "replay":
            return dataclasses.replace(answer, content=self._first.setdefault(answer.device, answer.content))
        made = Contribution.from_bytes(answer.content)
        return dataclasses.replace(answer, content=lie(made, self._fault).to_bytes())


def lie(made: Contribution, fault: str) -> Contribution:
    """Another update in place of a device's own."""
    numbers, scales = dict(made.update.numbers), dict(made.update.scales)
    first = next(iter(numbers))
    if fault == "nan":
        scales[first] = float("nan")
    elif fault == "shapes":
        numbers[first] = numbers[first][:-1]
    elif fault == "huge":
        scales = {name: scale * 1e6 for name, scale in scales.items()}
    else:
        numbers = {name: -value for name, value in numbers.items()}
    return dataclasses.replace(made, update=Coded(made.update.bits, numbers, scales))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run directories")
    parser.add_argument("--processes", type=int, default=0, help="device processes (default: one for each core)")
    args = parser.parse_args()
    played = [one for run in args.runs if (one := play(run, args.processes)) is not None]
    found = summary(played)
    print(f"{'fault':<10}{'MRR@20':>8}{'gain':>9}{'share':>7}  lost (95 %)                   answers  refused  silent")
    for name, row in found["faults"].items():
        lost = row["lost"]
        print(f"{name:<10}{row['mrr@20']:>8.4f}{row['gain']:>+9.4f}{row['share']:>7.2f}  {lost['mean']:+.4f} "
              f"({lost['low']:+.4f} to {lost['high']:+.4f}) {row['accepted']:>12} {row['refused']:>8} "
              f"{row['silent']:>7}")  # fmt: skip
    print(json.dumps(found))


def summary(played: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All runs as one."""
    pooled = {name: np.concatenate([one["values"][name] for one in played]) for name in ("before", "none", *FAULTS)}
    clean = pooled["none"] - pooled["before"]
    rows = {}
    for name in ("none", *FAULTS):
        gain = pooled[name] - pooled["before"]
        counts = {key: sum(one["counts"][name][key] for one in played) for key in ("accepted", "refused", "silent")}
        rows[name] = {"mrr@20": float(pooled[name].mean()), "gain": float(gain.mean()),
                      "share": float(gain.mean() / clean.mean()),
                      "lost": bootstrap_mean(gain - clean, _SAMPLES, 1).to_dict(), **counts}  # fmt: skip
    return {"runs": len(played), "users": len(clean), "before": float(pooled["before"].mean()), "faults": rows}


def play(run: Path, number: int) -> dict[str, Any] | None:
    """MRR@20 of every user of a run before the rounds, after them, and after them with each fault; None = no rounds."""
    chosen = json.loads((run / "federate" / "rehearsal.json").read_text(encoding="utf-8"))["chosen"]
    if chosen is None:
        return None
    config = stored_config(json.loads((run / "config.json").read_text(encoding="utf-8")))
    model = load_model(run / "train" / "model.keras")
    file = build_contribution(model, config.model, config.export, tensors=config.federate.tensors,
                              table_limit=config.federate.table_limit, ranker=config.ranker.first.kind)  # fmt: skip
    data, devices = load_cloud(run), load_devices(run)
    events = LaterEvents(data.before, devices.after, devices.learn)
    users = federated_users(events)
    judge = RoundJudge(model, set_weights, events, config.evaluate, config.ranker.first, window=config.model.window,
                       causal=config.model.causal)  # fmt: skip
    values, counts = {"before": judge.values(file.weights)}, {}
    for fault in ("none", *FAULTS):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            path = folder / CONTRIBUTION_FILE
            path.write_bytes(file.content)
            training = Training(
                f"{config.seed}-rounds", config.federate, chosen["rounds"], chosen["rate"], file.weights,
                sha256_of(file.content), list(users), config.seed, items=file.facts["items"],
                dropout=config.federate.dropout_of(config.model),
                code=lambda weights: round_weights(weights, config.federate.down_bits),
            )  # fmt: skip
            with processes(path, users, folder, seed=config.seed, number=number) as near:
                engine = near if fault == "none" else Faulty(near, fault, training.devices, config.seed)
                trained = train(training, engine, folder)
        values[fault], counts[fault] = judge.values(trained.state.weights), _counts(trained)
    return {"values": values, "counts": counts}


def _counts(trained: Trained) -> dict[str, int]:
    records = trained.records
    return {
        "accepted": sum(one["accepted"] for one in records), "silent": sum(one["silent"] for one in records),
        "refused": sum(sum(one["refused"].values()) for one in records),
    }  # fmt: skip


if __name__ == "__main__":
    main()
