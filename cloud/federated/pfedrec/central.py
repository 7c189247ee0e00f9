# SPDX-License-Identifier: Apache-2.0
"""Centralised matrix factorisation: the same scores w_u . v_j on pooled events, trained without rounds or clients.

Binary cross-entropy on the positives and freshly drawn negatives of every epoch, in common random order, by Adagrad. It
is what federation is compared with: the same events, negatives and kind of score, in one place.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.arrays import save_arrays
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.federated.pfedrec.client import Floats, sigmoid
from pocketrec.cloud.federated.pfedrec.config import PFedRecConfig
from pocketrec.cloud.federated.pfedrec.data import Split, read_arrays
from pocketrec.cloud.federated.pfedrec.evaluation import sampled_ranks
from pocketrec.cloud.federated.pfedrec.sampling import Sampler
from pocketrec.cloud.metrics.metrics import hits

_BATCH = 4096
_STREAM = 5
_CHECKPOINT = "checkpoint.npz"


@dataclass
class _Table:
    """Vectors that Adagrad trains, row by row."""

    rows: Floats
    """(n, E)."""
    squares: Floats
    """(n, E): sums of squared gradients."""

    def step(self, places: NDArray[np.int64], gradients: Floats, rate: float) -> None:
        """One step; gradients of equal places add up."""
        order = np.argsort(places, kind="stable")
        ordered = places[order]
        first = np.flatnonzero(np.diff(ordered, prepend=-1))
        summed = np.add.reduceat(gradients[order], first, axis=0)
        at = ordered[first]
        self.squares[at] += summed**2
        self.rows[at] -= np.float32(rate) * summed / np.sqrt(self.squares[at] + np.float32(1e-8))


@dataclass(frozen=True)
class Factors:
    """Matrix factorisation after some epochs."""

    users: Floats
    """(U, E)."""
    items: Floats
    """(N, E)."""
    epoch: int
    """From 0."""
    curve: NDArray[np.float64]
    """(epochs,): validation HR@10."""

    def scores(self, first: int, last: int) -> NDArray[np.float32]:
        """Of all items, for some clients; a `Scorer`."""
        scores: NDArray[np.float32] = self.users[first:last] @ self.items.T
        return scores


def fit_central(
    config: PFedRecConfig, split: Split, sampler: Sampler, folder: Path, *, seed: int, progress: Progress = no_progress
) -> Factors:
    """Train for `config.central_epochs`, and give the factors of best validation HR@10; continues from a checkpoint.

    Args:
        config: latent size, epochs and rate.
        split: the clients.
        sampler: of samples.
        folder: of the checkpoint.
        seed: of everything random.
        progress: called with the epochs done.
    """
    path = folder / _CHECKPOINT
    rng = np.random.default_rng([seed, _STREAM])
    sizes = (len(split), split.items)
    users, items = (_Table((rng.standard_normal((size, config.latent)) * 0.1).astype(np.float32),
                           np.full((size, config.latent), 0.01, np.float32)) for size in sizes)  # fmt: skip
    best = Factors(users.rows.copy(), items.rows.copy(), -1, np.zeros(0))
    if path.exists():
        found = read_arrays(path)
        users, items = _Table(found["users"], found["user_squares"]), _Table(found["items"], found["item_squares"])
        best = Factors(found["best_users"], found["best_items"], int(found["epoch"]), found["curve"])
    everyone = np.arange(len(split))
    for epoch in range(len(best.curve), config.central_epochs):
        rng = np.random.default_rng([seed, _STREAM, epoch])
        samples = sampler.draw(rng, everyone)
        owners = samples.owners
        for places in np.array_split(rng.permutation(len(owners)), -(-len(owners) // _BATCH)):
            user, item = owners[places], samples.items[places].astype(np.int64)
            left, right = users.rows[user], items.rows[item]  # (b, E)
            slope = (sigmoid((left * right).sum(axis=1)) - samples.labels[places])[:, None]
            users.step(user, slope * right, config.central_learning_rate)
            items.step(item, slope * left, config.central_learning_rate)
        now = Factors(users.rows, items.rows, epoch, best.curve)
        value = float(hits(sampled_ranks(now.scores, split.validation, split.negatives), 10).mean())
        if value >= best.curve.max(initial=0.0):
            best = Factors(users.rows.copy(), items.rows.copy(), epoch, best.curve)
        best = dataclasses.replace(best, curve=np.append(best.curve, value))
        save_arrays(path, {
            "users": users.rows, "user_squares": users.squares, "items": items.rows, "item_squares": items.squares,
            "best_users": best.users, "best_items": best.items, "epoch": np.array(best.epoch), "curve": best.curve,
        })  # fmt: skip
        progress(epoch + 1, config.central_epochs, f"epochs, validation HR@10 {value:.4f}")
    return best
