# SPDX-License-Identifier: Apache-2.0
"""`UserData`: what an application may do with one user's data on the device, apart from recommending with it.

Nothing here opens a network connection, and nothing leaves the device: events, weights and embeddings stay in this
process, and in the state file and the event store that the application names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pocketrec.device.base.errors import ConfigError
from pocketrec.device.base.locks import locked
from pocketrec.device.state.watching import Watching
from pocketrec.device.store.events import Event, Events, gather

if TYPE_CHECKING:
    from pocketrec.device.delivery.bundle import Bundle
    from pocketrec.device.state.personal_state import PersonalState
    from pocketrec.device.state.session import Session
    from pocketrec.device.store.database import EventStore

_Self = TypeVar("_Self", bound="UserData")


class UserData:
    """One user's history and state: looked at, added to, saved, exported, deleted.

    Args:
        session: what holds them in memory.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._watching = Watching(session)

    @property
    def bundle(self) -> Bundle:
        """The bundle, for this user."""
        return self._session.bundle

    @property
    def store(self) -> EventStore | None:
        """The event store that holds the history; None = the state does."""
        return self._session.store

    @property
    def user(self) -> str | None:
        """User id; None = unnamed."""
        return self._session.user

    @property
    def path(self) -> Path | None:
        """The state file; None = none was named."""
        return self._session.path

    @property
    def outdated(self) -> str:
        """Why the state file's weights were left aside, and what became of its history; "" = they were not."""
        return self._session.outdated

    @property
    def state(self) -> PersonalState:
        """What is kept between runs, as it is now: to look at, for nobody changes a state."""
        return self._session.state

    def __len__(self) -> int:
        """Events of the history, without those of the future."""
        return len(self._session.events[0])

    @property
    def history(self) -> list[str]:
        """Item ids of the history, oldest first, without those that the vocabulary lacks and those of the future."""
        with self._session.lock:
            return self.bundle.vocabulary.ids(int(row) for row in self._session.events[0])

    @property
    def report(self) -> dict[str, Any]:
        """The last personalisation's report, as `Report.to_dict`; empty where there was none."""
        return self._session.state.report

    def add(self, events: Iterable[Event] | Events) -> int:
        """Append events to the history; they count as context at once, and are trained on by `personalise`.

        An event that has the item and the time of one in the history is the same event and is left out, as often as
        the history has it: where a log holds an event three times, giving any part of it first and then all of it
        leaves three. An event without a time counts as the latest. Items that the vocabulary lacks are left out.

        Args:
            events: item ids, or pairs of item id and time: a number in the log's unit, larger is later; where the log's
                times are Unix times, of whatever unit, one of another of these units too, a ``datetime``,
                ``numpy.datetime64``, ``pandas.Timestamp`` or ISO 8601 text.

        Returns:
            How many were left out because their item is not in the vocabulary. A store keeps these too, for a later
            bundle may know them.

        Raises:
            DataError: an entry is not an event.
            StorageError, StoreError: the store cannot take them, and has none of them.
        """
        return self._session.add(events if isinstance(events, Events) else gather(events))

    def save(self, path: str | Path | None = None) -> Path:
        """Write the state atomically and keep the previous generation; returns where.

        Raises:
            StorageError: it could not be written, and the old state is still good.
            StateError: no path was given, here or when this object was made.
        """
        named = self._session.path if path is None else path
        together = contextlib.nullcontext() if named is None else locked(named)  # nobody saves between the two files
        with self._session.lock, together:
            written = self._session.save(path)
            self._watching.save(written)
            return written

    def load(self, path: str | Path | None = None) -> None:
        """Replace history and weights by those of a state file; where there is a store, the history is its events.

        With a store, weights of another model, or from before something was forgotten, are left aside: see
        `outdated`. The history of a state that was made without a store is handed over to it.

        Raises:
            StateError: the file is missing, damaged, or of another model or user; nothing was changed.
        """
        with self._session.lock:
            self._session.load(path)
            self._watching.reload()

    def clear_history(self) -> None:
        """Begin the history again, in memory; the weights stay in use until `personalise` has others."""
        with self._session.lock:
            self._session.clear()

    def reset(self) -> None:
        """Forget weights and history in memory; a store keeps its events, `state.reset_state` deletes the file."""
        with self._session.lock:
            self._session.restart()
            self._session.refresh()

    def forget(self, items: Iterable[str | tuple[str, float]]) -> int:
        """Delete events, and what was trained on them: nothing of them stays in any file.

        The weights are the global ones until the next `personalise`; the state file's previous generation goes.

        Args:
            items: item ids, of which all events go, or pairs of item id and time, of which that one goes.

        Returns:
            How many events went.

        Raises:
            StorageError, StoreError: a file cannot be written: call again.
        """
        with self._session.lock:
            given = gather(items)
            self._watching.forget()
            return self._session.forget(given)

    def export(self, path: str | Path) -> int:
        """Write all events that are kept of the user to a CSV file, ``item,timestamp``; gives their number.

        Raises:
            StorageError: it cannot be written.
        """
        with self._session.lock:
            return self._session.export(path)

    def wipe(self) -> list[Path]:
        """Delete everything personal: the state file, its previous generation, the event store; gives what went.

        Raises:
            StateError, StoreError: a file is not ours; StorageError: a file cannot be deleted.
        """
        with self._session.lock:
            deleted = self._session.wipe()
            self._watching.reload()
            return deleted

    def close(self) -> None:
        """Close the model, and the store if it was opened here; a training that runs ends at its next step.

        What was not saved stays in memory; the next call opens both again.
        """
        with self._session.lock:
            self._session.close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> str:
        raise ConfigError(f"a {type(self).__name__} cannot be sent to another process: open one there, with the same "
                          "paths")  # fmt: skip
