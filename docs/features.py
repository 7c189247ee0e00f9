# SPDX-License-Identifier: Apache-2.0
"""Writes docs/features.md from the tests: ``python docs/features.py``.

A row is done when a test names its id: in a mark (``@pytest.mark.feature("P1")``), in the docstring of the test, its
class or its module, in its name (``test_f9_...``), or in a comment right above a Java test (``// Feature D22``). The
tests are read and not imported, so that this needs Python alone. A test compares.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_suffix(".txt")
_ID = re.compile(r"\b([DPFKN]\d{1,2})(?: to ([DPFKN])(\d{1,2}))?\b")
_NAME = re.compile(r"test_([dpfkn]\d{1,2})_")
_JAVA = re.compile(r"// Feature ([DPFKN]\d{1,2})\b[^\n]*\n(?:\s*@[^\n]*\n)*\s*(?:public )?void (\w+)\(")

_HEAD = """\
# Features

One sentence a feature, each as a test can check it, and the tests that name it. The ids are those of the systems that
PocketRec brings together: D of DeepRec (WWW 2021), P of PeterRec (SIGIR 2020) with NextItNet, GRec and CpRec, F of
PFedRec (IJCAI 2023), K of the two-stage recommender of Kurovski (2017), and N of what none of them has. M: without it
nobody can say that the system works; S: it should be there; O: optional. A row without a test is open.

This page is made by `docs/features.py` from the tests, and a test compares.
"""


def ids(text: str) -> Iterator[str]:
    """Feature ids that a text names; ``F1 to F3`` is all three."""
    for first, _, last in _ID.findall(text):
        start = int(first[1:])
        for number in range(start, int(last or start) + 1):
            yield f"{first[0]}{number}"


def named(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(feature id, place) of one file of tests; the place is ``""`` for the whole file."""

    def visit(node: ast.Module | ast.ClassDef | ast.FunctionDef, place: str) -> Iterator[tuple[str, str]]:
        for feature in ids(ast.get_docstring(node) or ""):
            yield feature, place
        for decorator in getattr(node, "decorator_list", []):
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.feature":
                for argument in decorator.args:
                    yield str(ast.literal_eval(argument)), place
        if name := _NAME.match(place.rpartition("::")[2]):
            yield name.group(1).upper(), place
        if not isinstance(node, ast.FunctionDef):
            for child in node.body:
                is_test = isinstance(child, ast.FunctionDef) and child.name.startswith("test_")
                if is_test or (isinstance(child, ast.ClassDef) and child.name.startswith("Test")):
                    yield from visit(child, f"{place}::{child.name}".removeprefix("::"))

    yield from visit(tree, "")


def found(root: Path = ROOT) -> dict[str, list[str]]:
    """The tests that name each feature, as paths from the root with the test behind ``::``."""
    tests: dict[str, list[str]] = defaultdict(list)
    for path in sorted((root / "tests").rglob("test_*.py")):
        for feature, place in named(ast.parse(path.read_text(encoding="utf-8"))):
            tests[feature].append("::".join(filter(None, (path.relative_to(root).as_posix(), place))))
    for path in sorted((root / "android_harness").rglob("src/*est/java/**/*.java")):
        for feature, test in _JAVA.findall(path.read_text(encoding="utf-8")):
            tests[feature].append(f"{path.relative_to(root).as_posix()}::{test}")
    return {feature: _most_exact(places) for feature, places in tests.items()}


def _most_exact(places: list[str]) -> list[str]:
    """Each place once, and no file or class of which a test is named as well."""
    return [place for place in dict.fromkeys(places) if not any(other.startswith(f"{place}::") for other in places)]


def rows() -> Iterator[tuple[str, str, str]]:
    """(id, need, sentence) of docs/features.txt; a line without an id is a heading, with both empty."""
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        parts = line.split(" ", 2)
        if _ID.fullmatch(parts[0]):
            yield parts[0], parts[1], parts[2]
        elif line:
            yield "", "", line


def page() -> str:
    """The whole of docs/features.md."""
    tests = found()
    lines = [_HEAD]
    for feature, need, sentence in rows():
        if not feature:
            lines += [f"\n## {sentence}\n", "| id | feature | need | tests |", "| --- | --- | --- | --- |"]
            continue
        shown = [f"`{place.removeprefix('tests/')}`" for place in tests.get(feature, [])]
        more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
        lines.append(f"| {feature} | {sentence} | {need} | {', '.join(shown[:3]) or 'open'}{more} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
