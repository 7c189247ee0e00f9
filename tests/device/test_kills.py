# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments of everything that writes: 15 or 30 of a kind, in the long suite 1,000 in all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from examples import LONG
from kills_together import may_make_containers

HARNESS = Path(__file__).parents[1] / "kills.py"
pytestmark = [pytest.mark.scaled, pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")]


def kills(made: Path, short: int, long: int, *kind: str) -> dict[str, dict[str, int]]:
    """What the harness says: per kind, how many kills, and how many of them came in the middle of the work."""
    words = [sys.executable, str(HARNESS), str(made), "--count", str(long if LONG else short), *kind]
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    result: dict[str, dict[str, int]] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_every_restart_finds_a_valid_state(made: Path) -> None:
    result = kills(made, 30, 400)
    for kind in ("appends", "states", "personalises", "forgets", "pulls"):
        assert result[kind]["inside"] > 0, f"no kill came in the middle: {result}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["together", "forked", "contained"])
def test_nothing_acknowledged_is_lost_by_processes_that_share_a_users_files(made: Path, kind: str) -> None:
    if kind == "contained" and not may_make_containers():
        pytest.skip("no process may be given the number 1 here: needs Linux and root")
    result = kills(made, 15, 200, "--kind", kind)
    assert result[kind]["kills"] >= (200 if LONG else 15)
    assert result[kind]["inside"] > 0, f"no kill came in the middle: {result}"
