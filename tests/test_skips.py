# SPDX-License-Identifier: Apache-2.0
"""tests/conftest.py: in CI a skip is a failure, wherever it comes from; elsewhere it is a skip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = """
import pytest

@pytest.fixture
def missing():
    pytest.skip("no tool here")

def test_by_fixture(missing):
    pass

@pytest.mark.skipif(True, reason="no server here")
def test_by_mark():
    pass

def test_by_import():
    pytest.importorskip("no_such_package")

@pytest.mark.real_data
def test_of_real_logs():
    pytest.skip("no log here")

@pytest.mark.xfail(strict=True, reason="known")
def test_expected_to_fail():
    assert False

def test_good():
    pass
"""
WHOLE = "import pytest\npytest.importorskip('no_such_package')\n"


def run(folder: Path, ci: str, data: Path) -> str:
    for name in ("conftest.py", "examples.py", "other_python.py"):
        shutil.copy(HERE / name, folder / name)
    (folder / "test_some.py").write_text(TESTS, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  real_data: needs logs\npythonpath = .\n")
    environment = {**os.environ, "CI": ci, "POCKETREC_DATA": str(data), "PYTEST_ADDOPTS": ""}
    words = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout


@pytest.mark.parametrize(("ci", "data", "counts"), [
    ("", True, "1 passed, 5 skipped, 1 xfailed"),
    ("true", True, "2 failed, 1 passed, 1 xfailed, 2 errors"),
    ("true", False, "1 failed, 1 passed, 1 skipped, 1 xfailed, 2 errors"),
])  # fmt: skip
def test_what_is_missing_is_a_failure_only_in_ci(tmp_path: Path, ci: str, data: bool, counts: str) -> None:
    if not ci:  # in CI it would end the collection: below
        (tmp_path / "test_whole.py").write_text(WHOLE)
    printed = run(tmp_path, ci, tmp_path if data else tmp_path / "none")
    assert printed.splitlines()[-1].startswith(counts), printed
    if ci:
        assert "in CI nothing may be missing, and this test was Skipped: no tool here" in printed


def test_a_module_that_is_skipped_as_a_whole_is_a_failure_in_ci(tmp_path: Path) -> None:
    (tmp_path / "test_whole.py").write_text(WHOLE)
    assert "1 error" in run(tmp_path, "true", tmp_path)
