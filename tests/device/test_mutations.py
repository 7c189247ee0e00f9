# SPDX-License-Identifier: Apache-2.0
"""Altered bundles, manifests, archives, states and events; in the long suite 3,000 of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from examples import LONG

from pocketrec.device.base.errors import BundleError
from pocketrec.device.engine.flatbuffer import walk_once

HARNESS = Path(__file__).parents[1] / "mutations.py"


@pytest.mark.scaled
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_what_is_altered_is_one_clear_error_or_works(made: Path) -> None:
    words = [sys.executable, str(HARNESS), str(made), "--count", "3000" if LONG else "90"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["failures"] == 0
    for kind in ("bundles", "contents", "archives", "manifests", "states", "events"):
        assert sum(result[kind].values()) == result["count"] / 6
        assert result[kind].keys() - {"worked"}, f"nothing was refused: {result}"


def test_a_broken_model_behind_right_hashes_does_not_end_the_process(made: Path) -> None:
    words = [sys.executable, str(HARNESS), str(made), "--count", "30", "--kind", "models"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])["models"]
    assert not [outcome for outcome in told if outcome.startswith("crashed")], told
    assert told["BundleError"] > 20


def test_every_whole_model_can_be_walked(made: Path) -> None:
    models = sorted(made.parent.glob(f"{made.name}*/model.tflite"))
    assert models
    for path in models:
        walk_once(path)
        cut = path.with_name("cut.tflite")
        content = path.read_bytes()
        try:
            for length in (0, 7, 8, len(content) // 2, len(content) - 1):
                cut.write_bytes(content[:length])
                with pytest.raises(BundleError, match="is not a complete model file"):
                    walk_once(cut)
        finally:
            cut.unlink()
