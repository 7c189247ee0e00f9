# SPDX-License-Identifier: Apache-2.0
"""What a folder can do: whether its files can be written, and whether they can be locked."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_LEAST = 1 << 16  # free bytes below which SQLite cannot make the index of its log
_NO_LOCKS = {getattr(errno, name, None) for name in ("ENOLCK", "ENOSYS", "EOPNOTSUPP", "ENOTSUP", "EINVAL")} - {None}


def forbidden(path: Path) -> str:
    """Why a file must not be written, in the system's words; "" = it may be, as far as one sees without writing."""
    folder = path.parent
    with contextlib.suppress(OSError, AttributeError):  # AttributeError: Windows
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return os.strerror(errno.EROFS)
    if folder.exists() and not (os.access(folder, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))):
        return os.strerror(errno.EACCES)
    return ""


def unwritable(path: Path) -> str:
    """As `forbidden`, or that the disk is full; to be asked after an error."""
    with contextlib.suppress(OSError, AttributeError):
        status = os.statvfs(path.parent)
        free = status.f_bavail if os.geteuid() else status.f_bfree
        if status.f_blocks and free * status.f_frsize < _LEAST:
            return os.strerror(errno.ENOSPC)
    return forbidden(path)


def no_locks(folder: Path) -> str:
    """Why files in a folder cannot be locked, in the system's words; "" = they can. Makes a nameless file there."""
    try:
        import fcntl
    except ImportError:  # Windows
        return ""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            fcntl.lockf(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return os.strerror(error.errno or 0) if error.errno in _NO_LOCKS else ""
    return ""


@contextlib.contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder, where the system can."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
