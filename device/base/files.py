# SPDX-License-Identifier: Apache-2.0
"""Writing files so that a crash or a full disk loses nothing, and hashing them.

A file is written beside its final place, flushed to the disk, and then renamed: a reader sees the old content or the
new content, never a part. This module knows nothing about what the files hold.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pocketrec.device.base.errors import StorageError

_CHUNK = 1 << 20  # bytes read at a time while hashing

#: What a system call says where the file system has no hard links: vfat and exFAT say EPERM.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})


def write_atomic(
    path: str | Path,
    content: bytes | Callable[[BinaryIO], object],
    *,
    previous: str | Path | None = None,
    mode: int = 0o644,
) -> None:
    """Write `content` to `path` as one step: afterwards the file is whole, or it is what it was before.

    Args:
        path: the file; its folder is made where it is missing.
        content: the bytes, or a function that is called with the open binary file and writes them.
        previous: where the content that `path` had until now is kept (in the same folder); None keeps nothing.
        mode: permission bits of a new file, before the umask.

    Raises:
        StorageError: the disk is full, or the folder cannot be written. `path` is as it was.
    """
    path = Path(path)
    temporary, made = _temporary(path), False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        made = True
        with open(descriptor, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            _keep(path, Path(previous))
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from None
    finally:
        if made:  # else it is another writer's
            with contextlib.suppress(OSError):
                temporary.unlink()


def sweep(path: str | Path, age: float = 3600.0) -> None:
    """Delete what writers of `path` that were killed have left beside it, if it is older than `age` seconds."""
    path = Path(path)
    oldest = time.time() - age
    with contextlib.suppress(OSError):
        ours = re.compile(rf"\.{re.escape(path.name)}(\.previous)?\.[0-9a-f-]+\.tmp(-wal|-shm)?")
        for file in map(path.parent.joinpath, filter(ours.fullmatch, os.listdir(path.parent))):
            if file.stat().st_mtime <= oldest:
                file.unlink()


def storage_error(path: str | Path, error: OSError) -> StorageError:
    """The one-line `StorageError` for an operating system error while `path` was written."""
    reason = error.strerror or type(error).__name__
    return StorageError(f"cannot write {path}: {reason}: free some space or name a folder that can be written")


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file, 64 lower-case hexadecimal digits.

    Raises:
        OSError: the file is missing or unreadable.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can (not on Windows)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _temporary(path: Path) -> Path:
    """A name beside `path` that nobody else uses: process numbers are no help, in a container everybody is 1."""
    return path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")


def _keep(path: Path, previous: Path) -> None:
    """Give the content of `path` the second name `previous`; `path` itself stays in place."""
    temporary = _temporary(previous)
    try:
        os.link(path, temporary)
    except (OSError, AttributeError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LINKS:
            raise
        write_atomic(previous, path.read_bytes(), mode=path.stat().st_mode & 0o777)
        return
    os.replace(temporary, previous)
