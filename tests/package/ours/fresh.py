# SPDX-License-Identifier: Apache-2.0
"""The baseline fresh: the items that anybody had last, the same for all users. Needs numpy only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ours.lines import FreshOptions
from pocketrec.cloud.baselines.baseline import Arrays, Baseline, Past, Scores


class Fresh(Baseline):
    """See `Baseline`.

    Args:
        places: float32 [N + 1], the larger the later; row 0 (padding) means nothing.
    """

    def __init__(self, places: Scores) -> None:
        self.places = places

    @classmethod
    def fit(cls, options: FreshOptions, past: Past) -> "Fresh":
        """See `Baseline.fit`; of equal times, the more popular item first, and items without events last."""
        items, times = past.before.items, past.before.timestamps
        order = np.argsort(times, kind="stable")
        order = order[::-1] if options.first else order
        found = np.full(past.items + 1, -np.inf)
        found[items[order]] = times[order]  # the last one written stays
        places = np.empty(past.items + 1, np.float32)
        places[np.lexsort((-np.arange(past.items + 1), found))] = np.arange(past.items + 1)
        return cls(places)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `Baseline.arrays`."""
        return {"places": self.places}

    @classmethod
    def restore(cls, arrays: Arrays) -> "Fresh":
        """See `Baseline.restore`."""
        return cls(arrays["places"])

    def scores(self, history: NDArray[Any], user: str = "") -> Scores:
        """See `Baseline.scores`."""
        return self.places
