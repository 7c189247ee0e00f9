# SPDX-License-Identifier: Apache-2.0
"""Jobs in processes: errors are passed on, a dead process is an error of one line, finished work is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pocketrec.cloud.base.processes import read_lines, run_jobs
from pocketrec.device.base.errors import DataError, PocketRecError


def _nothing() -> None:
    """No preparation."""


def _square(job: int) -> dict[str, int]:
    return {"square": job * job}


def _refuse(job: int) -> dict[str, int]:
    if job == 3:
        raise DataError("three is not a number: choose another")
    return _square(job)


def _refuse_all(job: int) -> dict[str, int]:
    raise DataError(f"job {job} was done")


def _die(job: int) -> dict[str, int]:
    os._exit(job)


def _threads(_job: int) -> dict[str, str | None]:
    return {"threads": os.environ.get("OPENBLAS_NUM_THREADS")}


JOBS = {str(n): n for n in range(6)}


def test_results_are_in_the_order_of_the_jobs_and_an_error_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    with pytest.raises(DataError, match="choose another"):
        run_jobs(JOBS, _refuse, path, "x", start=_nothing, processes=1)
    kept = [line["key"] for line in read_lines(path)]
    assert kept[:3] == ["0", "1", "2"]
    done = run_jobs(JOBS, _square, path, "x", start=_nothing, processes=2)
    assert list(done) == list(JOBS)
    assert [line["square"] for line in done.values()] == [0, 1, 4, 9, 16, 25]


@pytest.mark.parametrize("mark", ["\u2028", "\u0085", "\x1c", "\n", "\r"])
def test_an_id_may_hold_what_unicode_calls_a_line_break(tmp_path: Path, mark: str) -> None:
    path, key = tmp_path / "lines.jsonl", f"a{mark}b"
    run_jobs({key: 2}, _square, path, "x", start=_nothing, processes=1)
    assert read_lines(path) == [{"key": key, "square": 4}]
    done = run_jobs({key: 2}, _refuse_all, path, "x", start=_nothing, processes=1)
    assert done == {key: {"square": 4}}, "what was done is not done again"


def test_a_process_that_dies_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PocketRecError, match="run again"):
        run_jobs({"one": 1}, _die, tmp_path / "lines.jsonl", "x", start=_nothing, processes=1)


def _wait(_job: int) -> dict[str, int]:
    time.sleep(60)
    return {}


_ORPHANS = """
import multiprocessing, sys, threading, time
from pathlib import Path
import pytest  # the jobs' module needs it
from pocketrec.cloud.base.processes import run_jobs
sys.path.insert(0, sys.argv[1])
from test_processes import _nothing, _wait
path = Path(sys.argv[2])
threading.Thread(target=lambda: run_jobs({"one": 1}, _wait, path, "x", start=_nothing), daemon=True).start()
while not multiprocessing.active_children():
    time.sleep(0.05)
print(multiprocessing.active_children()[0].pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")
def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ORPHANS, str(Path(__file__).parent), str(tmp_path / "lines.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(1)  # so that it is under way
        parent.kill()
    for _ in range(300):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split(") ")[1][0] == "Z":
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the process lived on")


def test_numerical_libraries_of_the_processes_keep_to_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    done = run_jobs({"one": 1}, _threads, tmp_path / "lines.jsonl", "x", start=_nothing)
    assert done["one"]["threads"] == "1"
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7", "the caller's environment is as it was"


def test_a_damaged_file_is_begun_afresh(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text("not json\n" + json.dumps({"key": "one", "square": 5}) + "\n")
    assert run_jobs({"one": 1}, _square, path, "x", start=_nothing)["one"]["square"] == 1
