# SPDX-License-Identifier: Apache-2.0
"""Item-kNN: what was had by the users who had what this user had, recent events first.

Cosine similarity of items over the users (or sessions) that had them, each counted once, damped by a shrink term, the
most similar items of each kept (Sarwar et al., WWW 2001; with shrink as in Ferrari Dacrema et al., RecSys 2019). An
item may be its own nearest neighbour, so on logs where people come back to what they had the baseline can say so; on
others that would put what cannot come next on top, and where seen items are masked it changes nothing. A user's score
of an item is the sum of its similarities to the events of the whole history, each next event weighing more (Ding and
Li, CIKM 2005). This module knows nothing about cut-offs: it is given the events before them.

Scoring needs numpy only, for it runs in the device processes of an evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.baselines.baseline import Arrays, Baseline, Past, Scores, popularity_scores
from pocketrec.cloud.config.knn import KnnConfig

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences

_CELLS = 1 << 22  # similarities held at a time, where every item has something in common with every other


@dataclass(frozen=True)
class ItemNeighbours(Baseline):
    """The most similar items of every item row, and how a history is read."""

    reads_history = True

    offsets: NDArray[np.int64]
    """[N + 2]: row i's neighbours are ``offsets[i]:offsets[i + 1]``; row 0 (unknown) has none."""
    items: NDArray[np.int32]
    """[n] item rows."""
    similarities: NDArray[np.float32]
    """[n], each above 0."""
    decay: float
    """Weight of an event relative to the next one."""

    @classmethod
    def fit(cls, options: KnnConfig, past: Past) -> ItemNeighbours | None:
        """See `Baseline.fit`."""
        return fit_neighbours(options, past.before, past.items) if options.neighbours else None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `Baseline.arrays`."""
        return {**vars(self), "decay": np.array([self.decay])}

    @classmethod
    def restore(cls, arrays: Arrays) -> ItemNeighbours:
        """See `Baseline.restore`."""
        return cls(arrays["offsets"], arrays["items"], arrays["similarities"], float(arrays["decay"][0]))

    def narrowed(self, config: KnnConfig) -> ItemNeighbours:
        """What `fit_neighbours` would give with these options, from more neighbours at the same shrink, themselves
        included."""
        owner = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        kept = np.flatnonzero(config.own | (self.items != owner))
        kept = kept[_rank(owner[kept]) < config.neighbours]
        offsets = np.searchsorted(owner[kept], np.arange(len(self.offsets)))
        return ItemNeighbours(offsets, self.items[kept], self.similarities[kept], config.decay)

    def scores(self, history: NDArray[Any], user: str = "") -> Scores:
        """See `Baseline.scores`; items that are no neighbour of the history follow in the order of popularity."""
        rows = len(self.offsets) - 1
        known = np.asarray(history, dtype=np.int64)
        known = known[known > 0]
        counts = self.offsets[known + 1] - self.offsets[known]
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        places = np.arange(total) + np.repeat(self.offsets[known] - (ends - counts), counts)
        weights = np.repeat(self.decay ** np.arange(len(known) - 1, -1, -1.0), counts)
        summed = np.bincount(self.items[places], weights * self.similarities[places], minlength=rows)
        return np.where(summed > 0, summed, popularity_scores(rows)).astype(np.float32)


def fit_neighbours(config: KnnConfig, before: Sequences, items: int) -> ItemNeighbours:
    """Find the neighbours of every item.

    Args:
        config: how many, whether an item is one of its own, the shrink term and the decay.
        before: events before the cut-off.
        items: N.
    """
    from scipy.sparse import csr_matrix

    known = before.items > 0
    users, rows = before.event_users()[known], before.items[known]
    had = csr_matrix((np.ones(len(rows), np.float32), (users, rows)), shape=(len(before), items + 1))
    had.sum_duplicates()
    had.data[:] = 1  # (U, N + 1)
    by_item = had.T.tocsr()  # (N + 1, U)
    norms = np.sqrt(np.diff(by_item.indptr))
    counts, found, values = np.zeros(items + 1, np.int64), [], []
    step = max(1, _CELLS // (items + 1))
    for begin in range(0, items + 1, step):
        block = (by_item[begin : begin + step] @ had).tocsr()  # (b, N + 1) users in common
        owner = np.repeat(np.arange(begin, begin + block.shape[0]), np.diff(block.indptr))
        similarity = block.data / (norms[owner] * norms[block.indices] + config.shrink)
        order = np.lexsort((block.indices, -similarity, owner))  # of equal similarity the more popular item first
        order = order[config.own | (block.indices[order] != owner[order])]
        kept = order[_rank(owner[order]) < config.neighbours]
        counts[begin : begin + block.shape[0]] = np.bincount(owner[kept] - begin, minlength=block.shape[0])
        found.append(block.indices[kept].astype(np.int32))
        values.append(similarity[kept].astype(np.float32))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return ItemNeighbours(offsets, np.concatenate(found), np.concatenate(values), config.decay)


def _rank(owners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each entry among those of its owner, from 0; owners ascend."""
    return np.arange(len(owners)) - np.searchsorted(owners, owners)
