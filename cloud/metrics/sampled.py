# SPDX-License-Identifier: Apache-2.0
"""Sampled ranking: the target among 99 negatives drawn at random, as many papers report it.

Nothing is drawn. Who stands at rank r among n items has, among m negatives drawn from the n - 1 others without
replacement, a hypergeometric number of items before it, so the expected value of every measure follows from the
full rank (Li et al., KDD 2020). Sampled figures are much higher than full ones and may order systems otherwise
(Krichene and Rendle, KDD 2020): they are for comparison with published ones. numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.metrics.metrics import NAMES, Floats, per_position

#: Negatives of He et al., WWW 2017, and those after them.
NEGATIVES: Final = 99


def expected(rank: NDArray[Any], items: int, negatives: int = NEGATIVES) -> dict[str, Floats]:
    """Expected value at each position of every measure of `metrics.NAMES`.

    Args:
        rank: [n] ranks in the full ranking, from 1; infinity is a miss, which stays one. Half ranks of tied targets
            are rounded up.
        items: N. Masked items are among those drawn, and stand behind the target.
        negatives: drawn for each position; all others where there are fewer.

    Returns:
        name -> [n] float64.
    """
    others = items - 1
    drawn = min(negatives, others)
    before = np.where(np.isfinite(rank), np.ceil(rank) - 1, 0).astype(np.int64)
    places = np.arange(drawn + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, others + 1)))])
    distinct, which = np.unique(before, return_inverse=True)
    chances = np.exp(
        _log_choose(factorials, distinct[:, None], places)
        + _log_choose(factorials, (others - distinct)[:, None], drawn - places)
        - _log_choose(factorials, np.array(others), np.array(drawn))
    )  # (d, drawn + 1): chance that so many of the drawn stand before the target
    found = np.isfinite(rank)
    return {name: np.where(found, (chances @ per_position(places + 1.0, name))[which], 0.0) for name in NAMES}


def sampled_means(per_sequence: Sequence[NDArray[Any]], items: int, *, by_user: bool) -> dict[str, float]:
    """Means of `expected` over positions, or first within users (or sequences) and then over them."""
    values = expected(np.concatenate(per_sequence), items)
    lengths = np.array([len(rank) for rank in per_sequence])
    weights = np.repeat(1 / lengths / len(lengths), lengths) if by_user else np.full(lengths.sum(), 1 / lengths.sum())
    return {name: float(value @ weights) for name, value in values.items()}


def _log_choose(factorials: Floats, n: NDArray[Any], k: NDArray[Any]) -> Floats:
    """Logarithm of n over k; minus infinity where there is no way."""
    possible = (k >= 0) & (k <= n)
    kept = np.where(possible, k, 0)
    return np.where(possible, factorials[n] - factorials[kept] - factorials[n - kept], -np.inf)
