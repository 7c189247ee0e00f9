# SPDX-License-Identifier: Apache-2.0
"""Quality of one list a user at one moment, against all that the user had later (at the cut).

Not to be mixed with the ranks of next items (`metrics`): there every event is a question, here every user is one. Two
names are kept apart that papers give to either: `average_precision` is MAP@k, divided by min(k, relevant items);
`precision` is the share of the first k that are relevant, which the thesis calls MAP@k. Plain numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Depths at which lists are judged.
DEPTHS: Final = (1, 5, 10, 30, 100)
#: Names of all measures of lists.
LIST_MEASURES: Final = tuple(f"{name}@{k}" for name in ("map", "precision", "recall") for k in DEPTHS)


def hit_lists(lists: NDArray[Any], relevant: Sequence[NDArray[Any]]) -> NDArray[np.bool_]:
    """Which places of each list hold a relevant item.

    Args:
        lists: int [U, K] item rows, best first; 0 = nothing.
        relevant: the relevant rows of each user, none of them 0.

    Returns:
        bool [U, K].
    """
    found = np.zeros(np.shape(lists), bool)
    for hits, row, wanted in zip(found, lists, relevant, strict=True):
        hits[:] = np.isin(row, wanted)
    return found & (np.asarray(lists) > 0)


def precision(hits: NDArray[np.bool_], k: int) -> Floats:
    """Share of the first k places that hold a relevant item, float64 [U]; a list that is shorter has misses there."""
    found: Floats = hits[:, :k].sum(axis=1) / k
    return found


def average_precision(hits: NDArray[np.bool_], relevant: NDArray[Any], k: int) -> Floats:
    """AP@k: the sum, over the hits among the first k, of the precision up to there, over min(k, relevant items).

    Args:
        hits: bool [U, K].
        relevant: int [U], number of relevant items; where it is 0, so is AP.
        k: depth.

    Returns:
        float64 [U], at most 1.
    """
    first = hits[:, :k]
    so_far = np.cumsum(first, axis=1) / np.arange(1, first.shape[1] + 1)
    return np.asarray((so_far * first).sum(axis=1) / np.maximum(np.minimum(k, relevant), 1), np.float64)


def recall(hits: NDArray[np.bool_], relevant: NDArray[Any], k: int) -> Floats:
    """Share of the relevant items that are among the first k, float64 [U]; 0 where there is none."""
    return np.asarray(hits[:, :k].sum(axis=1) / np.maximum(relevant, 1), np.float64)


def list_values(lists: NDArray[Any], relevant: Sequence[NDArray[Any]]) -> dict[str, Floats]:
    """Every measure of `LIST_MEASURES`, float64 [U] each; arguments as of `hit_lists`."""
    hits, counts = hit_lists(lists, relevant), np.array([len(wanted) for wanted in relevant], np.int64)
    found: dict[str, Floats] = {}
    for k in DEPTHS:
        found[f"map@{k}"] = average_precision(hits, counts, k)
        found[f"precision@{k}"] = precision(hits, k)
        found[f"recall@{k}"] = recall(hits, counts, k)
    return found
