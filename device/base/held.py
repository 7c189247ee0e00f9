# SPDX-License-Identifier: Apache-2.0
"""Files that are used for as long as a process runs: small ones are read, large ones mapped and looked at before use.

A file that is replaced (written beside its place and renamed, as everything here is) leaves a process with the old one
whole. One that is overwritten in place changes under a process that has mapped it, and the process is killed (SIGBUS)
when it reads where the file has become shorter. A file in memory is safe from that; of a mapped one it is noticed, most
times, before it is read.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pocketrec.device.base.errors import BundleError

#: Most bytes of a file that is read into memory; larger ones are mapped.
SMALL: Final = 1 << 22


@dataclass(frozen=True)
class Mark:
    """By what a file's content is known without reading it."""

    size: int
    """Bytes."""
    time: int
    """Time of the last change, nanoseconds."""
    inode: int
    """Number of the file on its file system."""

    @classmethod
    def of(cls, path: str | Path) -> Mark:
        """The mark of the file that has the path now.

        Raises:
            OSError: it does not exist.
        """
        status = os.stat(path)
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


class Watched:
    """A file that stays mapped.

    Args:
        path: the file.

    Raises:
        OSError: it does not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._mark = Mark.of(path)

    def check(self) -> None:
        """Refuse the file where it was overwritten in place. One that was replaced or deleted is there still.

        Raises:
            BundleError: it was.
        """
        with contextlib.suppress(OSError):
            now = Mark.of(self.path)
            if now.inode == self._mark.inode and now != self._mark:
                raise overwritten(self.path)


def overwritten(path: str | Path) -> BundleError:
    """The error for a file of a bundle that was changed while it was in use."""
    return BundleError(f"{path} was overwritten while it was in use: start again, and replace a bundle as a whole, "
                       "never in place")  # fmt: skip


def hold(path: str | Path) -> tuple[bytes | mmap.mmap, Watched | None]:
    """The content of a file: in memory where it is small, else mapped, with what shows whether it was overwritten.

    Raises:
        OSError: the file is missing or unreadable.
        ValueError: it is empty.
    """
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size <= SMALL:
            content = file.read()
            if not content:
                raise ValueError("the file is empty")
            return content, None
        watched = Watched(path)
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), watched
