# SPDX-License-Identifier: Apache-2.0
"""The choice of tests for another Python names tests that there are, and leaves the rest of a file out."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from other_python import ONLY, RUNS, WHOLE, is_run

TESTS = Path(__file__).parent


@pytest.mark.parametrize("file", [*ONLY, *RUNS, *WHOLE])
def test_what_is_named_is_there(file: str) -> None:
    if file.endswith("/"):
        assert list((TESTS / file).rglob("test_*.py"))
        return
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    for beginning in ONLY.get(file, ()):
        assert any(name.startswith(beginning.partition("[")[0]) for name in names), beginning


def test_of_a_file_that_is_named_only_the_named_tests_run_and_of_long_ones_a_whole_run() -> None:
    assert is_run("export/test_export.py", "test_gate_passes_on_every_runtime[2-partial-adagrad-options0]", [])
    assert not is_run("export/test_export.py", "test_gate_passes_on_every_runtime[2-head-sgd-options2]", [])
    assert not is_run("cloud/test_full_disk.py", "test_a_full_disk_is_one_line[als]", [])
    assert not is_run("cloud/data/test_data_split.py", "test_anything", ["long"])
    assert is_run("cloud/data/test_data_split.py", "test_anything", ["scaled"])
    assert not is_run("test_run.py", "test_anything", ["slow"])
    assert is_run("package/test_package_run.py", "test_anything", ["slow", "long"])
