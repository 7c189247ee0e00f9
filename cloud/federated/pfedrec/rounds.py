# SPDX-License-Identifier: Apache-2.0
"""Federated training: choose clients, train them, average what they send, judge on validation; resumable.

Everything random in a round follows from the seed and the round's number, so a training that was killed continues from
its latest checkpoint to the same bits as one that was not. The states of the best validation round, one for each item
table that clients may score with, are kept; nothing here opens the test, but for the paper's sampler (`sampling`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.arrays import save_arrays
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.federated.pfedrec.block import Passes, blocks, train_block
from pocketrec.cloud.federated.pfedrec.client import Heads, Steps, first_model
from pocketrec.cloud.federated.pfedrec.config import PFedRecConfig, item_rate
from pocketrec.cloud.federated.pfedrec.data import Split, read_arrays
from pocketrec.cloud.federated.pfedrec.evaluation import sampled_ranks
from pocketrec.cloud.federated.pfedrec.sampling import Sampler
from pocketrec.cloud.federated.pfedrec.state import State
from pocketrec.cloud.federated.pfedrec.upload import Mean
from pocketrec.cloud.metrics.metrics import hits
from pocketrec.device.base.errors import DataError

#: Tables that are judged after every round; each keeps the state of its own best round.
JUDGED = ("shared", "own")
CHECKPOINT_FILE = "checkpoint.npz"
_INIT, _CHOICE, _TRAIN, _NOISE = range(4)  # streams of random numbers


@dataclass(frozen=True)
class Trace:
    """A training after some rounds."""

    state: State
    best: dict[str, State]
    """Table of `JUDGED` -> state of its best validation round, the latest of equals."""
    curve: NDArray[np.float64]
    """(rounds, 2): validation HR@10 of each of `JUDGED`."""

    def best_round(self, table: str) -> int:
        """Number of the best round, from 0; the latest of equals, as the original has it."""
        return self.best[table].rounds - 1

    def save(self, path: Path) -> None:
        """Write the checkpoint, atomically."""
        arrays = self.state.arrays("state/") | {"curve": self.curve}
        for table, state in self.best.items():
            arrays |= state.arrays(f"{table}/")
        save_arrays(path, arrays)

    @staticmethod
    def load(path: Path) -> Trace:
        """Read a checkpoint.

        Raises:
            DataError: it is missing or damaged.
        """
        found = read_arrays(path)
        try:
            best = {table: State.of_arrays(found, f"{table}/") for table in JUDGED if f"{table}/table" in found}
            return Trace(State.of_arrays(found, "state/"), best, found["curve"])
        except KeyError as error:
            raise DataError(f"{path} is damaged (no {error}): delete the run directory and run again") from None


def begin(config: PFedRecConfig, split: Split, seed: int) -> Trace:
    """Before the first round: one common model everywhere."""
    rng = np.random.default_rng([seed, _INIT])
    table, heads = first_model(rng, split.items, config.latent, len(split))
    never = np.full(len(split), -1)
    state = State(0, table, heads, never, {-1: table}, Steps.none(config.latent))
    return Trace(state, {}, np.zeros((0, len(JUDGED))))


def participants(config: PFedRecConfig, clients: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of the clients of a round, ascending: int(clients x share) or `config.clients` of them, never none."""
    wanted = min(config.clients, clients) if config.clients else max(1, int(clients * config.share))
    return np.arange(clients) if wanted == clients else np.sort(rng.choice(clients, wanted, replace=False))


def one_round(config: PFedRecConfig, state: State, sampler: Sampler, seed: int) -> State:
    """One round of all its clients, and the server's average.

    Args:
        config: of the training.
        state: before the round; not changed.
        sampler: of training samples.
        seed: of the training.
    """
    number, clients = state.rounds, len(state.latest)
    chosen = participants(config, clients, np.random.default_rng([seed, _CHOICE, number]))
    rng = np.random.default_rng([seed, _TRAIN, number])
    weights = np.zeros(clients)
    weights[chosen] = sampler.split.lengths[chosen] if config.average == "size" else 1.0
    weights /= weights.sum()
    mean = Mean(state.table, weights, upload=config.upload, bits=config.bits)
    heads = Heads(state.heads.weights.copy(), state.heads.bias.copy())
    steps = [state.steps.without(chosen)]
    how = Passes(config.batch, config.local_epochs, config.learning_rate, item_rate(config, len(state.table)))
    for places in blocks(sampler.counts(chosen)):
        trained = train_block(rng, state.table, state.heads, chosen[places], sampler, how)
        heads.weights[trained.clients], heads.bias[trained.clients] = trained.heads.weights, trained.heads.bias
        steps.append(trained.steps)
        mean.add(trained)
    latest = state.latest.copy()
    latest[chosen] = number
    received = {version: state.received[version] for version in np.unique(latest).tolist() if version < number}
    received[number] = state.table
    table = mean.result(config.noise, np.random.default_rng([seed, _NOISE, number]))
    return State(number + 1, table, heads, latest, received, Steps.joined(steps))


def judge(state: State, split: Split) -> list[float]:
    """Validation HR@10 among 99 negatives, for each of `JUDGED`."""
    scorers = {"shared": state.shared, "own": state.own}
    return [float(hits(sampled_ranks(scorers[table], split.validation, split.negatives), 10).mean())
            for table in JUDGED]  # fmt: skip


def train(
    config: PFedRecConfig, split: Split, sampler: Sampler, folder: Path, *, seed: int, progress: Progress = no_progress,
    after: Callable[[int], None] = lambda number: None,
) -> Trace:  # fmt: skip
    """Train for `config.rounds` rounds, continuing from the checkpoint in `folder` where there is one.

    Args:
        config: of the training.
        split: the clients.
        sampler: of training samples.
        folder: of the checkpoint.
        seed: of everything random.
        progress: called with the rounds done.
        after: called with each round's number when it is over and its checkpoint, where one is due, is written.

    Raises:
        DataError: the table is no longer finite.
        StorageError: the checkpoint cannot be written.
    """
    path = folder / CHECKPOINT_FILE
    trace = Trace.load(path) if path.exists() else begin(config, split, seed)
    written = time.monotonic()
    for number in range(trace.state.rounds, config.rounds):
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is looked for right here
            state = one_round(config, trace.state, sampler, seed)
        if not np.isfinite(state.table).all():
            raise DataError(f"round {number}: the item table is no longer finite: lower pfedrec.eta or learning_rate")
        found = judge(state, split)
        best = dict(trace.best)
        for place, table in enumerate(JUDGED):
            if found[place] >= trace.curve[:, place].max(initial=0.0):
                best[table] = state
        trace = dataclasses.replace(trace, state=state, best=best, curve=np.vstack([trace.curve, found]))
        last = number + 1 == config.rounds
        if last or time.monotonic() - written >= config.checkpoint:
            trace.save(path)
            written = time.monotonic()
        after(number)
        progress(number + 1, config.rounds, "rounds, validation HR@10 "
                 + ", ".join(f"{table} {value:.4f}" for table, value in zip(JUDGED, found, strict=True)))  # fmt: skip
    return trace
