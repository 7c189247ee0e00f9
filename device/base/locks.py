# SPDX-License-Identifier: Apache-2.0
"""A lock for a file that several threads, processes or containers write.

The lock is held on a file of its own beside the other one, because that one is replaced at every write. The system
gives it back when its holder ends, however it ends. It works between all that run on one kernel and see the same
folder; process numbers play no part. The lock file goes away with the last holder.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from pocketrec.device.base.errors import StorageError
from pocketrec.device.base.files import storage_error

_held = threading.local()  # names of the locks that this thread holds, so that it may ask twice


@contextlib.contextmanager
def locked(path: str | Path, *, needed: bool = True) -> Iterator[None]:
    """Hold the lock of a file, which need not exist; waits while another thread or process holds it.

    A thread that holds it may take it again. Where the system has no such locks (Windows), nobody waits.

    Args:
        path: the file.
        needed: off: continue without the lock where the file system has none.

    Raises:
        StorageError: the folder cannot be written, or its file system has no locks.
    """
    place = Path(os.path.abspath(path))
    names: set[Path] = _held.__dict__.setdefault("names", set())
    if place in names:
        yield
        return
    lock = place.with_name(f".{place.name}.lock")
    descriptor = _acquired(lock, Path(path), needed)
    names.add(place)
    try:
        yield
    finally:
        names.discard(place)
        with contextlib.suppress(OSError):
            os.unlink(lock)  # before it is given back: who waits for it sees that it is gone, and makes a new one
        os.close(descriptor)


def _acquired(lock: Path, path: Path, needed: bool) -> int:
    """An open descriptor of the lock file that bears the lock."""
    try:
        import fcntl
    except ImportError:
        lock.parent.mkdir(parents=True, exist_ok=True)
        return os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise storage_error(path, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is(descriptor, lock):
                return descriptor
            os.close(descriptor)  # its last holder removed it meanwhile
        except OSError as error:
            if not needed:
                return descriptor
            os.close(descriptor)
            raise StorageError(f"cannot lock {path} ({error.strerror}): its file system has no locks, name a file on "
                               "a local one") from None  # fmt: skip
        except BaseException:
            os.close(descriptor)
            raise


def _is(descriptor: int, lock: Path) -> bool:
    """Whether the open file is the one that bears the name."""
    try:
        there = os.stat(lock)
    except OSError:
        return False
    own = os.fstat(descriptor)
    return (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)
