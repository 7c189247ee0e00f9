# SPDX-License-Identifier: Apache-2.0
"""A run whose ranker reads what came after what, from training to the device, and to another catalogue."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ranked_by import ranked_by

from pocketrec import cli
from pocketrec.cloud.base.runs import Pipeline, Run, read_json
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.fleet.second import SecondStage
from pocketrec.device.contract.names import ITEMS_FILE
from pocketrec.stages import STAGES
from pocketrec.stages.ranker_way import VERDICT_FILE

ROOT = Path(__file__).parents[2]
ITEMS, USERS = 60, 80


def write_log(folder: Path) -> None:
    """After three events in four comes the one item that follows, in no order that two numbers for an item can say."""
    rng = np.random.default_rng(1)
    after, latest = rng.permutation(ITEMS), rng.integers(0, ITEMS, USERS)
    lines = ["user,item,timestamp"]
    for time in range(6000):
        user = int(rng.integers(0, USERS))
        latest[user] = after[latest[user]] if rng.random() < 0.75 else rng.integers(0, ITEMS)
        lines.append(f"u{user},i{latest[user]},{time}")
    (folder / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    items = ["item,size", *(f"i{number},{number % 7}" for number in range(ITEMS))]
    (folder / "items.csv").write_text("\n".join(items) + "\n", encoding="utf-8")


def config(folder: Path) -> RunConfig:
    return config_from_dict({
        "data": {"path": str(folder / "log.csv")},
        "items": {"path": str(folder / "items.csv"), "numbers": ["size"]},
        "model": {"embedding": 2, "window": 6, "dropout": 0.0, "content": True, "gru": {"hidden": 8, "layers": 1}},
        "train": {"epochs": 4, "batch": 16, "learning_rate": 0.01, "validation": 0.0},
        "ranker": {"kind": "ranknet", "hidden": [16, 8], "candidates": 40, "negatives": 16, "epochs": 6,
                   "learning_rate": 0.01, "transitions": 8},
        "baselines": {"judged": ["popularity"]},
        "candidates": {"method": "none"}, "export": {"batch": 4, "retrieve": 40},
        "rehearse": {"enabled": False}, "personalise": {"minimum_events": 100000},
        "evaluate": {"bootstrap": 200, "central": False, "naive": False},
    })  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transitions")
    write_log(folder)
    Pipeline(STAGES, Run(config(folder), folder / "run")).execute(["report"])
    return folder


@pytest.mark.long
def test_it_gains_before_the_cut_off_and_on_devices(made: Path) -> None:
    run = made / "run"
    verdict, staged = read_json(run / VERDICT_FILE), read_json(run / "metrics.json")["two_stages"]
    assert verdict["ships"]
    assert verdict["ranker"] > 1.5 * verdict["inner_product"]
    assert staged["compare"]["global_first_stage"]["low"] > 0.1, "of what devices show"
    assert read_json(run / "fleet" / "fleet.json")["infer_difference"] < 1e-5, "numpy ranks as the signature does"
    card = (run / "bundle" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "the ranker's counts of which items followed which were learned from them" in card


@pytest.mark.long
def test_the_benchmark_says_what_the_stage_said(made: Path) -> None:
    """benchmarks/ranker_gain.py, of one run: the slice before the cut-off as in rank.json, and gains after it."""
    command = [sys.executable, ROOT / "benchmarks" / "ranker_gain.py", made / "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, verdict = json.loads(done.stdout.splitlines()[-1]), read_json(made / "run" / VERDICT_FILE)
    assert found["before mrr@20"]["ranker"] == pytest.approx(verdict["ranker"])
    assert found["before mrr@20"]["inner_product"] == pytest.approx(verdict["inner_product"])
    assert found["after mrr@20"]["low"] > 0
    assert found["after mrr@20"]["ratio"] > 1.5
    assert found["baselines"].keys() == {"popularity", "recent popularity", "item-kNN"}


@pytest.mark.long
def test_each_runtime_ranks_as_numpy_does(made: Path) -> None:
    """From one event to more than the window holds; any number of rows."""
    export = made / "run" / "export"
    stage, table = SecondStage.load(export / "ranker.npz"), np.load(export / "item_embeddings.npy")
    assert stage is not None
    assert stage.net.transitions is not None
    assert stage.net.transitions.reach == 6
    rng, rows = np.random.default_rng(2), np.arange(1, ITEMS + 1, dtype=np.int32)
    histories = [rng.integers(1, ITEMS + 1, count).astype(np.int32) for count in (1, 2, 5, 6, 9)]
    for found in ranked_by(made / "run" / "bundle", histories, rows):
        for history, (embedding, scores) in zip(histories, found, strict=True):
            wanted = stage.scores(embedding, table, rows, history)
            np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.long
def test_another_catalogue_keeps_what_is_known_of_items_that_stay(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The items that stay have the scores that they had, though their rows are others; the gate has checked the file
    on every runtime."""
    (made / "new.csv").write_text("item,size\nn0,3\n", encoding="utf-8")
    (made / "gone.csv").write_text("item\ni0\ni7\n", encoding="utf-8")
    arguments = ["items", str(made / "run"), "--add", str(made / "new.csv"), "--remove", str(made / "gone.csv")]
    assert cli.main(arguments) == 0
    assert json.loads(capsys.readouterr().out.strip().splitlines()[-1])["added"] == 1
    bundles = [made / "run" / place / "bundle" for place in (".", "items")]
    ids = [(bundle / ITEMS_FILE).read_text(encoding="utf-8").splitlines() for bundle in bundles]
    assert ids[1][-1] == "n0"
    history, asked = [item for item in ids[0] if item in ids[1]][:4], [item for item in ids[0] if item in ids[1]]
    scores = []
    for bundle, own in zip(bundles, ids, strict=True):
        rows = np.array([own.index(item) + 1 for item in asked], np.int32)
        ((_, found),) = ranked_by(bundle, [np.array([own.index(item) + 1 for item in history], np.int32)], rows)[0]
        scores.append(found)
    np.testing.assert_allclose(scores[0], scores[1], atol=0.05)  # a removed item no longer takes part in rounding
    new = np.array([ids[1].index("n0") + 1], np.int32)
    assert np.isfinite(ranked_by(bundles[1], [new], new)[0][0][1]).all()
