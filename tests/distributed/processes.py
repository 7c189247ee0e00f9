# SPDX-License-Identifier: Apache-2.0
"""Processes that the tests start, and that are gone afterwards however a test ends.

Each is the head of its own process group, gets SIGTERM from the kernel when its parent dies, and carries `MARK` in its
environment, by which its children are found, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

MARK = "POCKETREC_TEST_PROCESSES"
_PR_SET_PDEATHSIG = 1
_PATIENCE = 60  # seconds for a process to come up, on a loaded machine
_GRACE = 10  # seconds between SIGTERM and SIGKILL

Process = subprocess.Popen[bytes]


@contextlib.contextmanager
def process_group() -> Iterator[dict[str, str]]:
    """An environment for processes; when the block ends, none that was started with it is left."""
    mark = uuid.uuid4().hex
    try:
        yield {**os.environ, MARK: mark}
    finally:
        kill(mark)


def start(command: Sequence[str], environment: dict[str, str], log: Path) -> Process:
    """Start a process that dies with this one; its output goes into `log`."""
    libc = ctypes.CDLL(None)

    def die_with_parent() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    with log.open("wb") as file:
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True, preexec_fn=die_with_parent,
        )  # fmt: skip


def wait_for(process: Process, log: Path, pattern: str) -> str:
    """The first group of a pattern in the log of a process, as soon as it is there."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        text = log.read_text(errors="replace")
        if found := re.search(pattern, text):
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} did not come up:\n{log.read_text(errors='replace')}")


def left(mark: str) -> list[int]:
    """Ids of the processes that carry a mark, zombies apart."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def kill(mark: str) -> None:
    """End the processes that carry a mark; those that do not listen are killed."""
    for sign, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
        for process in left(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, sign)
        if wait_until_none(mark, patience):
            return
    raise AssertionError(f"processes {left(mark)} cannot be killed")


def wait_until_none(mark: str, patience: float) -> bool:
    """Whether no process carries the mark after at most so many seconds."""
    deadline = time.monotonic() + patience
    while left(mark):
        if time.monotonic() > deadline:
            return False
        with contextlib.suppress(ChildProcessError):  # our own dead children
            os.waitpid(-1, os.WNOHANG)
        time.sleep(0.05)
    return True


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
