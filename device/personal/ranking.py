# SPDX-License-Identifier: Apache-2.0
"""The order in which a user's items are recommended: scores from the model, the bonus for repeats, ties by row.

This module knows nothing about bundles, states and files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pocketrec.device.base.errors import StateError
from pocketrec.device.contract.repeats import Repeats, gaps_at
from pocketrec.device.personal.item_rows import NONE, ItemRows
from pocketrec.device.personal.windows import context

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.contract.neighbours import Neighbours
    from pocketrec.device.engine.model import Model


@dataclass(frozen=True)
class Additions:
    """What is added to the model's scores."""

    repeats: Repeats
    """Bonus for items of the history."""
    neighbours: Neighbours | None = None
    """What goes with what; None = nothing."""
    item_rows: ItemRows = NONE
    """Personal item rows."""


def ranked(
    model: Model, candidates: Array, rows: Array, times: Array, additions: Additions, now: float, k: int
) -> tuple[Array, Array]:
    """The best `k` candidates for a user who has a history.

    Args:
        model: with the user's weights.
        candidates: int32 [m], each row once, no 0.
        rows, times: the history, int32 [n] and float64 [n], oldest first; n above 0.
        additions: what is added to the model's scores.
        now: moment of asking, Unix time (`gaps_at`).
        k: items wanted.

    Returns:
        Rows and scores, int32 and float32 [min(k, m)], best first; equal scores in the order of their rows.

    Raises:
        StateError: the weights give scores that are not finite.
    """
    window = context(rows, model.window)
    scores = model.rank(window, candidates) if model.ranks else infer_all(model, window, candidates)  # (m,)
    if not np.isfinite(scores).all():
        raise StateError("the weights give scores that are not numbers: run `pocketrec state reset`, or fetch the "
                         "bundle again")  # fmt: skip
    if additions.neighbours is not None:
        scores = additions.neighbours.add_to(scores, candidates, rows)
    scores = additions.repeats.add_to(scores, candidates, rows, gaps_at(times, now))
    if len(additions.item_rows.rows):
        scores = additions.item_rows.add_to(scores, candidates, model.embed(window))
    order = np.lexsort((candidates, -scores))[:k]
    return candidates[order], scores[order]


def infer_all(model: Model, items: Array, candidates: Array) -> Array:
    """Scores, float32 [m], of any number of candidate rows, as many at a time as the model's signature takes."""
    scores = np.zeros(len(candidates), np.float32)
    for start in range(0, len(candidates), model.candidates):
        part = candidates[start : start + model.candidates]
        padded = np.zeros(model.candidates, np.int32)
        padded[: len(part)] = part
        scores[start : start + len(part)] = model.infer(items, padded)[: len(part)]
    return scores
