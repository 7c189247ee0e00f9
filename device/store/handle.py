# SPDX-License-Identifier: Apache-2.0
"""The file of an event store: made, opened, checked, kept from forks, and given up. What it holds: `database`.

SQLite keeps account of the locks of a process, and a child inherits the account without the locks; so the file is
closed before a fork, and parent and child open it again. A second connection in the child, beside the inherited one,
would not do: the account is kept by inode, so it takes no lock of its own either, and loses what it appends. This
module knows nothing about events.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self
from weakref import WeakSet

from pocketrec.device.base import forks
from pocketrec.device.base.errors import StorageError, StoreError
from pocketrec.device.base.files import sweep
from pocketrec.device.store import schema
from pocketrec.device.store.connection import (
    APPLICATION,
    connect,
    damaged,
    flush,
    inode,
    place,
    translated,
    unwritten,
)
from pocketrec.device.store.places import forbidden
from pocketrec.device.store.sealing import Seal, SealError

if TYPE_CHECKING:
    import sqlite3

#: Most events that a store keeps unless another limit is set; the ones that came first go first.
KEEP: Final = 100_000

_CHECK: Final = b"pocketrec event store"  # sealed in `meta`, so that a wrong key is noticed


# Where SQLite locks a file ("pending" byte and the shared range after it, in its file format's "lock-byte page").
_LOCKS_AT: Final = 0x40000000
_LOCK_BYTES: Final = 512
_OPEN: Final[WeakSet[StoreFile]] = WeakSet()


def open_here(path: Path) -> bool:
    """Whether a store of this process has the file open."""
    place = inode(path)
    return any(store._connection is not None and store._file == place for store in list(_OPEN))


@contextlib.contextmanager
def alone(path: Path) -> Iterator[IO[bytes]]:
    """The file, opened beside SQLite and held, so that no other process has it open or opens it until it is replaced.

    SQLite's own exclusive lock would do the same, but not on a file with a damaged first page. The descriptor is this
    process's only one on the file, as `open_here` makes sure: closing it takes no lock from anybody.

    Raises:
        StoreError: this process or another has it open.
    """
    if open_here(path):
        raise StoreError(f"{path} is open in this process: close it first")
    try:
        import fcntl
    except ImportError:  # Windows lets no file go that somebody has open
        with open(path, "rb") as file:
            yield file
        return
    with open(path, "r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_BYTES, _LOCKS_AT)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise StoreError(f"{path} is open in another process: end it first") from None
            raise
        yield file


class StoreFile:
    """An SQLite file with the tables of an event store, and the connection to it. Threads wait for each other.

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

    def __init__(self, path: str | Path, *, key: bytes | None = None, create: bool = True) -> None:
        self.path = Path(path)
        self._seal = None if key is None else Seal(key)
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._create = create
        self._busy = 0  # calls at work; more than one only where they are nested
        self._keep = True  # the connection, for the next call
        self._pid = os.getpid()
        self._held = False  # the lock, by a fork
        self.read_only = ""
        _OPEN.add(self)
        forks.watch(self, order=10)
        with self._database():
            pass

    path: Path
    """The file; SQLite keeps two more beside it while it is open."""
    read_only: str
    """Why the file can be read and not be written, in the system's words, when it was last opened; "" = it can."""

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
                self._connection = self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the connection -----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _database(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """The open database, with `write` in a transaction of its own; opened again where the file was replaced.

        Its errors become ours.
        """
        with self._lock, translated(self.path):
            self._check_process()
            self._busy += 1
            try:
                yield self._begun() if write else self._current()
            finally:
                self._busy -= 1
                if not self._keep:
                    self.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._database(write=True) as database:
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(Exception):
                    database.execute("ROLLBACK")
                raise

    def _current(self) -> sqlite3.Connection:
        """The connection to the file that has the path now."""
        while self._connection is None or self._file != inode(self.path):
            self.close()
            self._prepare_file()
            self._file = inode(self.path)
            self._connection = self._opened()
        return self._connection

    def _begun(self) -> sqlite3.Connection:
        """The connection, in a transaction. The file has the path still: `wipe_store` and `repair_store` wait."""
        if self.read_only:  # it may be writable by now
            self.close()
        while True:
            connection = self._current()
            if self.read_only:
                raise StorageError(f"cannot write {self.path}: {self.read_only}: free some space or name a folder "
                                   "that can be written")  # fmt: skip
            connection.execute("BEGIN IMMEDIATE")
            if self._file == inode(self.path):
                return connection
            connection.execute("ROLLBACK")

    def _prepare_file(self) -> None:
        """Make the file where it is missing and wanted; refuse an empty one."""
        try:
            empty = os.stat(self.path).st_size == 0
        except FileNotFoundError:
            if not self._create:
                raise StoreError(f"no event store {self.path}: record events with `pocketrec record` first") from None
            self._made()
            return
        if empty:
            raise StoreError(f"{self.path} is empty: name another file with --store, or remove this one")

    def _opened(self) -> sqlite3.Connection:
        """A connection to the file that is there: to write, else to read, else to read without locks."""
        import sqlite3

        self._keep, self.read_only = True, forbidden(self.path)
        if not self.read_only:
            try:
                return self._checked(connect(self.path))
            except sqlite3.Error as error:
                self.read_only = unwritten(self.path, error)
                if not self.read_only:
                    raise
        try:
            return self._checked(connect(self.path, read_only=True))
        except sqlite3.Error as error:
            if not unwritten(self.path, error):
                raise
        # No file can be made beside it. Without locks, it is not kept open: another process may write when there is
        # room again.
        self._keep = False
        return self._checked(connect(self.path, read_only=True, locks=False))

    # --- forks --------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Close the file until the fork is over; see `pocketrec.device.base.forks`."""
        self._held = self._lock.acquire(timeout=forks.PATIENCE)
        if self._held and not self._busy:
            self.close()

    def after_fork(self, *, child: bool) -> None:
        """Go on, in the parent and in the child."""
        if child:
            self._lock = threading.RLock()
        elif self._held:
            self._lock.release()
        self._held = False

    def _check_process(self) -> None:
        """Refuse a connection of another process, which a fork handed over that was not to be waited for."""
        if self._pid != os.getpid():
            if self._connection is not None:
                raise StoreError(f"{self.path} was open when the process was forked by a library, or in the middle of "
                                 "a call: open it after the fork, or close it before")  # fmt: skip
            self._pid = os.getpid()

    # --- making and checking ------------------------------------------------------------------------------------

    def _made(self) -> None:
        """Make an empty store in one step: a process that is killed here leaves no half of one."""
        log = f"{self.path}-wal"
        if os.path.exists(log) and not self.path.exists():
            raise StoreError(f"{self.path} is gone, but its log {log} is there: put the store back, or remove the log")
        sweep(self.path)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            connection = connect(temporary)
            with contextlib.closing(connection) as database:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("BEGIN IMMEDIATE")
                database.execute(f"PRAGMA application_id = {APPLICATION}")
                schema.migrate(database)
                seal = None if self._seal is None else self._seal.seal(_CHECK)
                facts = {"name": os.urandom(8).hex(), "forgotten": 0, "dropped": 0, "keep": KEEP, "seal": seal}
                database.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
                database.execute("COMMIT")
            flush(temporary)
            place(temporary, self.path)
        finally:
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    os.unlink(f"{temporary}{suffix}")

    def _checked(self, database: sqlite3.Connection) -> sqlite3.Connection:
        """The connection to a store that this version and this key can read; old tables are brought up to date."""
        try:
            self._check(database)
        except BaseException:
            database.close()
            raise
        return database

    def _check(self, database: sqlite3.Connection) -> None:
        if database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
            raise StoreError(f"{self.path} is not an event store: name another file with --store")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version > len(schema.MIGRATIONS):
            raise StoreError(f"{self.path} is of version {version} and this version of pocketrec reads "
                             f"{len(schema.MIGRATIONS)}: update pocketrec")  # fmt: skip
        if not self.read_only:
            if version < len(schema.MIGRATIONS):
                database.execute("BEGIN IMMEDIATE")
                schema.migrate(database)
                database.execute("COMMIT")
            database.execute("PRAGMA journal_mode = WAL")
        sealed = self._meta(database, "seal")
        if sealed is None and self._seal is not None:
            raise StoreError(f"{self.path} is not encrypted, and a key was given: leave the key out, or export the "
                             "events, wipe, and record them again")  # fmt: skip
        if sealed is not None and self._seal is None:
            raise StoreError(f"{self.path} is encrypted: give its key with --secret")
        if sealed is not None and self._seal is not None:
            try:
                self._seal.open(sealed)
            except SealError:
                raise StoreError(f"{self.path} is encrypted with another key: give its own with --secret") from None

    def _meta(self, database: sqlite3.Connection, key: str) -> Any:
        row = database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise damaged(self.path, f"it lacks {key}")
        return row[0]

    def _erase(self) -> None:
        """Leave nothing of what was deleted in the files: free pages go, and the log is cut to nothing."""
        with self._database() as database:
            database.execute("VACUUM")
            busy = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                raise StoreError(f"{self.path} is being read by another process, and a trace of what was deleted is "
                                 "left: do it again when the other has ended")  # fmt: skip
