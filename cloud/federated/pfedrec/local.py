# SPDX-License-Identifier: Apache-2.0
"""Every client alone: the same model and training without a server, each client continuing with its own whole table.

Clients never meet, so they are trained in blocks, all rounds of one block before the next: a block's tables are all
that is in memory. The best validation round is known when all blocks are through; then they are trained again, up to
that round, for the test (all random numbers follow from seed, round and block). Nothing about other items reaches a
client that is alone, so with honest negatives its HR@10 is chance, .10; what lies above that is the sampler's leak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.arrays import save_arrays
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.federated.pfedrec.client import Floats, batches, first_model, train_batch
from pocketrec.cloud.federated.pfedrec.config import PFedRecConfig, item_rate
from pocketrec.cloud.federated.pfedrec.data import Split, Test, read_arrays
from pocketrec.cloud.federated.pfedrec.evaluation import both_ranks, sampled_ranks
from pocketrec.cloud.federated.pfedrec.sampling import Sampler
from pocketrec.cloud.metrics.metrics import hits

_CELLS = 1 << 18  # items x clients of a block
_STREAM = 4  # of random numbers; those of `rounds` are below


@dataclass(frozen=True)
class Alone:
    """The outcome of validation."""

    best_round: int
    """From 0; the latest of equals."""
    curve: NDArray[np.float64]
    """(rounds,): validation HR@10."""


def train_alone(
    config: PFedRecConfig, split: Split, sampler: Sampler, folder: Path, *, seed: int, progress: Progress = no_progress
) -> Alone:
    """Train all clients, and find the round of best validation HR@10; resumes at the block where it was interrupted.

    Args:
        config: of the training; `share`, `average`, `upload`, `bits` and `noise` do not matter.
        split: the clients.
        sampler: of training samples.
        folder: of the blocks' validation ranks.
        seed: of everything random.
        progress: called with the rounds done, over all blocks.
    """
    training = _Training(config, split.items, sampler, seed)
    parts = list(_blocks(len(split), split.items))
    total = len(parts) * config.rounds
    found = []
    for number, clients in enumerate(parts):
        path = folder / f"block-{number}.npz"
        if not path.exists():
            ranks = np.empty((config.rounds, len(clients)), np.float32)

            def judge(round_: int, scores: Floats, clients: NDArray[np.int64] = clients,
                      ranks: NDArray[np.float32] = ranks, number: int = number) -> None:
                ranks[round_] = sampled_ranks(
                    lambda first, last: scores[first:last], split.validation[clients], split.negatives[clients]
                )
                progress(number * config.rounds + round_ + 1, total, "rounds, client by client")

            _train(training, clients, number, config.rounds, judge, every=True)
            save_arrays(path, {"ranks": ranks})
        found.append(read_arrays(path)["ranks"])
    curve = hits(np.concatenate(found, axis=1), 10).mean(axis=1)
    return Alone(config.rounds - 1 - int(np.argmax(curve[::-1])), curve)


def rank_alone(
    config: PFedRecConfig, split: Split, sampler: Sampler, test: Test, masked: NDArray[np.bool_] | None,
    best_round: int, *, seed: int, progress: Progress = no_progress,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Sampled and full test ranks, each (U,), after training to the best round; see `evaluation.both_ranks`."""
    sampled, full = np.empty(len(split)), np.empty(len(split))
    training = _Training(config, split.items, sampler, seed)
    parts = list(_blocks(len(split), split.items))
    for number, clients in enumerate(parts):

        def judge(round_: int, scores: Floats, clients: NDArray[np.int64] = clients) -> None:
            sampled[clients], full[clients] = both_ranks(
                lambda first, last: scores[first:last], test.targets[clients], test.negatives[clients],
                None if masked is None else masked[clients],
            )  # fmt: skip

        _train(training, clients, number, best_round + 1, judge, every=False)
        progress(number + 1, len(parts), "blocks of clients")
    return sampled, full


def _blocks(clients: int, items: int) -> Iterator[NDArray[np.int64]]:
    size = max(1, _CELLS // items)
    for first in range(0, clients, size):
        yield np.arange(first, min(first + size, clients))


@dataclass(frozen=True)
class _Training:
    """What all blocks of a training share."""

    config: PFedRecConfig
    items: int
    sampler: Sampler
    seed: int


def _train(
    training: _Training, clients: NDArray[np.int64], block: int, rounds: int, judge: Callable[[int, Floats], None], *,
    every: bool,
) -> None:  # fmt: skip
    """Train a block; `judge` gets the round and the scores (C, N) after every round, or after the last alone."""
    config, items, sampler, seed = training.config, training.items, training.sampler, training.seed
    rng = np.random.default_rng([seed, 0])  # the first model is that of the federated training
    start, heads = first_model(rng, items, config.latent, len(clients))
    tables: Floats = np.tile(start, (len(clients), 1))  # (C x N, E)
    owner = np.repeat(np.arange(len(clients)), items)
    rate = np.float32(item_rate(config, items))
    for number in range(rounds):
        rng = np.random.default_rng([seed, _STREAM, number, block])
        samples = sampler.draw(rng, clients)
        for epoch in range(config.local_epochs):
            samples = samples.shuffled(rng) if epoch else samples
            for active, batch in batches(samples, samples.owners * items + samples.items, config.batch):
                slope = train_batch(tables, batch, heads, active, config.learning_rate)
                moved = np.flatnonzero(slope)
                amounts = rate * slope[moved].astype(np.float32)
                tables[moved] -= amounts[:, None] * heads.weights[owner[moved]]
        if every or number + 1 == rounds:
            scores = np.matmul(tables.reshape(len(clients), items, -1), heads.weights[:, :, None])[:, :, 0]
            judge(number, scores)
