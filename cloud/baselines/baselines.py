"""What needs no neural network: popular items, ALS, and the items a user had last.

Each baseline gives one score for every item row, for one user at one test position, so that all systems are ranked
by the same code on the very same positions. Item rows are in order of decreasing popularity (row 1 is the most
popular), so popularity needs no counts. This module knows nothing about models, files or processes; it is imported
by the device processes of an evaluation and needs only numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]


def popularity_scores(rows: int) -> Scores:
    """Score of each item row by popularity: -1, -2, ... for rows 1, 2, ...

    Args:
        rows: size of the item table, the padding row included.

    Returns:
        [rows] float32; exact for up to 2**24 rows.
    """
    return -np.arange(rows, dtype=np.float32)


def recent_scores(history: NDArray[Any], rows: int) -> Scores:
    """Recently used items first, the latest at the top, then every other item by popularity.

    Args:
        history: [n] int item rows, oldest first; zeros (unknown items) are passed over.
        rows: size of the item table, the padding row included.

    Returns:
        [rows] float32.
    """
    scores = popularity_scores(rows)
    known = np.asarray(history)
    known = known[known > 0]
    scores[known] = np.arange(1, len(known) + 1, dtype=np.float32)  # a later occurrence overwrites an earlier one
    return scores


def als_scores(user: NDArray[Any] | None, items: NDArray[Any]) -> Scores:
    """Inner products of an ALS user factor with all item factors; popularity for a user that ALS has not seen.

    Args:
        user: [F] float, or None for a New user.
        items: [rows, F] float item factors (row 0 = padding).

    Returns:
        [rows] float32.
    """
    if user is None:
        return popularity_scores(len(items))
    scores: Scores = (items @ np.asarray(user, dtype=items.dtype)).astype(np.float32)
    return scores
