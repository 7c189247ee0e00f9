# SPDX-License-Identifier: Apache-2.0
"""What is known after a round, kept sparsely: the server's tables, the heads, and how each client's own table differs.

A client's own item table is the one it received in its latest round, moved by its `Steps`. Only that is stored: for
ml-1m some 60 MB in place of 6,040 tables of 3,706 x 32 (2.9 GB).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.federated.pfedrec.client import Floats, Heads, Steps
from pocketrec.cloud.federated.pfedrec.evaluation import Scorer


@dataclass(frozen=True)
class State:
    """All clients and the server after `round` rounds."""

    rounds: int
    """Rounds done."""
    table: Floats
    """(N, E): the server's, after the latest average."""
    heads: Heads
    """Of all U clients; the common first head where a client was never sampled."""
    latest: NDArray[np.int64]
    """(U,): round, from 0, in which the client was last sampled; -1 = never."""
    received: dict[int, Floats]
    """Round -> the table (N, E) sent in it, for each round in `latest`; -1 -> the first table."""
    steps: Steps
    """Of every client's latest round, sorted by client."""

    def shared(self, first: int, last: int) -> NDArray[np.float32]:
        """Scores of all items by the server's table and each client's own head; a `Scorer`."""
        scores: NDArray[np.float32] = self.heads.weights[first:last] @ self.table.T + self.heads.bias[first:last, None]
        return scores

    def own(self, first: int, last: int) -> NDArray[np.float32]:
        """Scores by each client's own table and own head: the paper's; a `Scorer`."""
        return self._by_tables_of(first, last, np.arange(first, last))

    def random_user(self, seed: int) -> Scorer:
        """Scores by the table of another client, drawn for each client, and the client's own head."""
        clients = len(self.latest)
        order = np.random.default_rng([seed, 7]).permutation(clients)
        other = np.empty(clients, np.int64)
        other[order] = np.roll(order, 1)  # one cycle: nobody gets the own table
        return lambda first, last: self._by_tables_of(first, last, other[first:last])

    def random_head(self, seed: int) -> Scorer:
        """Scores by the server's table and the head of another client, drawn for each client."""
        clients = len(self.latest)
        order = np.random.default_rng([seed, 8]).permutation(clients)
        other = np.empty(clients, np.int64)
        other[order] = np.roll(order, 1)
        weights = self.heads.weights[other]
        return lambda first, last: weights[first:last] @ self.table.T

    def _by_tables_of(self, first: int, last: int, owners: NDArray[np.int64]) -> NDArray[np.float32]:
        """(last - first, N): scores with the heads of the clients from `first`, and the tables of `owners`."""
        weights, items = self.heads.weights[first:last], len(self.table)
        scores = np.empty((last - first, items), np.float32)
        for version in np.unique(self.latest[owners]).tolist():
            mine = np.flatnonzero(self.latest[owners] == version)
            scores[mine] = weights[mine] @ self.received[version].T
        begin, end = np.searchsorted(self.steps.clients, [owners, owners + 1])
        counts = end - begin
        step = np.repeat(begin - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))
        user = np.repeat(np.arange(last - first), counts)  # (k,) whom the step moves a table for
        along = (self.steps.heads[step] * weights[user]).sum(axis=1)
        sizes = self.steps.counts[step]
        starts = (np.cumsum(self.steps.counts) - self.steps.counts)[step]
        entry = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(int(sizes.sum()))
        place = np.repeat(user * items, sizes) + self.steps.items[entry]
        amounts = self.steps.amounts[entry] * np.repeat(along, sizes)
        scores -= np.bincount(place, amounts, minlength=scores.size).reshape(scores.shape).astype(np.float32)
        scores += self.heads.bias[first:last, None]
        return scores

    def table_of(self, client: int) -> Floats:
        """(N, E): the whole own table of one client."""
        from pocketrec.cloud.federated.pfedrec.upload import own_table

        return own_table(self.received[int(self.latest[client])], self.steps.of(client, client + 1))

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Everything as arrays, for `save_arrays`."""
        versions = sorted(self.received)
        return {prefix + name: value for name, value in {
            "rounds": np.array(self.rounds), "table": self.table, "weights": self.heads.weights,
            "bias": self.heads.bias, "latest": self.latest, "versions": np.array(versions),
            "received": np.stack([self.received[version] for version in versions]),
            "step_clients": self.steps.clients, "step_heads": self.steps.heads, "step_counts": self.steps.counts,
            "step_items": self.steps.items, "step_amounts": self.steps.amounts,
        }.items()}  # fmt: skip

    @staticmethod
    def of_arrays(found: dict[str, NDArray[Any]], prefix: str) -> State:
        """The inverse of `arrays`."""
        part = {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}
        received = dict(zip(part["versions"].tolist(), part["received"], strict=True))
        steps = Steps(*(part[f"step_{name}"] for name in ("clients", "heads", "counts", "items", "amounts")))
        return State(int(part["rounds"]), part["table"], Heads(part["weights"], part["bias"]), part["latest"],
                     received, steps)  # fmt: skip
