# SPDX-License-Identifier: Apache-2.0
"""Federated rounds: plan -> updates -> check -> combine -> step -> checkpoint; resumable, without a transport.

Everything random in a round follows from the seed, the round's number and how often it was begun, so that a server
that was killed continues from its latest checkpoint to the same bits as one that was not.
"""

from __future__ import annotations

import json
import math
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.arrays import save_arrays
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.federate import FederateConfig
from pocketrec.cloud.federated.engine import Engine
from pocketrec.cloud.federated.masked import masked_sum, shared_scales
from pocketrec.cloud.federated.privacy import Ledger, add_noise, usual_delta
from pocketrec.cloud.federated.server import ServerState, Sum, check, is_sound, step
from pocketrec.device.base.errors import ConfigError, DataError, FederatedError
from pocketrec.device.federated.contribution import Contribution
from pocketrec.device.federated.plan import Plan

Floats = NDArray[np.float32]

CHECKPOINT_FILE: Final = "checkpoint.npz"
#: Times that a round is begun before a training ends for want of devices.
ATTEMPTS: Final = 10
_CHOICE, _PLAN = range(2)  # streams of random numbers


@dataclass(frozen=True)
class Training:
    """What a federated training is given."""

    name: str
    """Names the training; plans carry it."""
    config: FederateConfig
    """How rounds are made."""
    rounds: int
    """Their number."""
    rate: float
    """The server's learning rate, that of the first round."""
    weights: Mapping[str, Floats]
    """First weights, float32 by name."""
    model: str
    """SHA-256 of the contribution file."""
    devices: Sequence[str]
    """All devices that may be chosen."""
    seed: int
    """Of the choice of devices."""
    items: int = 0
    """Items of the catalogue."""
    dropout: float = 0.0
    """What devices drop out of input embeddings."""
    pruned: frozenset[str] = frozenset()
    """Tensors whose zeros stay zero."""
    noise_secret: int = 0
    """The noise follows from it, the seed and the round; 0 in simulations, which are to be repeatable."""
    code: Callable[[Mapping[str, Floats]], bytes] = lambda weights: b""
    """Weights as devices fetch them (`pocketrec.export.federated.broadcast`)."""

    def rate_of(self, number: int) -> float:
        """The server's rate in round `number`, the first being 0."""
        left = 1 - number / self.rounds if self.config.decay == "linear" else 1.0
        return self.rate * left


