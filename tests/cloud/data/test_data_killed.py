# SPDX-License-Identifier: Apache-2.0
"""Stage prepare, killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from examples import LONG

_CHILD = """
import sys
from pathlib import Path
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.base.runs import Pipeline, Run
import pocketrec.cloud.data.prepared, pyarrow.csv
from pocketrec.stages import STAGES
source, folder = map(Path, sys.argv[1:])
config = RunConfig(data=DataConfig(path=str(source), category="category"))
print("begins", flush=True)
Pipeline(STAGES, Run(config, folder)).execute(["prepare"])
print("ends", flush=True)
"""


def write_log(path: Path, events: int = 60_000) -> None:
    rng = np.random.default_rng(0)
    users, items, times = rng.integers(0, 3000, events), rng.integers(0, 9000, events), rng.integers(0, 10**6, events)
    rows = (f"{u},{i},{i % 7},pv,{t}\n" for u, i, t in zip(users, items, times, strict=True))
    path.write_text("".join(rows), encoding="utf-8")


def begin(source: Path, folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", _CHILD, source, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    return process


def files(folder: Path) -> dict[str, bytes]:
    data = folder / "data"
    return {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.scaled
def test_killed_again_and_again_it_ends_with_the_same_files(tmp_path: Path) -> None:
    kills = 6 if LONG else 1
    source = tmp_path / "UserBehavior.csv"
    write_log(source)
    whole = begin(source, tmp_path / "whole")
    started = time.monotonic()
    assert whole.wait() == 0
    seconds = time.monotonic() - started
    expected = files(tmp_path / "whole")
    assert len(expected) == 9
    chance, killed = random.Random(1), 0
    while killed < kills:
        process = begin(source, tmp_path / "killed")
        time.sleep(chance.uniform(0, seconds))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:  # it was over before: the next moments are earlier ones, on a new folder
            seconds *= 0.9
            os.rename(tmp_path / "killed", tmp_path / f"over{killed}{seconds}")
        else:
            assert process.returncode == -signal.SIGKILL
            killed += 1
    assert begin(source, tmp_path / "killed").wait() == 0
    assert files(tmp_path / "killed") == expected


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    source, run = tmp_path / "UserBehavior.csv", tmp_path / "run"
    write_log(source, 3000)
    for left in ("cloud/.before.npz.4711.tmp", "devices/.after.npz.4711.tmp", ".summary.json.4711.tmp"):
        (run / "data" / left).parent.mkdir(parents=True, exist_ok=True)
        (run / "data" / left).write_bytes(b"half of it")
    assert begin(source, run).wait() == 0
    assert not list(run.rglob("*.tmp"))
    assert len(files(run)) == 9
