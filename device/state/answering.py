# SPDX-License-Identifier: Apache-2.0
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
from pocketrec.device.personal.ranking import Additions, ranked
from pocketrec.device.personal.served import served_set
from pocketrec.device.state.choosing import Allowed, of_the_catalogue

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.engine.model import Model
    from pocketrec.device.state.choosing import Filter
    from pocketrec.device.state.session import Session


def recommended(
    session: Session, k: int, candidates: Sequence[str] | None, mask_seen: bool | None, now: object,
    filter: Filter | None = None, retrieve: bool | None = None,
) -> list[tuple[str, float]]:
    """The best `k` items and their scores; see `pocketrec.device.Recommender.recommend`.

    Raises:
        ValueError: k is below 1, or `now` is not finite.
        DataError: `now` is not a time, `candidates` is not a list, `filter` is none, or the bundle cannot `retrieve`.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if isinstance(now, float) and not math.isfinite(now):
        raise ValueError(f"now must be a finite number of seconds, not {now}")
    asked = seconds_of(now)
    with session.lock:
        bundle, (history, times) = session.bundle, session.events
        mask = bundle.manifest.mask_seen if mask_seen is None else mask_seen
        allowed = Allowed(filter, bundle.vocabulary)
        model = session.serving.model() if len(history) else None
        if candidates is None and _retrieves(session, retrieve):
            rows = of_the_catalogue(session, model, history, k, mask, allowed)
        else:
            rows = _candidate_rows(session, candidates)
            if mask or candidates is None:
                rows = served_set(rows, history, mask)
            rows = allowed.keep(rows[bundle.vocabulary.are_items(rows)])
        if model is not None:
            repeats = bundle.recipe.repeats.times(share_of(str(session.state.report.get("choice"))))
            moment = time.time() if asked is None else asked
            additions = Additions(repeats, bundle.neighbours(), session.state.item_rows)
            rows, scores = ranked(model, rows, history, times, additions, moment, k)
        else:
            rows, scores = rows[:k], 1.0 / np.arange(1, min(k, len(rows)) + 1)
        ids = bundle.vocabulary.ids(int(row) for row in rows)
        return [(item, float(score)) for item, score in zip(ids, scores, strict=True)]


class Offered:
    """The items that are ranked where nobody names any, after one history and another; the candidates are read once.

    Args:
        session: its lock is held, here and in each call.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._allowed = Allowed(None, session.bundle.vocabulary)
        self._candidates = None if _retrieves(session, None) else _candidate_rows(session, None)

    def rows(self, model: Model, history: Array, k: int) -> Array:
        """Item rows, int32, each once.

        Args:
            model: of the session, with the weights that are asked about.
            history: rows of the events up to then, int32 [n], n above 0.
            k: items wanted.
        """
        bundle = self._session.bundle
        if self._candidates is None:
            return of_the_catalogue(self._session, model, history, k, bundle.manifest.mask_seen, self._allowed)
        rows = served_set(self._candidates, history, bundle.manifest.mask_seen)
        items: Array = rows[bundle.vocabulary.are_items(rows)]
        return items


def _retrieves(session: Session, asked: bool | None) -> bool:
    """Whether the whole catalogue is searched: where the bundle can, unless something else is asked for."""
    can = session.bundle.retrieval is not None
    if asked and not can:
        raise DataError("the bundle cannot search its whole catalogue: export it with export.retrieve above 0, or rank "
                        "its candidates")  # fmt: skip
    return can if asked is None else asked


def _candidate_rows(session: Session, candidates: Sequence[str] | None) -> Array:
    if candidates is not None:
        if isinstance(candidates, str):
            raise DataError("candidates is one string: give a list of item ids")
        rows = session.bundle.vocabulary.rows(candidates)
        return np.array(list(dict.fromkeys(rows[rows > 0].tolist())), np.int32)
    own = None if session.user is None else session.bundle.candidates_of(session.user)
    return session.bundle.popular() if own is None else own
