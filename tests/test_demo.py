# SPDX-License-Identifier: Apache-2.0
"""What the demo promises: on a log with something true to learn, personal recommendations are clearly better."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from started import POCKETREC

DEMO = Path(__file__).parents[1] / "configs" / "demo.toml"


@pytest.mark.long
def test_personal_beats_global_in_the_demo(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "demo"
    words = ["run", str(DEMO), "--out", str(run)]
    done = subprocess.run([*POCKETREC, *words], capture_output=True, text=True, check=False, cwd=os.sep)
    assert done.returncode == 0, done.stderr
    found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    change = found["compare"]["personal"]["mrr@20"]
    assert change["low"] > 0
    assert change["gained"] >= 2 * change["harmed"]
    assert found["global"]["mrr@20"] > found["popularity"]["mrr@20"], "the GRU has learned something"
    assert f"{run / 'bundle'}" in done.stdout
    assert "full ranking" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["metrics"]["personal"]["mrr@20"] > found["global"]["mrr@20"]
    (readme,) = python_blocks("README.md")
    shown = subprocess.run([sys.executable, "-c", readme], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert re.match(r"(personal|blend|global) - ", shown.stdout)
    assert len(shown.stdout.splitlines()) == 6
    assert (tmp_path / "u00000.state").exists()
    for block in python_blocks("docs/runs.md"):
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def python_blocks(page: str) -> list[str]:
    text = (DEMO.parents[1] / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
