# SPDX-License-Identifier: Apache-2.0
"""What came after and near what, counted before the cut-off: a table that a ranker reads beside the embeddings.

For every item j the table has up to M items i with two values,

    v(j, i) = log(1 + c(j, i) / (20 p_i)),    p_i = share of all events that are of item i,

one from what followed (c counts i at 1, 2 and 3 events after j, weighing 1, 1/8 and 1/27), one from what was near (c
counts i within 15 events of j, before or after). They tell what the inner product of two short embeddings cannot hold:
which few items follow this one. Features of an item after a history are sums of v over the latest event, the one
before it, the three before that and the ten before those; the logarithm of the item's own events; and its inner product
with the user. Needs numpy, and scipy to count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.device.base.errors import DataError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: Events whose values are summed, by their distance from the end of the history: from the first number on, below the
#: second.
SPANS: Final = ((0, 1), (1, 2), (2, 5), (5, 15))
#: Latest events that are looked at.
REACH: Final = SPANS[-1][1]
#: Values of a pair of items.
KINDS: Final = 2
#: Features F of an item after a history.
FEATURES: Final = KINDS * len(SPANS) + 2

_NEXT: Final = 3  # events after an item that count as next
_NEAR: Final = 15  # events before and after it that count as near
_DAMP: Final = 20.0
_LARGEST: Final = 127
_PAIRS: Final = 1 << 23  # pairs of events counted at a time, about
_PREFIX: Final = "transitions_"


@dataclass(frozen=True)
class Transitions:
    """The table of a catalogue of N items, and how a network reads it."""

    rows: NDArray[np.int32]
    """[N + 1, M] item rows, 0 = none; of each item's, those with the largest sum of both values first."""
    values: NDArray[np.int8]
    """[2, N + 1, M], 0 to 127: next and near; times `scales`."""
    scales: NDArray[np.float32]
    """[2]."""
    popularity: NDArray[np.float32]
    """[N + 1]: log(1 + events)."""
    weights: NDArray[np.float32]
    """W [F, H1]: what features add to the sums that enter the network's first layer."""
    direct: NDArray[np.float32]
    """v [F]: what they add to the score."""
    reach: int = REACH
    """Latest events that are looked at: `REACH`, or the window where that is shorter."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For a file; `restore` reads them."""
        return {_PREFIX + name: np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> Transitions | None:
        """From `arrays`, among others; None where there are none.

        Raises:
            DataError: one is missing.
        """
        if _PREFIX + "rows" not in arrays:
            return None
        if missing := [name for name in cls.__dataclass_fields__ if _PREFIX + name not in arrays]:
            raise DataError(f"the ranker's file has no {_PREFIX}{missing[0]}: run `pocketrec rank` again")
        found: dict[str, Any] = {name: arrays[_PREFIX + name] for name in cls.__dataclass_fields__}
        return cls(**{**found, "reach": int(found["reach"])})

    def read_by(self, weights: NDArray[np.float32], direct: NDArray[np.float32]) -> Transitions:
        """The same with these weights."""
        return replace(self, weights=weights, direct=direct)

    def moved(self, row_of: NDArray[np.int64], rows: int) -> Transitions:
        """For another catalogue: items that are left out are no longer there; new ones follow nothing yet, and count
        as popular as the middle one of those that stay, for no event of theirs is known.

        Args:
            row_of: int64 [N + 1], the row of each old row in the new catalogue; 0 = left out.
            rows: of the new catalogue, with row 0.
        """
        kept = np.flatnonzero(row_of)  # old rows
        there = row_of[self.rows[kept]]  # (n, M)
        moved = np.zeros((rows, self.rows.shape[1]), np.int32)
        values = np.zeros((KINDS, rows, self.rows.shape[1]), np.int8)
        kept_popularity = self.popularity[kept]
        popularity = np.full(rows, np.median(kept_popularity) if len(kept) else 0, np.float32)
        popularity[0] = 0
        moved[row_of[kept]] = there
        values[:, row_of[kept]] = np.where(there > 0, self.values[:, kept], 0)
        popularity[row_of[kept]] = kept_popularity
        return replace(self, rows=moved, values=values, popularity=popularity)

    def features(
        self, recent: NDArray[np.int32], rows: NDArray[np.int32], product: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Features of items after histories.

        Args:
            recent: int32 [P, at least `reach`], the latest events, the last one first, 0 = none (`recent_of`).
            rows: int32 [P, C] item rows.
            product: float32 [P, C], inner products of user and item.

        Returns:
            float32 [P, C, F].
        """
        found = np.empty((*rows.shape, FEATURES), np.float32)
        sums = KINDS * len(SPANS)
        summed = np.zeros(len(self.rows) * sums, np.float32)  # of one user at a time, for all items
        span = np.array([place for place, (first, end) in enumerate(SPANS) for _ in range(first, end)])[: self.reach]
        for line, events, own in zip(found, recent[:, : self.reach], rows, strict=True):
            known = np.flatnonzero(events)
            latest = events[known]
            places = self.rows[latest].astype(np.int64) * sums + span[known, np.newaxis]  # (n, M)
            for kind in range(KINDS):
                values = self.values[kind][latest] * self.scales[kind]
                np.add.at(summed, (places + kind * len(SPANS)).ravel(), values.ravel())
            line[:, :-2] = summed.reshape(-1, sums)[own]
            summed.reshape(-1, sums)[self.rows[latest]] = 0
        found[..., -2], found[..., -1] = self.popularity[rows], product
        return found


def recent_of(histories: Sequence[NDArray[Any]]) -> NDArray[np.int32]:
    """The latest `REACH` events of each history (item rows, oldest first, no 0), the last one first: int32 [P, REACH],
    0 where there are no more."""
    found = np.zeros((len(histories), REACH), np.int32)
    for line, history in zip(found, histories, strict=True):
        latest = history[-REACH:][::-1]
        line[: len(latest)] = latest
    return found


def count_transitions(
    events: NDArray[Any], users: NDArray[Any], items: int, most: int, window: int
) -> Transitions:
    """Count which items followed which, and which were near each other.

    Args:
        events: int [n], item rows before the cut-off, user by user, oldest first; 0 (unknown items) are passed over.
        users: int [n], whose each event is.
        items: N.
        most: M, items that are kept for each.
        window: events that the model sees.
    """
    known = events > 0
    rows, owner = events[known].astype(np.int64), users[known]
    counts = np.bincount(rows, minlength=items + 1)
    share = np.maximum(counts, 1) / max(1, int(counts.sum()))
    kept, values = np.zeros((items + 1, most), np.int32), np.zeros((KINDS, items + 1, most), np.float32)
    blocks = np.cumsum(counts) * (2 * _NEAR) // _PAIRS  # items of about so many pairs together
    for block in np.unique(blocks):
        first, end = np.searchsorted(blocks, [block, block + 1]).tolist()
        after, near = _counted(rows, owner, first, end, items + 1)
        item, keys, other = _owners(near), _keys(near), _keys(after)
        place = np.searchsorted(other, keys).clip(max=max(0, len(other) - 1))
        follows = np.where(other[place] == keys, after.data[place], 0.0) if len(other) else np.zeros(len(keys))
        each = [np.log1p(count / (_DAMP * share[near.indices])) for count in (follows, near.data)]
        order = np.lexsort((near.indices, -(each[0] + each[1]), item))  # of equal sums the smaller row first
        rank = np.arange(len(order)) - np.searchsorted(item[order], item[order])
        order, rank = order[rank < most], rank[rank < most]
        kept[first + item[order], rank] = near.indices[order]
        for kind in range(KINDS):
            values[kind, first + item[order], rank] = each[kind][order]
    scales = np.maximum(values.max(axis=(1, 2), initial=0.0), 1e-6) / _LARGEST  # (2,)
    coded = np.rint(values / scales[:, np.newaxis, np.newaxis]).astype(np.int8)
    return Transitions(kept, coded, scales.astype(np.float32), np.log1p(counts).astype(np.float32),
                       np.zeros((FEATURES, 0), np.float32), np.zeros(FEATURES, np.float32),
                       min(REACH, window))  # fmt: skip


def _counted(
    rows: NDArray[np.int64], owner: NDArray[Any], first: int, end: int, size: int
) -> tuple[csr_matrix, csr_matrix]:
    """Weighed pairs (j, i) where i followed j, and where the two were near, for items j from `first` to below `end`:
    each [end - first, size] with sorted columns."""
    from scipy.sparse import csr_matrix

    after, near = (csr_matrix((end - first, size), dtype=np.float32) for _ in range(2))
    inside = (rows >= first) & (rows < end)

    def pairs(one: NDArray[np.int64], other: NDArray[np.int64]) -> csr_matrix:
        return csr_matrix((np.ones(len(one), np.float32), (one - first, other)), shape=(end - first, size))

    for lag in range(1, _NEAR + 1):
        same = owner[:-lag] == owner[lag:]
        forward, backward = same & inside[:-lag], same & inside[lag:]
        follows = pairs(rows[:-lag][forward], rows[lag:][forward])
        if lag <= _NEXT:
            after = after + follows / np.float32(lag**3)
        near = near + follows + pairs(rows[lag:][backward], rows[:-lag][backward])
    for found in (after, near):
        found.sum_duplicates()
        found.sort_indices()
    return after.tocsr(), near.tocsr()


def _owners(found: csr_matrix) -> NDArray[np.int64]:
    return np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))


def _keys(found: csr_matrix) -> NDArray[np.int64]:
    """A number for each entry's place, ascending."""
    return _owners(found) * found.shape[1] + found.indices
