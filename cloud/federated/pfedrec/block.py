# SPDX-License-Identifier: Apache-2.0
"""One round of a block of clients that start from the server's table: only the rows that they touch are held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.federated.pfedrec.client import Floats, Heads, Steps, batches, train_batch
from pocketrec.cloud.federated.pfedrec.sampling import Sampler

_SAMPLES, _CLIENTS = 1 << 15, 128  # of a block: its rows then stay in the processor's cache


@dataclass(frozen=True)
class Passes:
    """How a client trains in a round."""

    batch: int
    """Samples of a batch."""
    epochs: int
    """Passes over its samples."""
    rate: float
    """Of the score step."""
    item_rate: float
    """Of the item step."""


@dataclass(frozen=True)
class Trained:
    """What a block of C clients did in a round."""

    clients: NDArray[np.int64]
    """(C,)."""
    heads: Heads
    """Their heads afterwards."""
    steps: Steps
    """Their item steps; clients by number."""
    slots: NDArray[np.int64]
    """(S,): place x N + item of every touched row, ascending; place counts within the block."""
    rows: Floats
    """(S, E): the touched rows afterwards."""


def blocks(counts: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Places of clients in blocks of like numbers of samples, so that little is padded."""
    order = np.argsort(counts, kind="stable")
    begin = 0
    while begin < len(order):
        ends = np.cumsum(counts[order[begin : begin + _CLIENTS]])
        size = max(1, int(np.searchsorted(ends, _SAMPLES, "right")))
        yield order[begin : begin + size]
        begin += size


def train_block(
    rng: np.random.Generator, table: Floats, heads: Heads, clients: NDArray[np.int64], sampler: Sampler, how: Passes
) -> Trained:
    """Train some clients for one round.

    Args:
        rng: draws negatives and orders.
        table: (N, E) as received from the server; not changed.
        heads: of all U clients; not changed.
        clients: (C,) those of the block.
        sampler: of training samples.
        how: batches, passes and rates.
    """
    items = len(table)
    samples = sampler.draw(rng, clients)
    keys = samples.owners * items + samples.items  # (m,)
    touched = np.zeros(len(clients) * items, dtype=bool)
    touched[keys] = True
    slots = np.flatnonzero(touched)
    place = np.empty(len(touched), np.int64)
    place[slots] = np.arange(len(slots))
    owner, item = np.divmod(slots, items)
    rows, mine, done = table[item], heads.take(clients), []
    for epoch in range(how.epochs):
        if epoch:
            samples = samples.shuffled(rng)
            keys = samples.owners * items + samples.items
        for active, part in batches(samples, place[keys], how.batch):
            slope = train_batch(rows, part, mine, active, how.rate)
            moved = np.flatnonzero(slope)
            amounts = (how.item_rate * slope[moved]).astype(np.float32)
            rows[moved] -= amounts[:, None] * mine.weights[owner[moved]]
            counts = np.bincount(owner[moved], minlength=len(clients))[active]
            done.append(Steps(clients[active], mine.weights[active], counts, item[moved].astype(np.int32), amounts))
    return Trained(clients, mine, Steps.joined(done), slots, rows)
