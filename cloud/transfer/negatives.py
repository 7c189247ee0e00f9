# SPDX-License-Identifier: Apache-2.0
"""One negative for each positive, never the positive itself: numpy only.

Targets of a task are rows 1..M in the order of their popularity among training users, so that rank = row - 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]


def uniform(targets: int, _rho: float) -> Weights:
    """Weight of each of M targets, float64 (M,): all alike."""
    return np.ones(targets)


def lambda_fm(targets: int, rho: float) -> Weights:
    """exp(-(rank + 1) / (rho M)) of each of M targets, float64 (M,): the static sampler of LambdaFM (Yuan et al. 2016).
    """
    return np.exp(-(np.arange(targets) + 1.0) / (rho * targets))


class Negatives:
    """Draws rows by weight, from all rows but the positive.

    The distribution is the weights' one, renormalised without the positive: where the drawn mass passes that of the
    positive, it continues behind it. Nothing is drawn twice, so a draw takes one number whatever it hits.

    Args:
        weights: (M,), above 0, for rows 1..M; M at least 2.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.ends = np.cumsum(weights)

    def draw(self, rng: np.random.Generator, positives: NDArray[np.int32]) -> NDArray[np.int32]:
        """Rows int32 (n,), each other than the positive at its place."""
        own = positives.astype(np.int64) - 1
        mass = rng.random(len(own)) * (self.ends[-1] - self.weights[own])
        mass += np.where(mass >= self.ends[own] - self.weights[own], self.weights[own], 0.0)
        found = np.searchsorted(self.ends, mass, side="right").clip(max=len(self.ends) - 1)
        # Rounding at an edge may still give the positive: its neighbour then.
        beside = np.where(own + 1 < len(self.ends), own + 1, own - 1)
        return (np.where(found == own, beside, found) + 1).astype(np.int32)
