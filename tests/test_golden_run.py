# SPDX-License-Identifier: Apache-2.0
"""A run folder and a Keras model that were written at commit 8ba119b stay usable: see tests/golden/make.py."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pocketrec.cli import main

GOLDEN = Path(__file__).resolve().parent / "golden"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with config.toml and the finished run."""
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(GOLDEN / "run.tar.gz") as tar:
        tar.extractall(folder, filter="data")
    assert main(["run", str(folder / "config.toml"), "--out", str(folder / "run")]) == 2, "its keys are old ones"
    assert main(["config", "upgrade", str(folder / "config.toml")]) == 0
    return folder


def test_a_run_of_then_is_up_to_date(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (work / "run").rglob("*.keras")}
    assert main(["run", str(work / "config.toml"), "--out", str(work / "run")]) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert printed == json.loads((GOLDEN / "run.json").read_text(encoding="utf-8"))
    assert {path: path.stat().st_mtime_ns for path in (work / "run").rglob("*.keras")} == before


def test_a_run_of_then_is_reported_on(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = work / "run" / "report.html"
    page.unlink()
    assert main(["report", str(work / "config.toml"), "--out", str(work / "run")]) == 0
    assert "personal" in page.read_text(encoding="utf-8")


@pytest.mark.long
def test_a_run_of_then_goes_on_from_its_models(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Export, fleet and report are done again from the data, models and recipe of that commit."""
    models = [path.stat().st_mtime_ns for path in sorted((work / "run" / "train").glob("*.keras"))]
    words = ["run", str(work / "config.toml"), "--out", str(work / "run"), "--set", "evaluate.naive=false"]
    assert main(words) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    expected: dict[str, Any] = json.loads((GOLDEN / "run.json").read_text(encoding="utf-8"))
    assert [path.stat().st_mtime_ns for path in sorted((work / "run" / "train").glob("*.keras"))] == models
    for system in ("global", "personal", "central"):
        assert printed[system] == pytest.approx(expected[system], abs=1e-6)


@pytest.mark.parametrize("sampled", [False, pytest.param(True, marks=pytest.mark.long)])
def test_the_same_weights_export_to_the_same_file(sampled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock names TensorFlow; another version's converter may write the same graph otherwise. Since then constants
    of zeros are left out of the file, in a pass of its own after all others: the sums are of what it is given, without
    the small batch, with the catalogue as the right side of its product, and with one order tried for a signature."""
    import tensorflow as tf

    from pocketrec.cloud.backbones import load_model
    from pocketrec.cloud.config.export import ExportConfig
    from pocketrec.cloud.config.model import GruOptions, ModelConfig
    from pocketrec.export.build import build_tflite
    from pocketrec.export.file import convert, shrink
    from pocketrec.export.rankers import inner_product

    monkeypatch.setattr(convert, "fill_zeros", lambda model: None)
    monkeypatch.setattr(inner_product, "_FEW", 0)
    monkeypatch.setattr(shrink, "_TRIED", 1)
    golden = json.loads((GOLDEN / "exported.json").read_text(encoding="utf-8"))
    assert tf.__version__ == golden["tensorflow"], "a new lock: write down the new sums once both were compared"
    model = load_model(GOLDEN / "model.keras")
    config = ModelConfig(embedding=8, window=6, tables={"gru": GruOptions(hidden=12)})
    export = ExportConfig(batch=4, small_batch=0, **({"full_softmax_limit": 10, "negatives": 16} if sampled else {}))
    made = build_tflite(model, config, export, way="partial", optimizer="adagrad", candidates=10)
    name = "bundle.sampled.tflite" if sampled else "bundle/model.tflite"
    assert hashlib.sha256(made.content).hexdigest() == golden["sha256"][name]
    if not sampled:
        for part, content in (("skeleton", made.skeleton), ("weights", made.coded)):
            assert hashlib.sha256(content).hexdigest() == golden["sha256"][f"bundle.packed/model.{part}"], part
