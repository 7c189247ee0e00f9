# SPDX-License-Identifier: Apache-2.0
"""How the event store's file is opened, and how SQLite's errors become ours. Nothing else calls `sqlite3.connect`.

The journal is a write-ahead log with synchronous = FULL: one flush an append, and readers that never wait for the
writer. The alternative, a rollback journal, needs synchronous = EXTRA for the same promise and three or four flushes.

No other part of the program may open the file while a connection of this process is on it, not even to read: the
system cancels a process's locks on a file when the process closes any descriptor of it. Another process then takes the
log for abandoned and deletes it, and what is appended afterwards is lost (SQLite, "How To Corrupt An SQLite Database
File", 2.2). What a file is, is therefore asked through SQLite too.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pocketrec.device.base.errors import StorageError, StoreError
from pocketrec.device.base.files import storage_error, sync_folder
from pocketrec.device.store.places import folder_locked, no_locks, unwritable

if TYPE_CHECKING:
    import sqlite3

#: What an event store, as every SQLite file, begins with.
MAGIC: Final = b"SQLite format 3\0"
#: "PKRR", in the header of the file, by which an event store is known from other databases.
APPLICATION: Final = 0x504B5252

_WAIT: Final = 30.0  # seconds that a process waits for a transaction of another process


def connect(path: Path, *, read_only: bool = False, locks: bool = True) -> sqlite3.Connection:
    """Open a file that exists, with every write flushed to the disk and deleted bytes overwritten.

    Args:
        path: the file.
        read_only: nothing is written to it.
        locks: off, with `read_only`: take no locks and make no file beside it. For a folder in which no file can be
            made, and so no other process can write either.

    Raises:
        StorageError: the file system has no locks.
        sqlite3.Error: the file cannot be opened, or is not a database.
    """
    import sqlite3

    query = "ro" if read_only else "rw"
    if not locks:
        query += "&vfs=unix-none" if _has_log(path) else "&immutable=1"
    address = f"{path.absolute().as_uri()}?mode={query}"
    connection = sqlite3.connect(address, timeout=0, isolation_level=None, check_same_thread=False, uri=True)
    try:
        if not locks:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # the index of the log is then kept in memory
        try:
            connection.execute("PRAGMA application_id")  # takes the first lock
        except sqlite3.OperationalError as error:
            if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR) and (reason := no_locks(path.parent)):
                raise StorageError(
                    f"{path.parent} is on a file system without locks ({reason}): name an event store on a local one, "
                    "such as ext4, xfs, btrfs, f2fs or APFS, with --store"
                ) from None
        connection.execute(f"PRAGMA busy_timeout = {int(_WAIT * 1000)}")
        for pragma in ("synchronous = FULL", "secure_delete = ON", "fullfsync = ON", "checkpoint_fullfsync = ON",
                       "trusted_schema = OFF", "temp_store = MEMORY"):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def application_of(path: Path) -> int | None:
    """The application number in a database's header; None = the file is not a database, or its first page is damaged.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    import sqlite3

    address = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, timeout=_WAIT, uri=True)) as database:
        try:
            return int(database.execute("PRAGMA application_id").fetchone()[0])
        except sqlite3.DatabaseError as error:
            if _code(error) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                return None
            raise


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors into one line that says what to do."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        code = _code(error)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreError(f"{path} is in use by another process: try again when it has ended") from None
        if cause := unwritten(path, error):
            raise StorageError(f"cannot write {path}: {cause}: free some space or name a folder that can be "
                               "written") from None  # fmt: skip
        if code == sqlite3.SQLITE_NOTADB:
            raise StoreError(f"{path} is not an event store, or its beginning is damaged: name another file with "
                             "--store, or run `pocketrec store repair`") from None  # fmt: skip
        raise damaged(path, str(error)) from None
    except OSError as error:
        raise storage_error(path, error) from None


def unwritten(path: Path, error: sqlite3.Error) -> str:
    """Why a file cannot be written, where an error says so, as the system puts it; "" = the error says other things."""
    import sqlite3

    code = _code(error)
    if code == sqlite3.SQLITE_FULL:
        return os.strerror(errno.ENOSPC)
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return unwritable(path) or str(error)
    return ""


def place(temporary: Path, path: Path) -> None:
    """Give a finished file its name, unless another process was faster: then that one's stays."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except (OSError, AttributeError, NotImplementedError):  # FAT and some phones know no links
        with folder_locked(path.parent):
            if not path.exists():
                os.rename(temporary, path)
    sync_folder(path.parent)


def damaged(path: Path, reason: str) -> StoreError:
    """The error for a store whose content is not what it should be."""
    return StoreError(f"{path} is damaged ({reason}): run `pocketrec store repair`, which saves what can be read and "
                      "keeps the damaged file")  # fmt: skip


def inode(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def flush(path: Path) -> None:
    """Flush a file's content to the disk. Not for a file that a connection is on."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _has_log(path: Path) -> bool:
    """Whether a process that did not end properly has left events in the log."""
    try:
        return os.stat(f"{path}-wal").st_size > 0
    except OSError:
        return False


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
