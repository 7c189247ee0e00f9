# SPDX-License-Identifier: Apache-2.0
"""`pocketrec federate` from a log to a bundle with a parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import SMALL
from started import POCKETREC

from pocketrec.cli import main
from pocketrec.device.delivery.bundle import open_bundle

TINY = (
    """
[data]
set = "synthetic"
synthetic = { users = 60, items = 80 }
"""
    + SMALL
    + """[federate]
rounds = [2, 3]
learning_rates = [0.005]
confidence = 0.5
decay = "linear"
dropout = true
[evaluate]
users = 20
central = true
[resources]
processes = 1
"""
)


def federate(config: Path, out: Path, *options: str) -> list[str]:
    return ["federate", str(config), "--out", str(out), "--quiet", *options]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY, encoding="utf-8")
    return path


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


@pytest.mark.long
def test_from_a_log_to_a_bundle_with_a_parent_also_when_killed(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed in the rounds, again and again, the run ends as one that was not: same weights, same model file."""
    out, killed = tmp_path / "run", tmp_path / "killed"
    assert main(federate(config, out)) == 0
    found = printed(capsys)["metrics"]
    assert {"global", "federated", "central", "central_tuned"} <= found.keys()
    facts = found["federate"]
    assert facts["chosen"]["rounds"] == facts["rounds"]
    assert facts["bytes_up"] > facts["values"]
    metrics = json.loads((out / "metrics.json").read_text())
    assert {"global", "federated", "central"} <= metrics.keys()
    assert metrics["compare"]["federated"]["mrr@20"]["users"] == 20
    manifest, parent = open_bundle(out / "federate" / "bundle").manifest, open_bundle(out / "bundle").manifest
    assert manifest.parent == parent.model_id != manifest.model_id
    assert parent.parent == ""
    card = (out / "federate" / "bundle" / "MODEL_CARD.md").read_text()
    assert "## Federated training" in card
    assert parent.model_id in card
    before = {path: path.stat().st_mtime_ns for path in (out / "federate").rglob("*") if path.is_file()}
    assert main(federate(config, out)) == 0
    assert printed(capsys)["metrics"] == found
    assert before == {path: path.stat().st_mtime_ns for path in (out / "federate").rglob("*") if path.is_file()}
    for waits in ("early/rate-0.005-3/checkpoint.npz", "final/rounds/checkpoint.npz", "export/model/facts.json"):
        _run_until(config, killed, killed / "federate" / waits)
    assert main(federate(config, killed)) == 0
    again = printed(capsys)["metrics"]
    times = ("server_seconds", "device_ms")
    for name in times:
        del again["federate"][name], found["federate"][name]
    assert again == found
    for path in ("final/rounds/checkpoint.npz", "final/cloud/checkpoint.npz"):
        with np.load(out / "federate" / path) as one, np.load(killed / "federate" / path) as other:
            for name in one.files:
                if name != "note":
                    np.testing.assert_array_equal(one[name], other[name])
    _with_faults(out, found["federate"]["chosen"]["rounds"])


def _with_faults(run: Path, rounds: int) -> None:
    """The benchmarks over a finished run: pooling, and the same rounds with devices that fail or lie."""
    told = {}
    for name, options in (("federated_pooled.py", []), ("federated_faults.py", ["--processes", "1"])):
        script = Path(__file__).parents[2] / "benchmarks" / name
        done = subprocess.run([sys.executable, str(script), str(run), *options], capture_output=True, text=True,
                              check=True)  # fmt: skip
        told[name] = json.loads(done.stdout.splitlines()[-1])
    assert told["federated_pooled.py"]["federated_in"] == 1
    faults = told["federated_faults.py"]["faults"]
    assert faults["none"]["share"] == 1.0
    assert faults["none"]["refused"] == faults["none"]["silent"] == faults["flipped"]["refused"] == 0
    assert faults["silent"]["silent"] >= rounds
    # Of so few devices some faults have none: that each is refused is for tests/cloud/federated/test_rounds.py.
    assert faults.keys() >= {"nan", "shapes", "huge", "replay", "flipped"}


def _run_until(config: Path, out: Path, path: Path) -> None:
    """Start the command, and kill it once a file is there."""
    process = subprocess.Popen([*POCKETREC, *federate(config, out)], start_new_session=True)
    while not path.exists() and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert path.exists()


@pytest.mark.long
def test_where_the_rehearsal_chooses_none_all_stays(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(federate(config, out, "--set", "federate.learning_rates=[10.0]", "--set", "federate.rounds=[1]")) == 0
    text = capsys.readouterr().out
    found = json.loads(text.splitlines()[-1])["metrics"]
    assert "the rehearsal chose none" in text
    assert found["federate"]["chosen"] is None
    assert found["federated"] == found["global"]
    assert found["compare"]["federated"]["mean"] == 0.0
    assert not (out / "federate" / "bundle").exists()
    assert (out / "bundle").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("rehearse.enabled=false", "set rehearse.enabled = true"),
        ("federate.bits=5", "[federate] bits must be 32, 8 or 4"),
        ("federate.share=0", "[federate] share must lie in"),
        ("federate.rounds=[]", "[federate] rounds must name"),
        ("federate.optimizer=lamb", "'lamb' is not one of adam, momentum, avg"),
        ("federate.decay=cosine", "'cosine' is not one of constant, linear"),
        ("federate.nothing=1", "unknown key federate.nothing"),
    ],
)
def test_a_wrong_configuration_is_one_line(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, words: str
) -> None:
    assert main(federate(config, tmp_path / "run", "--set", change)) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run" / "data").exists()
