# SPDX-License-Identifier: Apache-2.0
"""The same items for everybody: the most popular ones, of all time or of late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.baselines.baseline import Arrays, Baseline, Past, Scores, popularity_scores

if TYPE_CHECKING:
    from pocketrec.cloud.config.baselines import RecentPopularityConfig


@dataclass(frozen=True)
class Popularity(Baseline):
    """The order of the item rows."""

    rows: int
    """N + 1."""

    @classmethod
    def fit(cls, options: None, past: Past) -> Popularity:
        """See `Baseline.fit`."""
        return cls(past.items + 1)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `Baseline.arrays`."""
        return {"rows": np.array([self.rows])}

    @classmethod
    def restore(cls, arrays: Arrays) -> Popularity:
        """See `Baseline.restore`."""
        return cls(int(arrays["rows"][0]))

    def scores(self, history: NDArray[Any], user: str = "") -> Scores:
        """See `Baseline.scores`."""
        return popularity_scores(self.rows)


@dataclass(frozen=True)
class RecentPopularity(Baseline):
    """Popularity among the latest events before the cut-off; of equal counts, the order of all events (Ji et al., A
    Re-visit of the Popularity Baseline in Recommender Systems, SIGIR 2020, where the window is one of time)."""

    by_row: Scores
    """[N + 1] float32: 0, -1, -2, ... for the first item, the second, ..."""

    @classmethod
    def fit(cls, options: RecentPopularityConfig, past: Past) -> RecentPopularity:
        """See `Baseline.fit`; events of the earliest time that is counted are all counted."""
        times, items = past.before.timestamps, past.before.items
        known = items > 0
        counts = np.zeros(past.items + 1, np.int64)
        if known.any():
            wanted = max(1, round(options.share * int(known.sum())))
            since = np.partition(times[known], -wanted)[-wanted]
            counts = np.bincount(items[known & (times >= since)], minlength=past.items + 1)
        counts[0] = -1  # padding comes last
        by_row = np.empty(past.items + 1, np.float32)
        by_row[np.argsort(-counts, kind="stable")] = popularity_scores(past.items + 1)
        return cls(by_row)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `Baseline.arrays`."""
        return {"by_row": self.by_row}

    @classmethod
    def restore(cls, arrays: Arrays) -> RecentPopularity:
        """See `Baseline.restore`."""
        return cls(arrays["by_row"])

    def scores(self, history: NDArray[Any], user: str = "") -> Scores:
        """See `Baseline.scores`."""
        return self.by_row
