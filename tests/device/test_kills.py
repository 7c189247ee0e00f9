"""kill -9 at random moments of everything that writes: 60 of them, in the long suite 1,000."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from examples import LONG

HARNESS = Path(__file__).parents[1] / "kills.py"


@pytest.mark.scaled
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_every_restart_finds_a_valid_state(made: Path) -> None:
    words = [sys.executable, str(HARNESS), str(made), "--count", "1000" if LONG else "60"]
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    for kind in ("appends", "states", "personalises", "forgets", "pulls"):
        assert result[kind]["inside"] > 0, f"no kill came in the middle: {result}"
