# SPDX-License-Identifier: Apache-2.0
"""pocketrec doctor: what it finds, its advice, its status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from started import POCKETREC

from pocketrec import cli
from pocketrec.machines import doctor


@pytest.mark.long  # imports TensorFlow and both runtimes, each in a process of its own
def test_doctor_finds_this_environment_usable_also_in_the_checkout(tmp_path: Path) -> None:
    """The checkout has folders with the names of packages; the command and the processes it starts do without them."""
    unset = ("PYTHONSAFEPATH", "POCKETREC_DATA")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    script = tmp_path / "pocketrec"  # as pip writes it: Python looks in the script's folder, not in the current one
    script.write_text(POCKETREC[-1], encoding="utf-8")
    done = subprocess.run([sys.executable, str(script), "doctor"], capture_output=True, text=True, check=False,
                          cwd=Path(__file__).parents[1], env=environment)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["usable"]
    assert facts["device"]
    assert facts["cloud"]
    assert "works" in facts["runtimes"].values()
    assert facts["gpus"] is not None


def test_doctor_checks_the_data_folder_and_optional_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_runtime", lambda name: "works")
    monkeypatch.setattr(doctor, "_try", lambda command: "works" if "pyarrow" not in command[-1] else "no libarrow")
    versions = {"pyarrow": "23.0", "numpy": "1.0", "cryptography": None}
    monkeypatch.setattr(doctor, "_version", versions.get)
    monkeypatch.setenv("POCKETREC_DATA", str(tmp_path / "nowhere"))
    found = {entry.topic: entry for entry in doctor.examine().entries}
    assert found["data"].state == found["pyarrow"].state == "wrong"
    assert str(tmp_path / "nowhere") in found["data"].text
    assert "no libarrow" in found["pyarrow"].text
    assert found["cryptography"].state == "note"
    assert "pip install 'pocketrec[secure]'" in found["cryptography"].advice
    (tmp_path / "nowhere" / "some-log").mkdir(parents=True)
    found = {entry.topic: entry for entry in doctor.examine().entries}
    assert found["data"].state == "ok"
    assert "some-log" in found["data"].text


def test_doctor_names_the_gpus_of_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_runtime", lambda name: "works")
    monkeypatch.setattr(doctor, "_try", lambda command: 'works ["NVIDIA H100"]' if "gpus" in command[-1] else "works")
    findings = doctor.examine()
    assert findings.facts["gpus"] == ["NVIDIA H100"]
    assert [entry.text for entry in findings.entries if entry.topic == "gpu"] == ["NVIDIA H100"]


def test_doctor_exits_with_status_1_and_advice_where_no_runtime_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "tflite_runtime needs numpy below 2 and found 2.5.5: pip install 'numpy<2', or install ai-edge-litert"
    states = {"ai_edge_litert": "absent", "tflite_runtime": reason}
    monkeypatch.setattr(doctor, "_runtime", states.__getitem__)
    monkeypatch.setattr(doctor, "_try", lambda command: "works")
    assert cli.main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "What to do:" in text
    assert reason in text
    assert not json.loads(text.splitlines()[-1])["usable"]


def test_doctor_accepts_a_device_without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_runtime", {"ai_edge_litert": "works", "tflite_runtime": "absent"}.__getitem__)
    monkeypatch.setattr(doctor, "_version", lambda name: "1.0" if name in ("numpy", "ai-edge-litert") else None)
    findings = doctor.examine()
    assert findings.usable
    assert findings.device
    assert not findings.cloud


def test_doctor_names_a_package_that_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_runtime", lambda name: "works")
    monkeypatch.setattr(doctor, "_try", lambda command: "works" if "pandas" not in command[-1] else "no GLIBC_2.99")
    findings = doctor.examine()
    assert not findings.usable
    assert [(f.topic, f.state) for f in findings.entries if f.state == "wrong"] == [("pandas", "wrong")]
