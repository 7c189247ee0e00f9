# SPDX-License-Identifier: Apache-2.0
"""Faults at system calls of an update, and altered releases: more of both in the long suite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from examples import LONG

TESTS = Path(__file__).resolve().parents[2]


def harness(name: str, made: Path, *options: str) -> dict[str, Any]:
    """What a harness prints as its last line; it has to end with status 0, or with 77 where it cannot run."""
    words = [sys.executable, str(TESTS / name), str(made), *options]
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def faults(made: Path, every: int) -> None:
    pytest.importorskip("cryptography")
    result = harness("faults.py", made, "--every", str(every))
    assert result["failures"] == 0
    assert {row["scenario"] for row in result["rows"]} == {"first", "update", "resumed", "rollback", "rotation"}
    assert all(row.get("killed") for row in result["rows"] if row["fault"] == "kill")
    assert sum(row.get("refused", 0) for row in result["rows"]) > 0, "no fault mattered"


@pytest.mark.slow
def test_pin_serial_and_a_version_survive_a_few_faults(made: Path) -> None:
    faults(made, 167)


@pytest.mark.long
def test_pin_serial_and_a_version_survive_faults_at_every_seventh_call(made: Path) -> None:
    faults(made, 7)


@pytest.mark.slow
@pytest.mark.scaled
def test_altered_releases_are_one_line_or_taken_rightly(made: Path) -> None:
    pytest.importorskip("cryptography")
    result = harness("mutated_releases.py", made, "--count", "3000" if LONG else "75")
    assert result["failures"] == 0
    for kind in ("latest", "manifests", "rotations"):
        assert sum(result[kind].values()) == result["count"] / 3
        assert result[kind].get("taken", 0) > 0, "nothing altered reached the switch"
        assert sum(result[kind].values()) > 2 * result[kind]["taken"], "nothing was refused"
