# SPDX-License-Identifier: Apache-2.0
"""tests/parts.py on a small Makefile: what fails stops nothing, everything is counted, one core takes one at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PARTS = Path(__file__).with_name("parts.py")
MAKEFILE = """
good:
	@mkdir -p results/good && cp junit.xml results/good/TEST-a.xml
bad:
	@echo words of bad; cp junit_failed.xml results/bad.xml; exit 3
crash:
	@exit 7
plain:
	@echo words of plain
absent:
	@echo nothing to run it with > results/absent.skipped
one two:
	@echo begin $@ >> order; sleep 0.3; echo end $@ >> order
"""
JUNIT = """<testsuites><testsuite>
<testcase classname="a" name="b"/><testcase classname="a" name="c"/>
<testcase classname="a" name="d"><skipped/></testcase>
</testsuite></testsuites>"""
FAILED = """<testsuite><testcase classname="x.y" name="z"><failure message="no">trace</failure></testcase>
<testcase classname="x.y" name="w"><error/></testcase><testcase classname="x.y" name="v"/></testsuite>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    (tmp_path / "junit.xml").write_text(JUNIT, encoding="utf-8")
    (tmp_path / "junit_failed.xml").write_text(FAILED, encoding="utf-8")
    return tmp_path


def run(folder: Path, *parts: str, ci: str = "", before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    words = [*before, sys.executable, str(PARTS), "--results", "results", *parts]
    environment = {**os.environ, "CI": ci, "MAKEFLAGS": "n"}  # of a make that only prints: not for its parts
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_part_that_fails_stops_no_other_and_is_named(folder: Path) -> None:
    done = run(folder, "bad", "crash:2", "good", "plain")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[-1] == "4 passed, 3 failed, 1 skipped"
    assert [line for line in lines if line.startswith("FAILED ")] == [
        "FAILED bad: x.y::z", "FAILED bad: x.y::w", "FAILED crash: ended with status 2: see its output above",
    ]  # fmt: skip
    assert lines.count("words of bad") == lines.count("words of plain") == 1


def test_where_all_is_well_nothing_of_an_earlier_run_is_counted(folder: Path) -> None:
    run(folder, "good", "bad")
    (folder / "results" / "good" / "old.xml").write_text(FAILED, encoding="utf-8")
    done = run(folder, "good")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "2 passed, 0 failed, 1 skipped"


def test_a_part_that_cannot_run_is_a_failure_only_in_ci(folder: Path) -> None:
    assert run(folder, "absent", "plain").stdout.splitlines()[-1] == "1 passed, 0 failed, 1 skipped"
    done = run(folder, "absent", "plain", ci="true")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "1 passed, 1 failed"
    assert "nothing to run it with" in done.stdout.splitlines()[-2]


def test_on_one_core_parts_run_one_at_a_time(folder: Path) -> None:
    done = run(folder, "one", "two", before=("taskset", "-c", str(min(os.sched_getaffinity(0)))))
    assert done.returncode == 0, done.stderr
    assert (folder / "order").read_text().splitlines() == ["begin one", "end one", "begin two", "end two"]


def test_on_more_cores_two_parts_run_at_once_and_one_of_two_slots_alone(folder: Path) -> None:
    def order(*parts: str) -> list[str]:
        (folder / "order").unlink(missing_ok=True)
        run(folder, *parts)
        return [line.split()[0] for line in (folder / "order").read_text().splitlines()]

    alone, together = ["begin", "end", "begin", "end"], ["begin", "begin", "end", "end"]
    assert order("one:2", "two") == alone
    assert order("one", "two") == (together if len(os.sched_getaffinity(0)) > 1 else alone)
    assert order("one:0", "two:2") == (together if len(os.sched_getaffinity(0)) > 1 else alone)
