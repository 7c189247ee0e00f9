# SPDX-License-Identifier: Apache-2.0
"""What a client trains on in a round: its positives, and negatives drawn again, in random order.

Two samplers differ in one matrix, `forbidden`. The strict one may draw everything but the client's training items. The
paper's draws from what the user never touched at all, so the validation and test items are never pushed down, while the
99 items that they are ranked among are: that is its leak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.federated.pfedrec.data import Split, Test
from pocketrec.device.base.errors import DataError


@dataclass(frozen=True)
class Samples:
    """Samples of C clients, client after client."""

    offsets: NDArray[np.int64]
    """(C + 1,)."""
    items: NDArray[np.int32]
    """(m,)."""
    labels: NDArray[np.float32]
    """(m,): 1 for a positive, 0 for a negative."""

    @property
    def owners(self) -> NDArray[np.int64]:
        """(m,): place of each sample's client, from 0."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def shuffled(self, rng: np.random.Generator) -> Samples:
        """The same samples in another random order within each client."""
        order = np.argsort(self.owners + rng.random(len(self.items)))
        return Samples(self.offsets, self.items[order], self.labels[order])


def forbidden_items(split: Split, sampling: str, test: Test | None = None) -> NDArray[np.bool_]:
    """bool (U, N): which items are not training negatives of which client.

    Args:
        split: the clients.
        sampling: strict (training items) or paper (training, validation and test items).
        test: for sampling paper.

    Raises:
        DataError: some client has no item left.
    """
    forbidden = split.seen()
    if sampling == "paper":
        if test is None:
            raise ValueError("the paper's sampler needs the test items: that is its leak")
        everyone = np.arange(len(split))
        forbidden[everyone, split.validation] = True
        forbidden[everyone, test.targets] = True
    return forbidden


@dataclass(frozen=True)
class Sampler:
    """Draws the samples of clients."""

    split: Split
    forbidden: NDArray[np.bool_]
    """(U, N)."""
    negatives: int
    """For each positive, all different."""

    def __post_init__(self) -> None:
        fewest = int((~self.forbidden).sum(axis=1).min())
        if fewest < self.negatives:
            raise DataError(f"a user has only {fewest} items left as negatives: lower pfedrec.negatives to that")

    def counts(self, clients: NDArray[np.int64]) -> NDArray[np.int64]:
        """(C,): number of samples of each client."""
        counted: NDArray[np.int64] = self.split.lengths[clients] * (1 + self.negatives)
        return counted

    def draw(self, rng: np.random.Generator, clients: NDArray[np.int64]) -> Samples:
        """The samples of some clients in one round, shuffled within each client."""
        lengths = self.split.lengths[clients]
        owner = np.repeat(np.arange(len(clients)), lengths)  # (p,)
        first = np.cumsum(lengths) - lengths
        positives = self.split.train[self.split.offsets[clients][owner] + np.arange(len(owner)) - first[owner]]
        negatives = self._negatives(rng, clients[owner])  # (p, k)
        items = np.concatenate([positives[:, None], negatives], axis=1)
        labels = np.zeros(items.shape, np.float32)
        labels[:, 0] = 1
        offsets = np.concatenate([[0], np.cumsum(lengths * (1 + self.negatives))])
        return Samples(offsets, items.ravel(), labels.ravel()).shuffled(rng)

    def touched_rows(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """(U,): how many different items the samples of each client name in a round, from one draw."""
        samples = self.draw(rng, np.arange(len(self.split)))
        named = np.unique(samples.owners * self.split.items + samples.items)
        return np.bincount(named // self.split.items, minlength=len(self.split))

    def _negatives(self, rng: np.random.Generator, clients: NDArray[np.int64]) -> NDArray[np.int32]:
        """(p, k): for each positive, k different allowed items, every such set equally likely."""
        drawn = np.empty((len(clients), self.negatives), np.int32)
        rows = np.arange(len(clients))
        while len(rows):
            drawn[rows] = self._allowed(rng, clients[rows])
            ordered = np.sort(drawn[rows], axis=1)
            rows = rows[(ordered[:, 1:] == ordered[:, :-1]).any(axis=1)]  # these are drawn again, whole
        return drawn

    def _allowed(self, rng: np.random.Generator, clients: NDArray[np.int64]) -> NDArray[np.int32]:
        drawn = rng.integers(0, self.split.items, (len(clients), self.negatives), dtype=np.int32)
        rows, columns = np.nonzero(self.forbidden[clients[:, None], drawn])
        while len(rows):
            again = rng.integers(0, self.split.items, len(rows), dtype=np.int32)
            drawn[rows, columns] = again
            wrong = self.forbidden[clients[rows], again]
            rows, columns = rows[wrong], columns[wrong]
        return drawn
