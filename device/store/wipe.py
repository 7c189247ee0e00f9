# SPDX-License-Identifier: Apache-2.0
"""Deleting an event store with everything that belongs to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pocketrec.device.base.errors import StorageError, StoreError
from pocketrec.device.base.files import sweep, sync_folder
from pocketrec.device.store.connection import APPLICATION, MAGIC, application_of, connect, translated
from pocketrec.device.store.handle import alone


def wipe_store(path: str | Path, *, ours: bool = False) -> list[Path]:
    """Delete a store with everything that belongs to it, whole or damaged; gives the files deleted.

    A process that has it open continues with a new, empty one.

    Args:
        path: the store.
        ours: the path is where nobody but pocketrec keeps files, so that whatever lies there may go.

    Raises:
        StoreError: the file is not a store; nothing was deleted.
        StorageError: a file cannot be deleted.
    """
    import sqlite3

    path = Path(path)
    deleted = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(translated(path))
        if path.exists():
            if not ours and path.stat().st_size and not _is_ours(path):
                raise StoreError(f"{path} is not an event store and was not deleted: name another file with --store")
            with contextlib.suppress(sqlite3.Error, StorageError):  # a damaged or busy one is only deleted
                stack.enter_context(_emptied(path))
        sweep(path, age=0)
        # The log goes first: SQLite would play an old one into a new store of the same name.
        for suffix in ("-wal", "-shm", "", *(f".damaged{more}" for more in ("-wal", ""))):
            file_path = Path(f"{path}{suffix}")
            if file_path.exists():
                file_path.unlink()
                deleted.append(file_path)
        sync_folder(path.parent)
    return deleted


def _is_ours(path: Path) -> bool:
    application = application_of(path)
    if application is None:  # no database, or one with a damaged header: its first bytes tell
        with alone(path) as file:
            head = file.read(100)
        return head.startswith(MAGIC) and int.from_bytes(head[68:72], "big") == APPLICATION
    return application == APPLICATION


@contextlib.contextmanager
def _emptied(path: Path) -> Iterator[None]:
    """Overwrite the events, and keep every writer waiting: who was before the deletion is deleted, who comes after it
    finds that the file is another."""
    with contextlib.closing(connect(path)) as database:
        database.execute("DELETE FROM events")
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("BEGIN IMMEDIATE")
        yield
