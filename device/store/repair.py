# SPDX-License-Identifier: Apache-2.0
"""What can be saved of a damaged event store: every event that can be read and whose checksum is right.

The damaged file stays beside the new one. Reading goes around the damage by halving: a range of events that cannot be
read is read in two parts.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pocketrec.device.base.errors import StoreError
from pocketrec.device.base.files import sync_folder
from pocketrec.device.store.connection import MAGIC, connect, translated
from pocketrec.device.store.database import EventStore
from pocketrec.device.store.handle import alone

if TYPE_CHECKING:
    import sqlite3

_LAST: Final = 1 << 20  # the largest number that is looked for where the store cannot tell


@dataclass(frozen=True)
class Repaired:
    """The result of a repair."""

    saved: int
    """Events of the new store."""
    lost: int
    """Numbers whose event cannot be read or has a wrong checksum; of some, the event may have gone before."""
    kept: Path
    """Where the damaged file is now."""


def repair_store(path: str | Path, key: bytes | None = None, *, ours: bool = False) -> Repaired:
    """Replace a store by a new one with everything that can be read of it. No other process may have it open.

    Args:
        path: the store.
        key: its key, where it has one.
        ours: the path is where nobody but pocketrec keeps files: a file whose beginning is damaged is a store too.

    Raises:
        StoreError: it does not exist or is another file, an earlier damaged file is in the way, or the key is another.
        StorageError: the new one cannot be written; the old one is as it was.
    """
    path = Path(path)
    kept = Path(f"{path}.damaged")
    if not path.exists():
        raise StoreError(f"no event store {path}: name another file with --store")
    if kept.exists():
        raise StoreError(f"{kept} already exists: move it, or delete it if it is not needed")
    with translated(path), alone(path) as file:
        if not ours and file.read(len(MAGIC)) != MAGIC:
            raise StoreError(f"{path} is not an event store by its first bytes and was left alone: "
                             "name another --store")
        return _replaced(path, kept, key)


def _replaced(path: Path, kept: Path, key: bytes | None) -> Repaired:
    """Put a new store with everything that can be read in the place of the damaged one."""
    number = f"{os.getpid()}-{os.urandom(4).hex()}"
    copy = path.with_name(f".{path.name}.{number}-0.tmp")
    fresh = path.with_name(f".{path.name}.{number}-1.tmp")
    try:
        with translated(path):
            for suffix in ("", "-wal"):
                if Path(f"{path}{suffix}").exists():
                    shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
                    os.chmod(f"{copy}{suffix}", 0o600)
        with EventStore(fresh, key=key) as store:
            lost = _copied(copy, store)
            saved = len(store)
        with translated(path):
            try:
                os.link(path, kept)  # the path is never without a file, for then somebody would make an empty store
            except (OSError, NotImplementedError):  # FAT and some phones know no links
                os.replace(path, kept)
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}-wal", f"{kept}-wal")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{path}-shm")
            os.replace(fresh, path)
            sync_folder(path.parent)
    finally:
        for made in (copy, fresh):
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    os.unlink(f"{made}{suffix}")
    return Repaired(saved, lost, kept)


def _copied(damaged: Path, store: EventStore) -> int:
    """Copy what can be read into a new store; gives how many rows could not."""
    import sqlite3

    lost, last = 0, _LAST
    try:
        database = connect(damaged)
    except sqlite3.Error:
        return 0
    with contextlib.closing(database):
        with contextlib.suppress(sqlite3.Error, TypeError):
            (last,) = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        rows = list(_rows(database, 1, last))
        saved = [row for row in rows if row is not None]
        lost = len(rows) - store.adopt(saved)
        with contextlib.suppress(sqlite3.Error):
            (keep,) = database.execute("SELECT value FROM meta WHERE key = 'keep'").fetchone()
            store.retain(events=max(1, int(keep)))
    return lost


def _rows(database: sqlite3.Connection, first: int, last: int) -> Iterator[tuple[Any, ...] | None]:
    """Mark and value of the events with numbers from `first` to `last`, in order; None for each one lost."""
    import sqlite3

    try:
        query = "SELECT mark, value FROM events WHERE id BETWEEN ? AND ? ORDER BY id"
        rows = database.execute(query, (first, last)).fetchall()
    except sqlite3.Error:
        if first == last:
            yield None
            return
        middle = (first + last) // 2
        yield from _rows(database, first, middle)
        yield from _rows(database, middle + 1, last)
        return
    yield from rows