@dataclass(frozen=True)
class Trained:
    """A training after some rounds."""

    state: ServerState
    records: list[dict[str, Any]] = field(default_factory=list)
    """Of each round: ``round``, ``begun`` (times), ``chosen``, ``accepted``, ``declined``, ``silent`` and ``refused``
    (devices; the last by reason), ``weight``, ``norm`` (median; 0 under masks), ``bytes_down`` and
    ``bytes_up`` (of one device, the latter the mean), ``device_ms`` (median), ``seconds``, and ``judged``, what the
    caller's judge said."""
    visits: dict[str, int] = field(default_factory=dict)
    """Device -> rounds that it was chosen for, void ones included."""
    stopped: str = ""
    """Why it ended before its last round; "" = it did not."""

    def save(self, path: Path) -> None:
        """Write the checkpoint, atomically."""
        arrays = {f"{part}/{name}": value for part in ("weights", "first", "second")
                  for name, value in getattr(self.state, part).items()}  # fmt: skip
        note = {"steps": self.state.steps, "records": self.records, "visits": self.visits, "stopped": self.stopped}
        save_arrays(path, {**arrays, "note": np.frombuffer(json.dumps(note).encode(), np.uint8)})

    @staticmethod
    def load(path: Path) -> Trained:
        """Read a checkpoint.

        Raises:
            DataError: it is damaged.
        """
        parts: dict[str, dict[str, Floats]] = {"weights": {}, "first": {}, "second": {}}
        try:
            with np.load(path, allow_pickle=False) as file:
                note = json.loads(file["note"].tobytes())
                for key in file.files:
                    part, _, name = key.partition("/")
                    if name:
                        parts[part][name] = file[key]
            state = ServerState(parts["weights"], parts["first"], parts["second"], note["steps"])
            return Trained(state, note["records"], note["visits"], note["stopped"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is damaged ({type(error).__name__}): delete it and run again") from None


def train(
    training: Training,
    engine: Engine,
    folder: Path,
    *,
    judge: Callable[[int, Mapping[str, Floats]], Any] = lambda number, weights: None,
    progress: Progress = no_progress,
) -> Trained:
    """Do the rounds that are not done yet.

    Args:
        training: what to train, with whom.
        engine: reaches the devices.
        folder: of the checkpoint.
        judge: called with the number of rounds done and the weights; plain JSON values, kept in the round's record.
        progress: called with the devices that have answered, of those of all rounds.

    Returns:
        The training after its last round, or after the last round whose weights were sound.

    Raises:
        FederatedError: a round had no quorum, however often it was begun.
        StorageError: the checkpoint cannot be written.
    """
    path = folder / CHECKPOINT_FILE
    trained = Trained.load(path) if path.exists() else Trained(ServerState.of(training.weights))
    while len(trained.records) < training.rounds and not trained.stopped:
        if why := ledger_of(training.config, len(training.devices), len(trained.records)).refusal():
            return _without_budget(trained, why)
        trained = _round(training, trained, engine, judge, progress)
        trained.save(path)
    return trained


def ledger_of(config: FederateConfig, devices: int, rounds: int) -> Ledger:
    """What a fleet of so many devices has spent after so many rounds."""
    delta = config.delta or usual_delta(devices)
    return Ledger(config.share, config.noise, delta, config.epsilon, rounds)


def _without_budget(trained: Trained, why: str) -> Trained:
    if not trained.records:
        raise ConfigError(why)
    return Trained(trained.state, trained.records, trained.visits, why)


def choose(training: Training, visits: Mapping[str, int], number: int, begun: int) -> list[str]:
    """The devices of a round, in the order of `Training.devices`; each with probability `share`, or a fixed number.

    Independent draws (Poisson sampling) are what the bound of differential privacy takes; at least one is drawn.
    """
    config, limit = training.config, training.config.visits
    able = [device for device in training.devices if not limit or visits.get(device, 0) < limit]
    if not able:
        raise FederatedError(f"every device has taken part in {limit} rounds: allow more with federate.visits, or do "
                             "fewer rounds")  # fmt: skip
    rng = np.random.default_rng([training.seed, _CHOICE, number, begun])
    if config.devices:
        places = np.sort(rng.choice(len(able), min(config.devices, len(able)), replace=False))
    else:
        places = np.flatnonzero(rng.random(len(able)) < config.share)
        places = places if len(places) else np.array([int(rng.integers(len(able)))])
    return [able[place] for place in places.tolist()]


def plan_of(training: Training, number: int, begun: int, devices: int, live: bool) -> Plan:
    """The plan of a round."""
    config = training.config
    return Plan(
        id=f"{training.name}-{number}-{begun}", training=training.name, round=number, model=training.model,
        tensors={name: list(value.shape) for name, value in sorted(training.weights.items())}, devices=devices,
        bits=config.bits, clip=config.clip, minimum_events=config.minimum_events,  # type: ignore[arg-type]
        local_steps=config.local_steps, local_rate=config.local_rate,
        dropout=training.dropout, weight=config.weight, cap=config.cap, visits=config.visits,  # type: ignore[arg-type]
        expires=time.time() + config.timeout if live else 0.0, items=training.items,
        seed=int(np.random.default_rng([training.seed, _PLAN, number]).integers(2**31)), secure=config.secure,
        scales=shared_scales(training.weights, config.clip, config.bits) if config.secure else {},
    )  # fmt: skip


def _round(
    training: Training, before: Trained, engine: Engine, judge: Callable[[int, Mapping[str, Floats]], Any],
    progress: Progress,
) -> Trained:  # fmt: skip
    """One round, begun again until it has its quorum."""
    started, number = time.monotonic(), len(before.records)
    visits, weights = dict(before.visits), training.code(before.state.weights)
    for begun in range(ATTEMPTS):
        chosen = choose(training, visits, number, begun)
        plan = plan_of(training, number, begun, len(chosen), engine.live)
        for device in chosen:
            visits[device] = visits.get(device, 0) + 1
        collected = _collect(training, plan, engine, weights, chosen, progress)
        if collected.total.weight and collected.accepted >= math.ceil(training.config.quorum * collected.asked):
            break
    else:
        if not collected.asked:
            raise FederatedError(f"every device of round {number} declined, {ATTEMPTS} times: "
                                 f"{collected.declined.most_common(1)[0][0]}")  # fmt: skip
        raise FederatedError(
            f"round {number} had fewer than {training.config.quorum:.0%} of its devices {ATTEMPTS} times "
            f"({collected.accepted} of {collected.asked} answered at last): wait for more devices, or lower "
            "federate.quorum; the rounds before it are kept"
        )
    mean = _mean(training, collected.total, number)
    state = step(before.state, mean, training.config.optimizer, training.rate_of(number), training.pruned)
    record = {
        "round": number, "begun": begun + 1, **collected.counts(), "bytes_down": len(weights),
        "seconds": round(time.monotonic() - started, 3),
    }  # fmt: skip
    if not is_sound(state.weights, training.weights):
        why = f"the weights diverged in round {number}: those before it are kept"
        return Trained(before.state, before.records, visits, why)
    record["judged"] = judge(number + 1, state.weights)
    return Trained(state, [*before.records, record], visits)


def _mean(training: Training, total: Sum, number: int) -> dict[str, Floats]:
    """The mean update; with noise, the noisy sum over the expected number of devices: the true one is secret."""
    config = training.config
    if not config.noise:
        return total.mean()
    noisy = add_noise(total.total, config.noise * config.clip, (training.seed, number, training.noise_secret))
    expected = np.float32(config.share * len(training.devices))
    return {name: value / expected for name, value in noisy.items()}


@dataclass
class _Collected:
    """What came of a round's devices."""

    total: Sum = field(default_factory=Sum)
    answered: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    declined: Counter[str] = field(default_factory=Counter)
    bytes_up: int = 0
    milliseconds: list[float] = field(default_factory=list)
    chosen: int = 0

    @property
    def accepted(self) -> int:
        return self.answered["accepted"]

    @property
    def asked(self) -> int:
        """Devices that could have sent something: those that declined are none."""
        return self.chosen - self.answered["declined"]

    def counts(self) -> dict[str, Any]:
        """Plain values for the record."""
        return {
            "chosen": self.chosen, **{name: self.answered[name] for name in ("accepted", "declined", "silent")},
            "refused": dict(sorted(self.refused.items())), "weight": self.total.weight,
            "norm": round(float(np.median(self.total.norms or [0.0])), 6),
            "bytes_up": round(self.bytes_up / max(1, self.accepted)),
            "device_ms": round(float(np.median(self.milliseconds or [0.0])), 3),
        }  # fmt: skip


def _collect(
    training: Training, plan: Plan, engine: Engine, weights: bytes, chosen: Sequence[str], progress: Progress
) -> _Collected:
    """Ask the devices, and add up what is accepted."""
    found, accepted = _Collected(chosen=len(chosen)), set[str]()
    expected = len(chosen) * training.rounds
    numbers: dict[str, Contribution] = {}
    silent: list[str] = []
    for place, answer in enumerate(engine.collect(plan, weights, chosen, training.config.timeout)):
        done = min(expected, plan.round * len(chosen) + place + 1)
        progress(done, expected, f"round {plan.round + 1} of {training.rounds}")
        if answer.content is None:
            found.answered["declined" if answer.declined else "silent"] += 1
            if answer.declined:
                found.declined[answer.declined] += 1
            else:
                silent.append(answer.device)
            continue
        checked = check(answer.content, plan, answer.device, accepted)
        if isinstance(checked, str):
            found.refused[checked] += 1
            continue
        accepted.add(answer.device)
        found.answered["accepted"] += 1
        found.bytes_up += len(answer.content)
        if answer.milliseconds:
            found.milliseconds.append(answer.milliseconds)
        if plan.secure:
            numbers[answer.device] = checked
        else:
            found.total.add(checked, plan.clip if training.config.noise else 0.0)
    if plan.secure:
        found.total, found.bytes_up = masked_sum(plan, numbers, silent)
    return found
