# SPDX-License-Identifier: Apache-2.0
"""Processes that are started together and end together, whatever sessions they make for themselves.

Flower's SuperLink and SuperNodes start processes of their own, some in new sessions, and leave them behind when they
are ended. Each process of a family has its name in its environment, which its children inherit; so all of them are
found in /proc, on Linux.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_NAME: Final = "POCKETREC_FAMILY"
_PATIENCE: Final = 10.0
_POLL: Final = 0.1


class Family:
    """Processes with one name. Use it as a context: at its end none of them is left.

    Args:
        environment: of all of them.
        folder: for the output of each, ``NAME.log``.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.name = secrets.token_hex(16)
        self._environment, self._folder = {**environment, _NAME: self.name}, folder
        self.started, self.patience = {}, _PATIENCE

    started: dict[str, subprocess.Popen[bytes]]
    """Processes by name."""
    patience: float
    """Seconds between the request to end and the end by force."""

    def __enter__(self) -> Family:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self, name: str, command: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        """Start a process; its output goes to ``NAME.log`` in the folder."""
        with open(self._folder / f"{name}.log", "ab") as log:
            self.started[name] = subprocess.Popen(
                list(map(str, command)), env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self._folder, start_new_session=True,
            )  # fmt: skip
        return self.started[name]

    def run(self, name: str, command: Sequence[str | Path], timeout: float) -> int:
        """Start a process and wait for it; its exit status, -1 where it takes longer than `timeout` seconds."""
        try:
            return self.start(name, command).wait(timeout)
        except subprocess.TimeoutExpired:
            return -1

    def ended(self) -> list[str]:
        """Names of started processes that have ended."""
        return [name for name, process in self.started.items() if process.poll() is not None]

    def members(self) -> list[int]:
        """Ids of all processes that live."""
        mark = f"{_NAME}={self.name}".encode()
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (place / "environ").read_bytes().split(b"\0") and not _is_dead(place):
                    found.append(int(place.name))
        return found

    def end(self) -> None:
        """Ask all processes to end, and end those by force that do not."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            until = time.monotonic() + self.patience
            asked: set[int] = set()
            while (left := self._left()) and time.monotonic() < until:
                for number in left:
                    if number not in asked:  # and those that were started meanwhile
                        asked.add(number)
                        with contextlib.suppress(OSError):
                            os.kill(number, how)
                time.sleep(_POLL)

    def _left(self) -> list[int]:
        for process in self.started.values():
            process.poll()  # else the dead stay in /proc
        return self.members()


def _is_dead(place: Path) -> bool:
    return (place / "stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
