# SPDX-License-Identifier: Apache-2.0
"""How two holders of one state come together: nothing that either has recorded is dropped.

Each reads the file once and writes it later. Who finds another state in the file than it has read takes that one's
history and adds its own new events to it, by item and time. This module knows nothing about files and models.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.personal.item_rows import NONE
from pocketrec.device.state.history import extended
from pocketrec.device.state.personal_state import PersonalState

#: What a personalisation changes in a state, apart from `trained`.
LEARNED = ("weights", "item_rows", "steps", "report", "pending", "learned", "through")


@dataclass
class Changes:
    """What was done to a state since it was read from its file or written to it."""

    base: PersonalState
    """The state then."""
    added: list[tuple[Array, list[float | None]]] = field(default_factory=list)
    """Rows and times of the events that were added, as they were given; int32 [n] and n times, None = none."""
    trained: bool = False
    """Whether a personalisation came to its end."""
    cleared: bool = False
    """Whether the history was started again or events were forgotten."""


def merged(
    mine: PersonalState, changes: Changes, other: PersonalState, cut_off: float | None
) -> tuple[PersonalState, bool]:
    """One state out of two that come from the same file.

    The other's history gets what was added to mine. The weights are mine where I have trained, else the other's, which
    may have. Where one side has forgotten events, they do not come back with the other side, nor do weights that were
    trained on them.

    Args:
        mine: the state in memory.
        changes: since `mine` was read.
        other: what is in the file now.
        cut_off: of the bundle's manifest.

    Returns:
        The state, and whether its weights are other ones than mine.
    """
    theirs_forgot = other.forgotten != changes.base.forgotten
    mine_forgot = mine.forgotten != changes.base.forgotten
    kept = without(other, changes.base) if changes.cleared else other
    history = extended_by(kept, changes.added, cut_off)
    keep_mine = changes.trained or not has_trained(other, changes.base)
    taken = mine if mine_forgot or (keep_mine and not theirs_forgot) else other
    state = dataclasses.replace(
        mine,
        rows=history.rows,
        times=history.times,
        trained=min(seen(taken, history.times), len(history.rows)),
        generation=max(mine.generation, other.generation),
        forgotten=max(mine.forgotten, other.forgotten) + (mine_forgot and theirs_forgot),
        **{name: getattr(taken, name) for name in LEARNED},
    )
    if mine_forgot and theirs_forgot:
        state = dataclasses.replace(
            state, weights={}, item_rows=NONE, trained=0, steps=0, report={}, pending=None, learned=""
        )
    return state, taken is other


def has_trained(state: PersonalState, base: PersonalState) -> bool:
    """Whether a state has been personalised since it was `base`."""
    return _training_of(state) != _training_of(base)


def _training_of(state: PersonalState) -> tuple[object, ...]:
    return state.learned, state.steps, state.report, None if state.pending is None else state.pending.to_json()


def extended_by(
    state: PersonalState, added: Iterable[tuple[Array, Sequence[float | None]]], cut_off: float | None
) -> PersonalState:
    """The state with several additions, one after the other."""
    for rows, times in added:
        state = extended(state, rows, times, cut_off)
    return state


def without(state: PersonalState, base: PersonalState) -> PersonalState:
    """The state without the events of another one, each as often as that has it."""
    known = Counter(zip(base.rows.tolist(), base.times.tolist(), strict=True))
    kept = np.ones(len(state.rows), bool)
    for place, event in enumerate(zip(state.rows.tolist(), state.times.tolist(), strict=True)):
        if known[event]:
            known[event] -= 1
            kept[place] = False
    return dataclasses.replace(state, rows=state.rows[kept], times=state.times[kept], trained=0)


def seen(state: PersonalState, times: Array) -> int:
    """How many first events of a larger history count as seen by a state's training: up to the last one it has seen.

    Args:
        state: whose history the larger one has come from.
        times: float64 [n], of the larger history, in which events of equal time stand behind those of the state.
    """
    if not state.trained or not len(state.times):
        return 0
    last = state.times[min(state.trained, len(state.times)) - 1]
    among = state.trained - int(np.searchsorted(state.times, last))
    return int(np.searchsorted(times, last)) + among
