# SPDX-License-Identifier: Apache-2.0
"""The event store: one user's events on the device, in one SQLite file, kept safely over years.

`append` returns when the events are on the disk: a crash or a power cut afterwards loses none of them, and one before
it leaves none or all. Several threads and processes may append, read and train at once. Before a fork the file is
closed, and parent and child open it again: SQLite keeps account of its locks for each process, and a child, which
inherits the account and not the locks, would lose what it appends. Every event carries a checksum of its own, for
SQLite has none. With a key the events are sealed (`pocketrec.device.store.sealing`): what stays visible is how many
there are, in which order they came, and their lengths in steps of 32 bytes. sqlite3 is imported when a store is
opened. This module knows nothing about models, item rows and training.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pocketrec.device.base.errors import StoreError
from pocketrec.device.store.events import Event, Events, gather
from pocketrec.device.store.export import export_events
from pocketrec.device.store.handle import KEEP, StoreFile
from pocketrec.device.store.rows import decode, encode

if TYPE_CHECKING:
    import sqlite3

__all__ = ["KEEP", "EventStore", "Replayed"]


@dataclass(frozen=True)
class Replayed:
    """Events of a store in the order in which they came."""

    events: Events = field(default_factory=Events)
    """Item ids and times."""
    ids: list[int] = field(default_factory=list)
    """Their numbers; later ones are larger, and none is given twice."""


class EventStore(StoreFile):
    """One user's events in a file.

    Where the file cannot be written (a read-only file system, a full disk), what is kept can be read all the same, and
    `read_only` says why.

    Args:
        path: the file; made with its folder where it is missing, readable by its owner only.
        key: 32 bytes that seal the events; None = they lie in the clear.
        create: make a file that is missing.

    Raises:
        StoreError: missing (without `create`), damaged, not an event store, of a newer version, or sealed with another
            key.
        StorageError: it cannot be made or opened.
        ConfigError: the key is wrong, or the extra ``secure`` is not installed.
    """

    def append(self, events: Iterable[Event] | Events) -> int:
        """Store events; when this returns they are on the disk, all of them.

        An event with the item and time of one that is stored is the same event, as often as it is stored, so that
        appending again after a crash is safe. An event without a time is always new.

        Returns:
            How many were new.

        Raises:
            DataError: an entry is not an event; nothing was stored.
            StorageError: the disk is full; nothing was stored.
            StoreError: damaged, or another process writes for too long.
        """
        given = events if isinstance(events, Events) else gather(events)
        seen: Counter[tuple[str, float]] = Counter()
        rows = []
        categories = given.categories or [""] * len(given)
        for item, time, category in zip(given.items, given.times, categories, strict=True):
            nth: int | str = os.urandom(8).hex()
            if time is not None:
                seen[item, time] += 1
                nth = seen[item, time]
            rows.append(encode(self._seal, item, time, nth, category))
        with self._transaction() as database:
            before = database.total_changes
            database.executemany("INSERT INTO events (mark, value) VALUES (?, ?) ON CONFLICT DO NOTHING", rows)
            new = database.total_changes - before
            self._trim(database, int(self._meta(database, "keep")))
        return new

    def replay(self, after: int = 0) -> Replayed:
        """The events whose number is above `after`, in the order in which they came.

        Raises:
            StoreError: the store is damaged.
        """
        replayed = Replayed()
        with self._database() as database:
            rows = database.execute("SELECT id, mark, value FROM events WHERE id > ? ORDER BY id", (after,)).fetchall()
        for number, mark, value in rows:
            item, time, category = decode(self._seal, self.path, mark, value)
            replayed.ids.append(number)
            replayed.events.items.append(item)
            replayed.events.times.append(time)
            replayed.events.categories.append(category)
        replayed.events.rows = len(rows)
        return replayed

    def __len__(self) -> int:
        """Number of events."""
        with self._database() as database:
            return int(database.execute("SELECT count(*) FROM events").fetchone()[0])

    @property
    def identity(self) -> str:
        """Changes whenever something was forgotten: what was trained on a store of another identity is not to be used.

        It does not change with new events, nor when old ones went for their age or number.
        """
        with self._database() as database:
            return f"{self._meta(database, 'name')}:{self._meta(database, 'forgotten')}"

    @property
    def keep(self) -> int:
        """Most events that are kept."""
        with self._database() as database:
            return int(self._meta(database, "keep"))

    @property
    def dropped(self) -> int:
        """How many events went for their number or age, which are the first ones of the history."""
        with self._database() as database:
            return int(self._meta(database, "dropped"))

    @property
    def sealed(self) -> bool:
        """Whether the events are encrypted."""
        return self._seal is not None

    def retain(self, *, events: int | None = None, before: float | None = None) -> int:
        """Let old events go, by number and by age; nothing of them stays in the file.

        Args:
            events: most events kept, from now on and at every append; those that came first go first.
            before: events with a time below this one go, in the log's unit; those without a time stay.

        Returns:
            How many went.

        Raises:
            ValueError: `events` is below 1.
        """
        if events is not None and events < 1:
            raise ValueError(f"at least one event has to be kept, not {events}")
        replayed = Replayed() if before is None else self.replay()
        times = replayed.events.times
        old = [(n,) for n, time in zip(replayed.ids, times, strict=True) if time is not None and time < (before or 0)]
        with self._transaction() as database:
            if events is not None:
                database.execute("UPDATE meta SET value = ? WHERE key = 'keep'", (events,))
            start = database.total_changes
            database.executemany("DELETE FROM events WHERE id = ?", old)
            gone = database.total_changes - start
            _count_dropped(database, gone)
            gone += self._trim(database, int(self._meta(database, "keep")))
        if gone:
            self._erase()
        return gone

    def forget(self, items: Iterable[str | tuple[str, float]] | None = None) -> int:
        """Delete every event of some items, or of pairs of item and time, or all; nothing of them stays in the file.

        What was trained on them is no longer to be used: `identity` changes.

        Returns:
            How many events went.

        Raises:
            StoreError: damaged, or another process holds the file for too long: call again.
        """
        replayed = Replayed() if items is None else self.replay()
        wanted: set[object] = set(() if items is None else items)
        events = zip(replayed.ids, replayed.events.items, replayed.events.times, strict=True)
        gone = [(n,) for n, item, time in events if item in wanted or (item, time) in wanted]
        with self._transaction() as database:
            start = database.total_changes
            if items is None:
                database.execute("DELETE FROM events")
            else:
                database.executemany("DELETE FROM events WHERE id = ?", gone)
            count = database.total_changes - start
            if count:
                database.execute("UPDATE meta SET value = value + 1 WHERE key = 'forgotten'")
        self._erase()
        return count

    def export(self, path: str | Path) -> int:
        """Write the events to a CSV file, ``item,timestamp``, oldest first, readable by its owner; gives their number.

        Raises:
            StorageError: it cannot be written.
            StoreError: the store is damaged.
        """
        return export_events(path, self.replay().events)

    def adopt(self, rows: Iterable[tuple[bytes, str | bytes]]) -> int:
        """Take events as another store of the same key held them, mark and value; gives how many are undamaged."""
        good = []
        for mark, value in rows:
            with contextlib.suppress(StoreError):
                decode(self._seal, self.path, mark, value)
                good.append((mark, value))
        with self._transaction() as database:
            database.executemany("INSERT INTO events (mark, value) VALUES (?, ?) ON CONFLICT DO NOTHING", good)
        return len(good)

    def _trim(self, database: sqlite3.Connection, keep: int) -> int:
        """Delete the oldest events but `keep`; gives how many went."""
        gone = 0
        first, last = database.execute("SELECT min(id), max(id) FROM events").fetchone()
        if last is not None and last - first >= keep:  # then there may be too many; ids have gaps
            newest = "SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?"
            gone = database.execute(f"DELETE FROM events WHERE id <= ({newest})", (keep,)).rowcount
            _count_dropped(database, gone)
        return gone


def _count_dropped(database: sqlite3.Connection, gone: int) -> None:
    database.execute("UPDATE meta SET value = value + ? WHERE key = 'dropped'", (gone,))
