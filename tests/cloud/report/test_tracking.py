# SPDX-License-Identifier: Apache-2.0
"""A run's curves and figures as TensorBoard and MLflow have them, by the real libraries where they are installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from pocketrec import cli
from pocketrec.cloud.report.tracking import to_tensorboard, tracked
from pocketrec.device.base.errors import DataError

CURVE = [(1, 6.5), (2, 5.25), (3, 5.0)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "week-7"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"seed": 3, "model": {"gru": {"hidden": 8}}, "list": [1, 2]}))
    lines: list[dict[str, Any]] = [
        {"stage": "train", "phase": "search", "epoch": epoch, "loss": loss, "note": "x", "val_mrr@20": None}
        for epoch, loss in CURVE
    ]
    lines.append({"stage": "rehearse", "chosen": "none"})  # no epoch
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    gain = {"mean": 0.05, "low": None, "high": 0.09, "gained": 7, "harmed": 2}
    metrics = {
        "protocol": {"ties": "worst"}, "global": {"mrr@20": 0.25, "recall@20": 0.5, "interval": {"mrr@20": {}}},
        "personal": {"mrr@20": 0.3, "recall@20": 0.6}, "compare": {"personal": {"mrr@20": gain}},
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def test_what_is_handed_over(run: Path) -> None:
    found = tracked(run)
    assert found.name == "week-7"
    assert found.curves == {"train/search/loss": CURVE}
    assert found.figures == {
        "global/mrr@20": 0.25, "global/recall@20": 0.5, "personal/mrr@20": 0.3, "personal/recall@20": 0.6,
        "personal/gain mean": 0.05, "personal/gain high": 0.09, "personal/gain gained": 7, "personal/gain harmed": 2,
    }  # fmt: skip
    assert found.parameters == {"seed": "3", "model.gru.hidden": "8", "list": "[1, 2]"}


def test_a_run_at_work_and_no_run(run: Path) -> None:
    (run / "metrics.json").unlink()
    assert tracked(run).figures == {}
    with pytest.raises(DataError, match=r"no config\.json"):
        tracked(run.parent)
    (run / "metrics.jsonl").write_text('{"stage": "train", "epo', encoding="utf-8")
    with pytest.raises(DataError, match=r"cannot read .*metrics\.jsonl"):
        tracked(run)


def test_tensorboard_reads_what_was_written(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tf = pytest.importorskip("tensorflow")
    for _ in range(2):  # the second time replaces the first
        assert cli.main(["track", str(run), "--with", "tensorboard"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["curves"] == 1
    (file,) = (run / "tensorboard").iterdir()
    found: dict[str, list[tuple[int, float]]] = {}
    texts = []
    for event in tf.compat.v1.train.summary_iterator(str(file)):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "text":
                texts += [text.decode() for text in tf.make_ndarray(value.tensor).reshape(-1)]
            else:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    assert found["train/search/loss"] == CURVE
    assert found["personal/mrr@20"] == [(0, pytest.approx(0.3))]
    assert "| model.gru.hidden | 8 |" in texts[0]
    if importlib.util.find_spec("tensorboard") is not None:  # the reader of its own
        reader = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
        shown = reader.EventAccumulator(str(run / "tensorboard")).Reload()
        assert [(one.step, one.value) for one in shown.Scalars("train/search/loss")] == CURVE
        assert "configuration" in shown.Tags()["tensors"]


def test_another_folder_is_not_cleared(run: Path) -> None:
    pytest.importorskip("tensorflow")
    with pytest.raises(DataError, match="other files"):
        to_tensorboard(tracked(run), run)
    assert (run / "metrics.json").exists()


def test_mlflow_has_what_was_logged_or_says_how_to_install_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3 asks for it; a server needs it not
    address = (tmp_path / "mlruns").as_uri()
    command = ["track", str(run), "--with", "mlflow", "--to", address, "--experiment", "shop"]
    if importlib.util.find_spec("mlflow") is None:
        assert cli.main(command) == 2
        assert "pip install 'pocketrec[mlflow]'" in capsys.readouterr().err
        return
    assert cli.main(command) == 0
    number = json.loads(capsys.readouterr().out.splitlines()[-1])["mlflow"]
    client = importlib.import_module("mlflow").MlflowClient(address)
    logged = client.get_run(number)
    assert logged.info.run_name == "week-7"
    assert logged.data.params["model.gru.hidden"] == "8"
    assert logged.data.metrics["personal/mrr_at_20"] == pytest.approx(0.3)
    history = client.get_metric_history(number, "train/search/loss")
    assert [(one.step, one.value) for one in history] == CURVE
    assert {file.path for file in client.list_artifacts(number)} == {"metrics.json", "config.json"}


@pytest.mark.parametrize("words", [["--with", "tensorboard", "--to", "x"], ["--with", "mlflow", "--out", "x"]])
def test_an_option_of_the_other_tool_is_one_line(run: Path, words: list[str]) -> None:
    assert cli.main(["track", str(run), *words]) == 2
