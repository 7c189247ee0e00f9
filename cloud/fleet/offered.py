# SPDX-License-Identifier: Apache-2.0
"""What a device offers that searches the whole catalogue: the K best items by its user embedding, and the own ones.

This module knows nothing about models and bundles.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Items of the longest list that is judged: where masked items leave fewer of the K, a device searches on.
LEAST: Final = 20


def retrieved(
    scores: NDArray[np.float32], rows: NDArray[np.int32], places: NDArray[np.int64], k: int, mask_seen: bool
) -> NDArray[np.bool_]:
    """Whether each item is offered at each position, as `pocketrec.device.Recommender.recommend` does.

    Args:
        scores: [P, N + 1], by which the catalogue is searched: without a bonus for repeats.
        rows: known events of the user.
        places: [P], place in `rows` of each position's event; what lies before it is the history.
        k: items that are found.
        mask_seen: items of the history are left out, else they are offered too.

    Returns:
        [P, N + 1], column 0 (padding) always False.
    """
    offered = np.zeros(scores.shape, bool)
    for own, line, place in zip(offered, scores, places, strict=True):
        own[_best(line, k)] = True
        if mask_seen:
            own[rows[:place]] = False
            if own.sum() < LEAST:
                left = line.copy()
                left[rows[:place]] = -np.inf
                own[_best(left, LEAST)] = True
                own[rows[:place]] = False
        else:
            own[rows[:place]] = True
    offered[:, 0] = False
    return offered


def _best(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Rows of the `k` largest scores, all where there are fewer; never row 0."""
    items = len(scores) - 1
    return np.arange(1, items + 1) if k >= items else np.argpartition(-scores[1:], k - 1)[:k] + 1
