# SPDX-License-Identifier: Apache-2.0
"""docs/security.md: every row that says "prevented" names its tests, and they are there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
DOCUMENT = TESTS.parent / "docs" / "security.md"
#: What theupdateframework.io lists, in the alphabet's order.
ATTACKS = (
    "arbitrary software installation", "endless data", "extraneous dependencies", "fast-forward", "indefinite freeze",
    "malicious mirrors that prevent updates", "mix-and-match", "rollback", "slow retrieval", "key compromise",
    "wrong software",
)  # fmt: skip


def rows(section: str) -> list[list[str]]:
    """The cells of a section's table."""
    text = DOCUMENT.read_text(encoding="utf-8").split(f"## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names() -> set[str]:
    """Every test of the project."""
    texts = [file.read_text(encoding="utf-8") for file in TESTS.rglob("test_*.py")]
    return {name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.M)}


def test_every_attack_of_the_list_has_a_row() -> None:
    assert tuple(row[0] for row in rows("The attacks that TUF lists")) == ATTACKS


def test_what_is_said_to_be_prevented_is_tested() -> None:
    known = names()
    table = rows("The attacks that TUF lists") + rows("Others")
    assert len(table) > 20
    for attack, promise, text in table:
        assert promise in ("prevented", "prevented (key)", "in part", "told", "open"), attack
        tests = re.findall(r"`(test_\w+)`", text)
        assert tests or not promise.startswith(("prevented", "told")), f"{attack}: no test"
        assert set(tests) <= known, f"{attack}: {set(tests) - known}"
