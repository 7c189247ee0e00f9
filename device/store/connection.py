"""How the event store's file is opened, and how SQLite's errors become ours. Nothing else calls `sqlite3.connect`.

The journal is a write-ahead log with synchronous = FULL: one flush an append, and readers that never wait for the
writer. The alternative, a rollback journal, needs synchronous = EXTRA for the same promise and three or four flushes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pocketrec.device.base.errors import StorageError, StoreError
from pocketrec.device.base.files import storage_error, sync_folder

if TYPE_CHECKING:
    import sqlite3

#: What an event store, as every SQLite file, begins with.
MAGIC: Final = b"SQLite format 3\0"
#: "PKRR", in the header of the file, by which an event store is known from other databases.
APPLICATION: Final = 0x504B5252

_WAIT: Final = 30.0  # seconds that a process waits for another's transaction


def connect(path: Path) -> sqlite3.Connection:
    """Open a file that exists, with every write flushed to the disk and deleted bytes overwritten."""
    import sqlite3

    address = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(address, timeout=_WAIT, isolation_level=None, check_same_thread=False, uri=True)
    for pragma in ("synchronous = FULL", "secure_delete = ON", "fullfsync = ON", "checkpoint_fullfsync = ON",
                   "trusted_schema = OFF", "temp_store = MEMORY"):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}")
    return connection


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors into one line that says what to do."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreError(f"{path} is in use by another process: try again when it has ended") from None
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
                    sqlite3.SQLITE_PERM):  # fmt: skip
            reason = "No space left on device" if code == sqlite3.SQLITE_FULL else str(error)
            raise StorageError(f"cannot write {path}: {reason}: free some space or name a folder that can be "
                               "written") from None  # fmt: skip
        raise damaged(path, str(error)) from None
    except OSError as error:
        raise storage_error(path, error) from None


def place(temporary: Path, path: Path) -> None:
    """Give a finished file its name, unless another process was faster: then that one's stays."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except (OSError, AttributeError, NotImplementedError):  # FAT and some phones know no links
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
    """Flush a file's content to the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
