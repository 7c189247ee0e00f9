# SPDX-License-Identifier: Apache-2.0
"""tests/parts.py --again: what failed runs once more, alone; what fails again, or is much, is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MAKEFILE = f"""
PYTEST = {sys.executable} -m pytest -q -p no:cacheprovider --junitxml=$(or $(RESULTS),results)/$@.xml
spread inner:
	@$(PYTEST) -n 2 tests/test_some.py
two:
	@$(PYTEST) tests/test_some.py && $(PYTEST) tests/test_others.py
ends:
	@test -e been || {{ touch been; echo words; exit 1; }}
nested:
	@RESULTS=results/nested {sys.executable} {HERE / "parts.py"} --results results/nested inner ends
"""
SOME = """
import pathlib, pytest
ran = pathlib.Path(__file__).parent / "ran"

@pytest.mark.parametrize("word", ["a b", "c"])
def test_that_loses_a_race(word):
    before = word in ran.read_text() if ran.exists() else False
    with ran.open("a") as file:
        file.write(word)
    assert before or word == "c"

def test_good():
    with ran.open("a") as file:
        file.write("good")
"""
WRONG = "\ndef test_that_is_wrong():\n    assert False\n"
OTHERS = "def test_other():\n    pass\n"
DIES = "\ndef test_at_whose_end_it_dies():\n    import os; os.kill(os.getpid(), 9)\n"
STOPS = "\ndef test_at_whose_end_it_stops():\n    pytest.exit('stopped')\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tests = tmp_path / "tests"
    tests.mkdir()
    for name in ("conftest.py", "examples.py", "other_python.py"):
        shutil.copy(HERE / name, tests / name)
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = tests\n")
    (tests / "test_some.py").write_text(SOME, encoding="utf-8")
    (tests / "test_others.py").write_text(OTHERS, encoding="utf-8")
    return tmp_path


def run(folder: Path, most: int, *parts: str) -> tuple[int, list[str]]:
    words = [sys.executable, str(HERE / "parts.py"), "--results", "results", "--again", str(most), *parts]
    environment = {**os.environ, "CI": "", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    named = [line for line in lines if line.startswith((*(f"FAILED {part}:" for part in parts), "UNSTEADY "))]
    return done.returncode, [*named, lines[-1]]


def test_a_test_that_passes_the_second_time_is_named_and_no_failure(folder: Path) -> None:
    assert run(folder, 3, "spread") == (0, [
        "UNSTEADY spread: tests.test_some::test_that_loses_a_race[a b]",
        "3 passed, 0 failed",
    ])  # fmt: skip
    assert "1 failed" in (folder / "results/spread.first.log").read_text()
    assert (folder / "tests/ran").read_text().count("good") == 1, "what had passed is not run again"
    assert (folder / "tests/ran").read_text().count("a b") == 2


def test_a_test_that_fails_twice_is_a_failure(folder: Path) -> None:
    (folder / "tests/test_some.py").write_text(SOME + WRONG, encoding="utf-8")
    assert run(folder, 3, "spread") == (1, [
        "UNSTEADY spread: tests.test_some::test_that_loses_a_race[a b]",
        "FAILED spread: tests.test_some::test_that_is_wrong",
        "3 passed, 1 failed",
    ])  # fmt: skip


@pytest.mark.parametrize("most", [0, 1])
def test_more_failures_than_may_be_are_run_once(folder: Path, most: int) -> None:
    (folder / "tests/test_some.py").write_text(SOME + WRONG * most, encoding="utf-8")
    assert run(folder, most, "spread")[0] == 1
    assert (folder / "tests/ran").read_text().count("a b") == 1


@pytest.mark.parametrize("more", [DIES, STOPS])
def test_a_session_that_did_not_end_by_itself_is_a_failure(folder: Path, more: str) -> None:
    """What comes behind the end was not run, so that running what failed again says too little."""
    (folder / "tests/test_some.py").write_text(SOME + more + WRONG, encoding="utf-8")
    (folder / "Makefile").write_text(MAKEFILE.replace("-n 2", ""), encoding="utf-8")
    status, lines = run(folder, 3, "spread")
    assert status == 1
    assert not any("UNSTEADY" in line for line in lines)
    assert (folder / "tests/ran").read_text().count("a b") == 1


@pytest.mark.parametrize("part", ["two", "ends", "nested"])
def test_a_part_of_which_not_all_ran_stays_a_failure(folder: Path, part: str) -> None:
    """The second of two calls of pytest, a program that is no pytest, a part that has parts, one of which ended so."""
    status, lines = run(folder, 3, part)
    assert status == 1
    assert not any("UNSTEADY" in line for line in lines)
