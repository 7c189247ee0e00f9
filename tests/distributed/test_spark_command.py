# SPDX-License-Identifier: Apache-2.0
"""The command on a Spark standalone cluster, and what is left of a cluster when its test is killed.

A file apart: the session of the other tests of Spark, which holds the whole cluster, has ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import logs
import pytest
from processes import MARK, wait_until_none

from pocketrec.cloud.candidates import Candidates
from pocketrec.cloud.data import prepared

HERE = Path(__file__).parent
PLAIN = logs.text(logs.HEADER, logs.rows(2000, logs.full))


def pocketrec(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pocketrec.cli", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_command(master: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(PLAIN)
    config = f"[data]\npath = '{tmp_path / 'log.csv'}'\n[candidates.als]\nfactors = 8\niterations = 2\n"
    config += "[baselines.knn]\ntune = false\n"
    (tmp_path / "c.toml").write_text(config)
    run = ["candidates", str(tmp_path / "c.toml"), "--out", str(tmp_path / "run"), "--engine", "spark"]
    nobody = pocketrec(*run, "--master", "spark://127.0.0.1:1")
    assert (nobody.returncode, nobody.stderr.splitlines()[-1]) == (
        2, "error: no Spark master answers at spark://127.0.0.1:1: start one, or correct --master",
    )  # fmt: skip
    done = pocketrec(*run, "--master", master)
    assert done.returncode == 0, done.stderr
    sets = Candidates.load(tmp_path / "run" / "candidates" / "candidates.npz")
    assert len(sets.users) == len(prepared.load_cloud(tmp_path / "run").before)


@pytest.mark.slow
def test_a_killed_test_leaves_no_process(master: str, tmp_path: Path) -> None:
    """The cluster of a process that is killed, and cannot clean up, ends on its own."""
    command = [sys.executable, str(HERE / "cluster.py"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline().startswith("spark://")
        (mark,) = {_mark(number) for number in _children(process.pid)}
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert wait_until_none(mark, 30)


def _children(parent: int) -> list[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(number) for number in listed.split()]


def _mark(process: int) -> str:
    content = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return next(entry.decode().partition("=")[2] for entry in content if entry.startswith(MARK.encode()))
