"""What is recommended to a user: the candidates, the own history's items, their order. This module changes nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pocketrec.device.base.errors import DataError
from pocketrec.device.base.times import seconds_of
from pocketrec.device.personal.guard import share_of
from pocketrec.device.personal.ranking import ranked
from pocketrec.device.personal.served import served_set

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.state.session import Session


def recommended(
    session: Session, k: int, candidates: Sequence[str] | None, mask_seen: bool | None, now: object
) -> list[tuple[str, float]]:
    """The best `k` items and their scores; see `pocketrec.device.Recommender.recommend`.

    Raises:
        ValueError: k is below 1, or `now` is not finite.
        DataError: `now` is not a time, or `candidates` is not a list.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if isinstance(now, float) and not math.isfinite(now):
        raise ValueError(f"now must be a finite number of seconds, not {now}")
    asked = seconds_of(now)
    with session.lock:
        bundle, (history, times) = session.bundle, session.events
        mask = bundle.manifest.mask_seen if mask_seen is None else mask_seen
        rows = _candidate_rows(session, candidates)
        if mask or candidates is None:
            rows = served_set(rows, history, mask)
        rows = rows[bundle.vocabulary.are_items(rows)]
        if len(history):
            repeats = bundle.recipe.repeats.times(share_of(str(session.state.report.get("choice"))))
            moment = time.time() if asked is None else asked
            rows, scores = ranked(session.serving.model(), rows, history, times, repeats, moment, k)
        else:
            rows, scores = rows[:k], 1.0 / np.arange(1, min(k, len(rows)) + 1)
        ids = bundle.vocabulary.ids(int(row) for row in rows)
        return [(item, float(score)) for item, score in zip(ids, scores, strict=True)]


def _candidate_rows(session: Session, candidates: Sequence[str] | None) -> Array:
    if candidates is not None:
        if isinstance(candidates, str):
            raise DataError("candidates is one string: give a list of item ids")
        rows = session.bundle.vocabulary.rows(candidates)
        return np.array(list(dict.fromkeys(rows[rows > 0].tolist())), np.int32)
    own = None if session.user is None else session.bundle.candidates_of(session.user)
    return session.bundle.popular() if own is None else own
