# SPDX-License-Identifier: Apache-2.0
"""The same popular items for everybody."""

from __future__ import annotations

import numpy as np

from pocketrec.cloud.candidates.sets import Candidates, popular_rows
from pocketrec.cloud.candidates.source import Past


class PopularityCandidates:
    """The K most popular items before the cut-off, less those that the user has had where `mask_seen`."""

    def build(self, _options: None, k: int, past: Past) -> Candidates:
        """See `CandidateSource.build`."""
        before, items = past.before, past.items
        popular = popular_rows(items, k)
        rows = np.tile(popular, (len(before), 1))
        if past.mask_seen:
            for user in range(len(before)):
                rows[user] = popular_unseen(before.of(user)[0], items, k)
        return Candidates(before.users, rows.astype(np.int32), popular)


def popular_unseen(seen: np.ndarray, items: int, k: int) -> np.ndarray:
    """int32 (k,): the most popular of `items` rows that are not among those seen, padded with 0."""
    left = np.setdiff1d(np.arange(1, min(items, k + len(seen)) + 1), seen)[:k]
    rows = np.zeros(k, np.int32)
    rows[: len(left)] = left
    return rows
