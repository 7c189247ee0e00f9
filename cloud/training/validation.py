# SPDX-License-Identifier: Apache-2.0
"""The validation slice: the latest share of the events before the cut-off, ranked after every epoch.

This module never sees an event at or after the cut-off. It ranks with at least half a window of context for each
target (see `positions`), which is cheaper than the exact figure and as good for choosing an epoch.
"""

from __future__ import annotations

import keras
import numpy as np

from pocketrec.cloud.backbones import item_embeddings
from pocketrec.cloud.config.ranker import INNER_PRODUCT, RankerConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.evaluation.scoring import (
    Positions,
    embed_positions,
    full_ranks,
    model_runner,
    positions,
    seen_before,
)
from pocketrec.cloud.rankers import make_ranker


class Validation:
    """Ranks the positions of the slice with a model.

    Args:
        model: the next-item model, with whatever weights it has when `measure` is called.
        where: the targets are the events of the slice; contexts reach back before it.
        seen: rows left out of each ranking; None = none.
        ranker: how embeddings become scores.
    """

    def __init__(
        self, model: keras.Model, where: Positions, seen: list[np.ndarray] | None, ranker: RankerConfig
    ) -> None:
        self.model, self.where, self.seen, self.ranker = model, where, seen, ranker
        self._run = model_runner(model)

    def measure(self) -> dict[str, float]:
        """``val_recall@20`` and ``val_mrr@20``, full ranking, over all positions."""
        embeddings = embed_positions(self.model, self.where, self._run)
        ranker, table = make_ranker(self.ranker, self.model), item_embeddings(self.model)
        ranks = full_ranks(embeddings, self.where.targets, table, ranker, self.seen)
        hit = ranks <= 20
        return {"val_recall@20": float(hit.mean()), "val_mrr@20": float((hit / ranks).mean())}


def validation_slice(
    model: keras.Model, sequences: Sequences, share: float, window: int, *, mask_seen: bool = False,
    ranker: RankerConfig = INNER_PRODUCT, causal: bool = True, until: float | None = None,
) -> tuple[Sequences, Validation | None]:
    """Cut the latest events off.

    Args:
        model: ranks the slice.
        sequences: events before the cut-off.
        share: of the events, in (0, 1); events at the time of the cut are in the slice.
        window: T.
        mask_seen: rankings leave out what the user has had.
        ranker: how embeddings become scores.
        causal: whether the model is.
        until: time up to which the model has learned already; the slice begins after it.

    Returns:
        The events before the slice, and the slice; all events and None where the slice has nothing to rank or
        leaves nothing to train on.
    """
    times = np.sort(sequences.timestamps)
    if not len(times):
        return sequences, None
    cut = slice_begin(times, share, until)
    first = np.add.reduceat(sequences.timestamps < cut, sequences.offsets[:-1], dtype=np.int64)
    where = positions(sequences, window, first, exact=False, causal=causal)
    before, _ = sequences.cut(cut)
    if not len(where) or not (before.lengths > 1).any():
        return sequences, None
    return before, Validation(model, where, seen_before(sequences, where) if mask_seen else None, ranker)


def slice_begin(times: np.ndarray, share: float, until: float | None = None) -> int | float:
    """Time of the first event of the slice.

    Args:
        times: of all events before the cut-off, in order, at least one.
        share: of the events.
        until: time up to which the model has learned already; None = it has learned nothing.
    """
    place = int(len(times) * (1 - share))
    if until is not None:
        place = max(place, int(np.searchsorted(times, until, "right")))
    cut: int | float = times[min(len(times) - 1, place)].item()
    return cut
