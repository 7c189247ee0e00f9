# SPDX-License-Identifier: Apache-2.0
"""A family of processes ends as a whole, with children in sessions of their own that ignore the request to end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from pocketrec.flower.family import Family

CHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {CHILD!r}], start_new_session=True).wait()"


def test_children_that_hide_and_ignore_are_ended_too(tmp_path: Path) -> None:
    with Family(os.environ, tmp_path) as family:
        family.start("parent", [sys.executable, "-c", PARENT])
        until = time.monotonic() + 60
        while "deaf" not in (tmp_path / "parent.log").read_text() and time.monotonic() < until:
            time.sleep(0.05)
        assert len(family.members()) == 2
        assert family.ended() == []
        family.patience = 1.0
    assert family.members() == []
    assert family.ended() == ["parent"]


def test_a_command_that_takes_too_long_and_one_that_fails(tmp_path: Path) -> None:
    with Family(os.environ, tmp_path) as family:
        assert family.run("slow", [sys.executable, "-c", "import time; time.sleep(600)"], 0.3) == -1
        assert family.run("fails", [sys.executable, "-c", "raise SystemExit(3)"], 60) == 3
        assert family.ended() == ["fails"]
    assert family.members() == []


def test_parts_of_flower_end_with_the_process_that_started_them() -> None:
    """Even where that is killed and cleans nothing up."""
    part = (
        "import time; from pocketrec.flower import engine\n"
        "engine._end_with_parent(); print('up', flush=True); time.sleep(600)"
    )
    code = (
        f"import subprocess, sys, time\nchild = subprocess.Popen([sys.executable, '-c', {part!r}], "
        "stdout=subprocess.PIPE, start_new_session=True)\nchild.stdout.readline()\nprint(child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    place = Path("/proc", parent.stdout.readline().strip(), "cmdline")
    parent.kill()
    parent.wait()
    until = time.monotonic() + 60
    while _runs(place) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(place)


def _runs(cmdline: Path) -> bool:
    try:
        return cmdline.read_bytes() != b""  # of a dead process that nobody has waited for
    except OSError:
        return False
