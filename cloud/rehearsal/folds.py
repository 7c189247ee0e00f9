# SPDX-License-Identifier: Apache-2.0
"""Users dealt into folds, so that what is fitted is judged on users that it was not fitted to."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

FOLDS: Final = 5


def folds_of(count: int, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Users dealt into folds: (the others, the fold's own) for each; with few users, one fold for each."""
    order = np.random.default_rng(seed).permutation(count)
    parts = np.array_split(order, min(FOLDS, max(1, count)))
    return [(np.setdiff1d(order, part), np.sort(part)) for part in parts]
