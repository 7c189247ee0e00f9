# SPDX-License-Identifier: Apache-2.0
"""Ranks of held-out items: among 99 drawn negatives, and among all items (full ranking).

Targets of equal score stand last. A score that is not a number counts as better than the target's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.metrics.metrics import per_position

#: Scores of every item for the clients `first` to `last` - 1: (last - first, N).
Scorer = Callable[[int, int], NDArray[np.float32]]
#: Sampled ranking's measures (the paper's), and full ranking's. HR@10 is Recall@10 of a single target.
SAMPLED = {"hr@10": "recall@10", "ndcg@10": "ndcg@10"}
FULL = {"recall@20": "recall@20", "mrr@20": "mrr@20", "ndcg@20": "ndcg@20"}
MEASURES = (*SAMPLED, *FULL)
_CLIENTS = 256  # scored at a time


def parts(clients: int) -> Iterator[tuple[int, int]]:
    """Ranges of clients that are scored at a time."""
    for first in range(0, clients, _CLIENTS):
        yield first, min(first + _CLIENTS, clients)


def sampled_ranks(scores: Scorer, targets: NDArray[np.int32], negatives: NDArray[np.int32]) -> NDArray[np.float64]:
    """(U,): rank of each client's target among its negatives, from 1.

    Args:
        scores: of all items.
        targets: (U,).
        negatives: (U, 99).
    """
    found = np.empty(len(targets))
    for first, last in parts(len(targets)):
        found[first:last] = _among(scores(first, last), targets[first:last], negatives[first:last])
    return found


def both_ranks(
    scores: Scorer, targets: NDArray[np.int32], negatives: NDArray[np.int32], masked: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sampled and full ranks, each (U,); a target that is masked has full rank infinity, a miss.

    Args:
        scores: of all items.
        targets: (U,).
        negatives: (U, 99).
        masked: (U, N) items left out of full ranking; None = none.
    """
    sampled, full = np.empty(len(targets)), np.empty(len(targets))
    for first, last in parts(len(targets)):
        block, wanted = scores(first, last), targets[first:last]
        sampled[first:last] = _among(block, wanted, negatives[first:last])
        everyone = np.arange(last - first)
        listed = np.ones(block.shape, dtype=bool) if masked is None else ~masked[first:last]
        present = listed[everyone, wanted]
        listed[everyone, wanted] = False
        before = (listed & ~(block < block[everyone, wanted][:, None])).sum(axis=1)
        full[first:last] = np.where(present, before + 1.0, np.inf)
    return sampled, full


def _among(block: NDArray[np.float32], targets: NDArray[np.int32], negatives: NDArray[np.int32]) -> NDArray[np.float64]:
    everyone = np.arange(len(block))
    own = block[everyone, targets][:, None]
    before = ~(block[everyone[:, None], negatives] < own)
    ranked: NDArray[np.float64] = before.sum(axis=1) + 1.0
    return ranked


def values(sampled: NDArray[np.float64], full: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Each measure of `MEASURES` for every client, (U,)."""
    among = {name: per_position(sampled, measure) for name, measure in SAMPLED.items()}
    return among | {name: per_position(full, measure) for name, measure in FULL.items()}
