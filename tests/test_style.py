# SPDX-License-Identifier: Apache-2.0
"""How product files are written, read from their source: few parameters, small files, JSON and digests in one place."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("device", "export", "cloud", "pocketrec")
MOST_PARAMETERS = 8
MOST_LINES = 400
OURS = (*PARTS, "android_harness", "benchmarks", "docs", "tests")
LICENCE = "SPDX-License-Identifier: Apache-2.0"


#: A file's tree, made once for all tests here.
_parsed = functools.cache(ast.parse)


def _files(*parts: str) -> Iterator[tuple[str, str]]:
    """Name and text of each product file below these folders."""
    for part in parts:
        for path in sorted((ROOT / part).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Number of parameters, without self or cls."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    own = names[:1] in (["self"], ["cls"])
    return len(names) - own + (given.vararg is not None) + (given.kwarg is not None)


def _crowded(text: str) -> list[str]:
    """Names of the functions of a file with too many parameters."""
    functions = [node for node in ast.walk(_parsed(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return sorted(function.name for function in functions if _parameters(function) > MOST_PARAMETERS)


def test_what_is_counted() -> None:
    names = ", ".join(f"p{number}" for number in range(9))
    assert _crowded(f"def f({names}): ...\nasync def g(*, {names}): ...") == ["f", "g"]
    assert _crowded("def f(a, b, c, d, e, f, g, *h, **i): ...") == ["f"]
    assert _crowded("class A:\n    def f(self, a, b, c, d, e, f, g, h): ...") == []


def test_no_function_takes_more_than_eight_parameters() -> None:
    found = {name: crowded for name, text in _files(*PARTS) if (crowded := _crowded(text))}
    assert found == {}


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {name: text.count("\n") for name, text in _files(*PARTS)}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_json_and_digests_of_it_are_made_in_one_place() -> None:
    """Strings apart: scripts that run in processes of their own print JSON themselves."""
    found = set()
    for name, text in _files("device", "export", "pocketrec"):
        tree = _parsed(text)
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
        if any(alias.name == "json" for node in imports for alias in node.names):
            found.add(name)
    assert found == {"device/base/documents.py", "device/base/digest.py"}


def test_an_embedding_meets_item_rows_in_one_place_on_the_device() -> None:
    """Matrix products of the device: the ranker's, those of personal item rows on top of it, and the benchmark's of the
    processor."""
    found = {
        name
        for name, text in _files("device")
        if any(isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult) for node in ast.walk(_parsed(text)))
        or re.search(r"\bnp\.(dot|matmul|inner|einsum|tensordot|vdot)\(", text)
    }
    assert found == {"device/engine/scores.py", "device/personal/item_rows.py", "device/bench/limit.py"}
    java = ROOT / "android_harness/core/src/main/java/pocketrec/core"
    callers = {path.name for path in java.glob("*.java") if "innerProducts(" in path.read_text(encoding="utf-8")}
    assert callers == {"Scores.java", "ItemTable.java", "ItemLists.java"}


def test_every_source_file_names_the_licence() -> None:
    """One line near the top, as https://spdx.dev has it; LICENSE is the text."""
    files = [path for part in OURS for pattern in ("*.py", "*.java") for path in (ROOT / part).rglob(pattern)]
    ours = [path for path in files if path.stat().st_size]
    ours = [path for path in ours if ROOT / "tests/golden" not in path.parents]  # as they were at that commit
    assert len(ours) > 500
    missing = [str(path.relative_to(ROOT)) for path in ours if LICENCE not in path.read_text(encoding="utf-8")[:200]]
    assert not missing, missing[:5]


@pytest.mark.parametrize("inside", [True, False], ids=["device", "all other"])
def test_no_two_files_of_tests_of_a_part_have_one_name(inside: bool) -> None:
    """They are imported by their names, and the second one could not be."""
    device = ROOT / "tests" / "device"
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py") if (device in path.parents) == inside]
    assert sorted({name for name in names if names.count(name) > 1}) == []
