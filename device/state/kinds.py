# SPDX-License-Identifier: Apache-2.0
"""The two places where a user's history may lie: in the state itself, or in an event store.

Both kinds have the same methods, so that the recommender does not ask which one it has. They take a state and give the
state that follows from it; they keep no events of their own. This module knows nothing about models and weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketrec.device.base.times import in_unit_of
from pocketrec.device.state.history import extended, replayed
from pocketrec.device.state.personal_state import PersonalState, without_history
from pocketrec.device.store.events import Events

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.delivery.bundle import Bundle
    from pocketrec.device.store.database import EventStore


class HistoryInState:
    """The events lie in the state; events of unknown items are left out permanently."""

    identity = ""
    """A state of this kind has no event store."""
    stored = 0
    """Number of the store's last event in the history; there is none."""
    dropped = 0
    """Events that went for their number or age; here none do."""

    def record(self, events: Events) -> None:
        """Keep new events where they outlive the process: only the state's file does that."""

    def taken(
        self, state: PersonalState, rows: Array, times: Sequence[float | None], bundle: Bundle, limit: float
    ) -> PersonalState:
        """The state with new events; rows int32 [n], 0 = unknown item, and n times."""
        return extended(state, rows, times, bundle.manifest.cut_off, limit)

    def refreshed(self, state: PersonalState, bundle: Bundle, limit: float) -> PersonalState:
        """The state with what others have recorded meanwhile: nothing, for the state is the only place."""
        return state

    def restarted(self) -> bool:
        """Whether events were forgotten elsewhere, so that history and weights have to be left aside: never here."""
        return False

    def rewind(self) -> None:
        """The history is taken from its beginning at the next `refreshed`."""

    def forget(
        self, state: PersonalState, items: Sequence[str | tuple[str, float]], bundle: Bundle
    ) -> tuple[PersonalState, int]:
        """The state without the events of some items, or of pairs of item and time, and how many went."""
        rows = bundle.vocabulary.rows(item if isinstance(item, str) else item[0] for item in items)
        kept = np.ones(len(state.rows), bool)  # (n,)
        for item, row in zip(items, rows.tolist(), strict=True):
            if row:
                gone = state.rows == row
                if not isinstance(item, str):
                    gone &= state.times == in_unit_of(item[1], bundle.manifest.cut_off)
                kept &= ~gone
        return dataclasses.replace(state, rows=state.rows[kept], times=state.times[kept]), int((~kept).sum())

    def export(self, state: PersonalState, path: str | Path, bundle: Bundle) -> int:
        """Write all events to a CSV file; gives their number."""
        from pocketrec.device.store.export import export_events

        return export_events(path, Events(bundle.vocabulary.ids(state.rows.tolist()), state.times.tolist()))

    def wipe(self) -> list[Path]:
        """Delete the events' own files: there are none."""
        return []

    def close(self) -> None:
        """Nothing is open."""


class HistoryInStore:
    """The events lie in an event store, those of unknown items too; other processes may add to it and forget.

    Args:
        store: the store.
    """

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.identity = ""
        self.stored = 0
        self.dropped = 0

    identity: str
    """Identity of the store whose events history and weights come from; "" = not read yet."""
    stored: int
    """Number of the store's last event in the history."""
    dropped: int
    """Events that the store had removed by then, for their number or age."""

    def record(self, events: Events) -> None:
        """Append new events to the store; `refreshed` brings them into the history."""
        self.store.append(events)

    def taken(
        self, state: PersonalState, rows: Array, times: Sequence[float | None], bundle: Bundle, limit: float
    ) -> PersonalState:
        """The state as it is: the store has the events."""
        return state

    def refreshed(self, state: PersonalState, bundle: Bundle, limit: float) -> PersonalState:
        """The state with what is new in the store, and without what the store removed."""
        if (dropped := self.store.dropped) != self.dropped:
            state = without_history(state)
            self.stored, self.dropped = 0, dropped
        state, self.stored = replayed(state, self.store, bundle.vocabulary, bundle.manifest.cut_off, self.stored, limit)
        return state

    def restarted(self) -> bool:
        """Whether events were forgotten since the last call, so that history and weights have to be left aside."""
        known, self.identity = self.identity, self.store.identity
        return known not in ("", self.identity)

    def rewind(self) -> None:
        """The history is taken from its beginning at the next `refreshed`."""
        self.stored = self.dropped = 0

    def forget(
        self, state: PersonalState, items: Sequence[str | tuple[str, float]], bundle: Bundle
    ) -> tuple[PersonalState, int]:
        """Delete the events of some items, or of pairs of item and time, in the store.

        The state's history is to be taken from the store again.
        """
        return without_history(state), self.store.forget(items)

    def export(self, state: PersonalState, path: str | Path, bundle: Bundle) -> int:
        """Write all events to a CSV file; gives their number."""
        return self.store.export(path)

    def wipe(self) -> list[Path]:
        """Delete the store's files; gives which."""
        from pocketrec.device.store.wipe import wipe_store

        self.store.close()
        return wipe_store(self.store.path)

    def close(self) -> None:
        """Close the store's file; the next call opens it again."""
        self.store.close()

    def hand_over(self, state: PersonalState, bundle: Bundle) -> tuple[PersonalState, bool]:
        """Put the history of a state that was made without a store into this one.

        Returns:
            The state, which names the store, and whether the store held no other events than the state's.
        """
        self.store.append(zip(bundle.vocabulary.ids(state.rows.tolist()), state.times.tolist(), strict=True))
        ids = self.store.replay().ids
        through = ids[state.trained - 1] if 0 < state.trained <= len(ids) else 0
        return dataclasses.replace(state, store=self.store.identity, through=through), len(ids) == len(state.rows)
