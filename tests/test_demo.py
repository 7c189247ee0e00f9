"""What the demo promises: on a log with something true to learn, personal recommendations are clearly better."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1] / "configs" / "demo.toml"


@pytest.mark.long
def test_personal_beats_global_in_the_demo(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys\nfrom pocketrec.cli import main\nsys.exit(main(sys.argv[1:]))"]
    run = tmp_path / "run"
    words = ["run", str(DEMO), "--out", str(run)]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False, cwd=os.sep)
    assert done.returncode == 0, done.stderr
    found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    change = found["compare"]["personal"]["mrr@20"]
    assert change["low"] > 0
    assert change["gained"] >= 2 * change["harmed"]
    assert found["global"]["mrr@20"] > found["popularity"]["mrr@20"], "the GRU has learned something"
    assert f"{run / 'bundle'}" in done.stdout
    assert "full ranking" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["metrics"]["personal"]["mrr@20"] > found["global"]["mrr@20"]
