# SPDX-License-Identifier: Apache-2.0
"""The client model, items -> linear -> sigmoid, and its training, for many clients at a time.

A client has an item table received from the server, and 33 private numbers: weights w (E) and a bias of one linear
unit, its *head*. For each batch of B samples (items j, labels y, binary cross-entropy averaged over the batch):

1. score step: (w, bias) moves against its gradient at rate lr;
2. the logits are computed again with the new head;
3. item step: row j moves by -lr_items s_j w, with s_j the sum of (sigmoid(z) - y) / B over the samples of item j.

So an item row moves along its own client's head alone, by one number: a client's whole training is a list of heads
and, for each, one number for every item touched (`Steps`). This module knows nothing about servers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.federated.pfedrec.sampling import Samples

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Heads:
    """Private numbers of C clients; these never leave a client."""

    weights: Floats
    """(C, E)."""
    bias: Floats
    """(C,)."""

    def take(self, clients: NDArray[np.int64]) -> Heads:
        """A copy of some clients' heads."""
        return Heads(self.weights[clients], self.bias[clients])


def first_model(rng: np.random.Generator, items: int, latent: int, clients: int) -> tuple[Floats, Heads]:
    """Item table N(0, 1) and one common head for all clients, uniform in +-1/sqrt(E), as PyTorch's layers start.

    Returns:
        table (N, E) and heads.
    """
    table = rng.standard_normal((items, latent), dtype=np.float32)
    bound = latent**-0.5
    start = rng.uniform(-bound, bound, latent + 1).astype(np.float32)
    return table, Heads(np.tile(start[:latent], (clients, 1)), np.full(clients, start[latent]))


@dataclass(frozen=True)
class Steps:
    """Item steps: after step k, item j of client `clients[k]` has moved by -amount x heads[k]."""

    clients: NDArray[np.int64]
    """(K,)."""
    heads: Floats
    """(K, E): the client's weights at each step."""
    counts: NDArray[np.int64]
    """(K,): items that the step moved."""
    items: NDArray[np.int32]
    """(n,): of all steps, one after another."""
    amounts: Floats
    """(n,): item rate x s_j."""

    @staticmethod
    def none(latent: int) -> Steps:
        """No step."""
        return Steps(np.zeros(0, np.int64), np.zeros((0, latent), np.float32), np.zeros(0, np.int64),
                     np.zeros(0, np.int32), np.zeros(0, np.float32))  # fmt: skip

    @staticmethod
    def joined(parts: Sequence[Steps]) -> Steps:
        """Steps of several clients in one, sorted by client and, within a client, in the order in which they came."""
        clients = np.concatenate([part.clients for part in parts])
        counts = np.concatenate([part.counts for part in parts])
        order = np.argsort(clients, kind="stable")
        first = (np.cumsum(counts) - counts)[order]
        sizes = counts[order]
        entries = np.repeat(first - (np.cumsum(sizes) - sizes), sizes) + np.arange(int(sizes.sum()))
        return Steps(clients[order], np.concatenate([part.heads for part in parts])[order], sizes,
                     np.concatenate([part.items for part in parts])[entries],
                     np.concatenate([part.amounts for part in parts])[entries])  # fmt: skip

    def of(self, first: int, last: int) -> Steps:
        """The steps of the clients `first` to `last` - 1, of steps sorted by client, as views."""
        low, high = np.searchsorted(self.clients, [first, last]).tolist()
        begin, end = (int(self.counts[:place].sum()) for place in (low, high))
        return Steps(self.clients[low:high], self.heads[low:high], self.counts[low:high], self.items[begin:end],
                     self.amounts[begin:end])  # fmt: skip

    def without(self, clients: NDArray[np.int64]) -> Steps:
        """The steps of all other clients."""
        kept = ~np.isin(self.clients, clients)
        entries = np.repeat(kept, self.counts)
        return Steps(self.clients[kept], self.heads[kept], self.counts[kept], self.items[entries],
                     self.amounts[entries])  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """One batch of each of C clients, padded to the longest."""

    rows: NDArray[np.int64]
    """(C, L): place of each sample's item row in the rows that are trained."""
    labels: Floats
    """(C, L)."""
    share: Floats
    """(C, L): 1 / B of the client's batch; 0 for padding."""


def batches(samples: Samples, rows: NDArray[np.int64], size: int) -> list[tuple[NDArray[np.int64], Batch]]:
    """Cut samples into batches.

    Args:
        samples: of C clients.
        rows: (m,) place of each sample's item row.
        size: samples of a batch; the short last one of a client is kept.

    Returns:
        For the first batch, the second, ...: places of the clients that have one, and their batches.
    """
    lengths = np.diff(samples.offsets)
    found = []
    for begin in range(0, int(lengths.max(initial=0)), size):
        active = np.flatnonzero(lengths > begin)
        sizes = np.minimum(lengths[active] - begin, size)
        step = np.arange(int(sizes.max()))
        real = step < sizes[:, None]
        place = samples.offsets[active][:, None] + begin + np.where(real, step, 0)
        share = np.where(real, 1.0 / sizes[:, None], 0.0).astype(np.float32)
        found.append((active, Batch(rows[place], samples.labels[place], share)))
    return found


def train_batch(
    table: Floats, batch: Batch, heads: Heads, clients: NDArray[np.int64], rate: float
) -> NDArray[np.float64]:
    """Score step of one batch of each client, and the scalars of the item step that follows.

    Args:
        table: (S, E) item rows that the batch names; not changed.
        batch: of C clients.
        heads: of all clients of the block; those of the C clients are changed.
        clients: (C,) their places in `heads`.
        rate: lr.

    Returns:
        (S,): s_j of every row, the gradient of the recomputed loss with respect to its logit.
    """
    inputs = table[batch.rows]  # (C, L, E)
    weights, bias = heads.weights[clients], heads.bias[clients]
    slope = _slope(inputs, weights, bias, batch)  # (C, L)
    weights -= np.float32(rate) * np.matmul(slope[:, None, :], inputs)[:, 0]
    bias -= np.float32(rate) * slope.sum(axis=1)
    heads.weights[clients], heads.bias[clients] = weights, bias
    slope = _slope(inputs, weights, bias, batch)
    return np.asarray(np.bincount(batch.rows.ravel(), slope.ravel(), minlength=len(table)), np.float64)


def _slope(inputs: Floats, weights: Floats, bias: Floats, batch: Batch) -> Floats:
    """(C, L): (sigmoid(z) - y) / B, which is d loss / d z."""
    logits = np.matmul(inputs, weights[:, :, None])[:, :, 0] + bias[:, None]
    slope: Floats = (sigmoid(logits) - batch.labels) * batch.share
    return slope


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-z)); exact at both ends."""
    with np.errstate(over="ignore"):
        value: Floats = 1 / (1 + np.exp(-logits))
    return value
