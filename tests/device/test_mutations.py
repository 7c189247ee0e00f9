"""Altered bundles, manifests, archives, states and events; tests/mutations.py does 10,000 of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[1] / "mutations.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_what_is_altered_is_one_clear_error_or_works(made: Path) -> None:
    words = [sys.executable, str(HARNESS), str(made), "--count", os.environ.get("POCKETREC_MUTATIONS", "180")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["failures"] == 0
    for kind in ("bundles", "contents", "archives", "manifests", "states", "events"):
        assert sum(result[kind].values()) == result["count"] / 6
        assert result[kind].keys() - {"worked"}, f"nothing was refused: {result}"
