"""Jobs in processes: errors are passed on, a dead process is an error of one line, finished work is kept."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pocketrec.cloud.processes import read_lines, run_jobs
from pocketrec.device.errors import DataError, PocketRecError


def _nothing() -> None:
    """No preparation."""


def _square(job: int) -> dict[str, int]:
    return {"square": job * job}


def _refuse(job: int) -> dict[str, int]:
    if job == 3:
        raise DataError("three is no number: choose another")
    return _square(job)


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


def test_a_process_that_dies_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PocketRecError, match="run again"):
        run_jobs({"one": 1}, _die, tmp_path / "lines.jsonl", "x", start=_nothing, processes=1)


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
