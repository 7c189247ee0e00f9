# SPDX-License-Identifier: Apache-2.0
"""What a user had last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.baselines.baseline import Arrays, Baseline, Past, Scores, popularity_scores


@dataclass(frozen=True)
class RecentItems(Baseline):
    """The user's own items, the latest at the top, then every other item by popularity."""

    reads_history = True

    rows: int
    """N + 1."""

    @classmethod
    def fit(cls, options: None, past: Past) -> RecentItems:
        """See `Baseline.fit`."""
        return cls(past.items + 1)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `Baseline.arrays`."""
        return {"rows": np.array([self.rows])}

    @classmethod
    def restore(cls, arrays: Arrays) -> RecentItems:
        """See `Baseline.restore`."""
        return cls(int(arrays["rows"][0]))

    def scores(self, history: NDArray[Any], user: str = "") -> Scores:
        """See `Baseline.scores`."""
        scores = popularity_scores(self.rows)
        known = np.asarray(history)
        known = known[known > 0]
        scores[known] = np.arange(1, len(known) + 1, dtype=np.float32)  # a later occurrence overwrites an earlier one
        return scores
