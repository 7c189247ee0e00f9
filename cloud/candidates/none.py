# SPDX-License-Identifier: Apache-2.0
"""No candidate sets at all: devices search the whole catalogue by themselves, so there is nothing to make or fetch."""

from __future__ import annotations

import numpy as np

from pocketrec.cloud.candidates.sets import Candidates, popular_rows
from pocketrec.cloud.candidates.source import Past


class NoCandidates:
    """A set for nobody; popular items for everybody who asks."""

    def build(self, _options: None, k: int, past: Past) -> Candidates:
        """See `CandidateSource.build`: here no user has a set."""
        return no_sets(past.items, k)


def no_sets(items: int, k: int) -> Candidates:
    """Sets of no user, and the `k` most popular of `items` rows."""
    return Candidates(np.zeros(0, object), np.zeros((0, k), np.int32), popular_rows(items, k))
