# SPDX-License-Identifier: Apache-2.0
"""A run on a log with privacy classes, from the log to the report and the model of the whole log."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_run import SMALL

from pocketrec.cli import main
from pocketrec.cloud.data.prepared import load_cloud
from pocketrec.cloud.data.synthetic import generate

CONFIG = (
    """
[data]
path = "{log}"
privacy = {{ behavior = ["buy"] }}
"""
    + SMALL
    + """[evaluate]
users = 20
central = true
push = true
[refit]
enabled = true
[resources]
processes = 1
"""
)


@pytest.mark.long
@pytest.mark.feature("D2", "D20")
def test_the_report_tells_what_each_part_is_worth_and_the_refit_reads_what_it_may(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, behavior = generate(users=60, items=80), np.random.default_rng(3)
    bought = behavior.random(len(log)) < 0.2
    events = zip(log.users.codes, log.items.codes, log.timestamps, bought, strict=True)
    rows = [f"{log.users.values[user]},{log.items.values[item]},{time},{'buy' if buy else 'view'}"
            for user, item, time, buy in events]  # fmt: skip
    (tmp_path / "log.csv").write_text("user,item,timestamp,behavior\n" + "\n".join(rows) + "\n", encoding="utf-8")
    config, out = tmp_path / "config.toml", tmp_path / "run"
    config.write_text(CONFIG.format(log=tmp_path / "log.csv"), encoding="utf-8")
    assert main(["run", str(config), "--out", str(out), "--quiet"]) == 0
    text = capsys.readouterr().out
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics["privacy"]) == {"necessary", "withheld", "device", "device_after"}
    alike = next(name for name in ("repeats", "neighbours", "global") if name in metrics)
    assert metrics["privacy"]["necessary"]["mean"] == pytest.approx(
        metrics["necessary"]["mrr@20"] - metrics[alike]["mrr@20"])  # fmt: skip
    assert "all other events, if the cloud had them" in text
    assert "push mode reveals the user embedding" in text
    assert "What each part of the events is worth" in (out / "report.html").read_text(encoding="utf-8")
    cut_off = load_cloud(out).cut_off
    assert cut_off is not None
    whole = load_cloud(out / "refit").before
    late = whole.timestamps >= cut_off
    assert whole.events == int(((log.timestamps < cut_off) | bought).sum())
    assert 0 < late.sum() == int((bought & (log.timestamps >= cut_off)).sum())
    shutil.rmtree(out / "data" / "devices")  # the cloud's own stage reads nothing of it
    made = (out / "necessary" / "model.tflite").read_bytes()
    (out / "necessary" / "model.tflite").unlink()
    from pocketrec.cloud.base.runs import Run
    from pocketrec.cloud.config.load import load_config
    from pocketrec.stages.necessary import TRAIN_NECESSARY

    TRAIN_NECESSARY.work(Run(load_config(config), out, lambda line: None).for_stage("train-necessary"))
    assert (out / "necessary" / "model.tflite").read_bytes() == made
