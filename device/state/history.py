# SPDX-License-Identifier: Apache-2.0
"""A user's history as item rows and times: how new events join it, and how it comes back from an event store.

This module knows nothing about models and weights.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.base.times import in_unit_of
from pocketrec.device.state.personal_state import PersonalState, joined

if TYPE_CHECKING:
    from pocketrec.device.contract.vocabulary import Vocabulary
    from pocketrec.device.store.database import EventStore


def extended(
    state: PersonalState, rows: Array, times: Sequence[float | None], cut_off: float | int | None,
    limit: float = math.inf,
) -> PersonalState:
    """The state with new events in its history.

    An event that has the item and the time of one in the history is the same event and is left out, as often as the
    history has it. An event without a time counts as the latest.

    Args:
        state: with the history so far.
        rows: int32 [n], item rows of the new events; 0 = unknown, left out.
        times: their times; None = none given. Those of a clock in another unit than the cut-off's are brought to it.
        cut_off: of the bundle's manifest; events without a time are not before it.
        limit: events after this time lie in the future and are not the latest; see `pocketrec.device.state.clock`.
    """
    known = Counter(zip(state.rows.tolist(), state.times.tolist(), strict=True))
    past = int(np.searchsorted(state.times, limit, "right"))
    latest = float(state.times[past - 1]) if past else -math.inf if cut_off is None else float(cut_off)
    kept_rows, kept_times = [], []
    for row, time in zip(rows.tolist(), times, strict=True):
        if time is None:
            time = latest = max(latest, 0.0 if cut_off is None else float(cut_off))
        elif known[row, time := in_unit_of(time, cut_off)]:
            known[row, time] -= 1
            continue
        if row:  # an item that is unknown changes nothing, so that batches give what one go gives
            latest = latest if time > limit else max(latest, time)
            kept_rows.append(row)
            kept_times.append(time)
    added: dict[str, Array] = {"rows": np.array(kept_rows, np.int32), "times": np.array(kept_times, np.float64)}
    all_rows, all_times, trained = joined(state.rows, state.times, state.trained, added)
    return dataclasses.replace(state, rows=all_rows, times=all_times, trained=trained)


def replayed(
    state: PersonalState, store: EventStore, vocabulary: Vocabulary, cut_off: float | int | None, after: int = 0,
    limit: float = math.inf,
) -> tuple[PersonalState, int]:
    """The state with the events of a store in its history, and the number of the store's last event.

    Args:
        state: whose history is empty, or holds the store's events up to the number `after`.
        store: the events.
        vocabulary: item ids and rows.
        cut_off: of the bundle's manifest.
        after: number of the last event that the history has.
        limit: see `extended`.
    """
    found = store.replay(after)
    vocabulary.learn(found.events.items, found.events.categories)
    rows, times = vocabulary.rows(found.events.items), found.events.times
    seen = bisect_right(found.ids, state.through)  # of these, training has seen so many
    if seen:
        state = extended(state, rows[:seen], times[:seen], cut_off, limit)
        state = dataclasses.replace(state, trained=int(np.searchsorted(state.times, limit, "right")))
    state = extended(state, rows[seen:], times[seen:], cut_off, limit)
    return state, found.ids[-1] if found.ids else after
