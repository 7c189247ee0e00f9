"""The order in which a user's items are recommended: scores from the model, the bonus for repeats, ties by row.

This module knows nothing about bundles, states and files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pocketrec.device.base.errors import StateError
from pocketrec.device.contract.repeats import Repeats, gaps_at
from pocketrec.device.personal.windows import context

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.engine.model import Model


def ranked(
    model: Model, candidates: Array, rows: Array, times: Array, repeats: Repeats, now: float, k: int
) -> tuple[Array, Array]:
    """The best `k` candidates for a user who has a history.

    Args:
        model: with the user's weights.
        candidates: int32 [m], each row once, no 0.
        rows, times: the history, int32 [n] and float64 [n], oldest first; n above 0.
        repeats: bonus for items of the history.
        now: moment of asking, in the unit of `times`.
        k: items wanted.

    Returns:
        Rows and scores, int32 and float32 [min(k, m)], best first; equal scores in the order of their rows.

    Raises:
        StateError: the weights give scores that are not finite.
    """
    scores = infer_all(model, context(rows, model.window), candidates)  # (m,)
    if not np.isfinite(scores).all():
        raise StateError("the weights give scores that are not numbers: run `pocketrec state reset`, or fetch the "
                         "bundle again")  # fmt: skip
    scores = repeats.add_to(scores, candidates, rows, gaps_at(times, now))
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
