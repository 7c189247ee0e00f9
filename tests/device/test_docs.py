"""docs/device.md, "Threads, processes, containers": a row for each test, a test for each row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "device.md"


def table() -> set[str]:
    """Names of tests in the section's table."""
    text = DOCUMENT.read_text(encoding="utf-8")
    sections = [part.split("\n## ")[0] for part in text.split("## Threads, processes, containers\n")[1:]]
    lines = [line for section in sections for line in section.splitlines() if line.startswith("|")]
    return set(re.findall(r"`(test_\w+)`", "\n".join(lines)))


def names_in(pattern: str) -> set[str]:
    files = HERE.glob(pattern)
    return {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.M)}


def test_every_row_of_the_table_is_a_test() -> None:
    assert len(table()) > 20
    assert table() - names_in("**/test_*.py") == set()


@pytest.mark.parametrize(
    "file", ["store/test_processes.py", "store/test_file_systems.py", "delivery/test_in_place.py"]
)
def test_every_test_of_sharing_is_a_row_of_the_table(file: str) -> None:
    assert names_in(file)
    assert names_in(file) - table() == set()
