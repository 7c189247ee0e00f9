# SPDX-License-Identifier: Apache-2.0
"""The comparison with GRU4Rec, as far as it goes without GRU4Rec."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pocketrec.cloud.config.baselines import BASELINES

ROOT = Path(__file__).parents[1]
SMALL = ["data.synthetic.users=60", "data.synthetic.items=40", "model.embedding=8", "model.gru.hidden=8",
         "model.gru.layers=1",
         "train.epochs=2", "train.validation=0"]  # fmt: skip


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks/gru4rec.py"), str(ROOT / "configs/synthetic.toml"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_without_gru4rec_one_line_says_what_to_do(tmp_path: Path) -> None:
    done = compare("--gru4rec", str(tmp_path))
    assert done.returncode
    assert done.stderr.startswith("error: name a checkout")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.long
def test_ours_and_the_baselines_are_judged_on_the_same_events() -> None:
    done = compare("--only", "ours", "--set", *SMALL)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert {row["system"] for row in result["rows"]} == {*BASELINES, "ours"}
    ours = next(row for row in result["rows"] if row["system"] == "ours")
    assert len(ours["curve"]) == 2
    assert ours["curve"][-1][1] == ours["recall@20"]
