# SPDX-License-Identifier: Apache-2.0
"""A run whose ranker ships and is what devices train, from rehearsal to refit; and one whose ranker does not ship."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketrec.cloud.base.runs import Pipeline, Run, read_json
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.run import RunConfig
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.stages import STAGES
from pocketrec.stages.fleet import FLEET
from pocketrec.stages.ranker_way import VERDICT_FILE
from pocketrec.stages.rehearse import REHEARSE

KINDS, EACH, USERS = 6, 8, 60


def write_log(folder: Path) -> None:
    """Kinds follow each other in a circle, and everybody has a favourite of each kind: two numbers for an item are too
    few for the inner product to say the one, and what a user likes is in no global model."""
    rng, lines = np.random.default_rng(1), ["user,item,timestamp"]
    kinds = rng.integers(0, KINDS, USERS)
    for time in range(6000):
        user = int(rng.integers(0, USERS))
        kinds[user] = (kinds[user] + 1) % KINDS if rng.random() < 0.8 else rng.integers(0, KINDS)
        place = user % EACH if rng.random() < 0.7 else int(rng.integers(0, EACH))
        lines.append(f"u{user},i{KINDS * place + kinds[user]},{time}")
    (folder / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def tables(folder: Path) -> dict[str, Any]:
    return {
        "data": {"path": str(folder / "log.csv")},
        "model": {"embedding": 2, "window": 6, "dropout": 0.0, "gru": {"hidden": 12, "layers": 1}},
        "train": {"epochs": 6, "batch": 16, "learning_rate": 0.01, "validation": 0.0},
        "ranker": {"kind": "ranknet", "hidden": [16, 8], "candidates": 24, "negatives": 8, "epochs": 12,
                   "learning_rate": 0.01},
        "baselines": {"judged": ["popularity"]},
        "candidates": {"method": "none"}, "export": {"batch": 4, "retrieve": 24, "negatives": 16},
        "rehearse": {"ways": ["ranker"], "learning_rates": [0.05], "passes": [10], "targets": ["all"], "users": 60,
                     "repeats": [0.0], "neighbours": 0},
        "personalise": {"way": "ranker"},
        "evaluate": {"bootstrap": 200, "central": False}, "refit": {"enabled": True},
    }  # fmt: skip


def config(folder: Path, **changed: dict[str, Any]) -> RunConfig:
    own = tables(folder)
    return config_from_dict({**own, **{name: {**own.get(name, {}), **keys} for name, keys in changed.items()}})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranker_way")
    write_log(folder)
    Pipeline(STAGES, Run(config(folder), folder / "run")).execute(["report", "refit"])
    return folder


@pytest.mark.long
def test_the_way_is_rehearsed_and_judged_by_both_stages(made: Path) -> None:
    run = made / "run"
    assert read_json(run / VERDICT_FILE)["ships"]
    rehearsal, metrics = read_json(run / "rehearse" / "rehearsal.json"), read_json(run / "metrics.json")
    assert (rehearsal["ranking"], rehearsal["recipe"]["way"]) == ("two_stages", "ranker")
    bundle = open_bundle(run / "bundle")
    assert (bundle.recipe.way, bundle.manifest.model["positions"], bundle.manifest.ranker) == ("ranker", 8, "ranknet")
    assert metrics["personal"]["mrr@20"] == metrics["global"]["mrr@20"], "the full ranking is by the inner product"
    staged = metrics["two_stages"]
    assert staged["compare"]["personal"]["low"] > 0, "what devices show gets better by training the ranker"
    assert staged["compare"]["global_first_stage"]["low"] > 0, "and by the ranker itself"
    gain = staged["personal"]["mrr@20"] - staged["global"]["mrr@20"]
    assert metrics["rehearsal"]["came"]["mean"] == pytest.approx(gain), "what was expected is compared with that"
    assert staged.keys() >= {"global", "personal", "naive", "naive_all"}
    assert metrics["two_stages"].keys() & metrics["candidates"].keys() >= {"global", "personal"}
    assert read_json(run / "fleet" / "fleet.json")["infer_difference"] < 1e-5, "numpy ranks as the signature does"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.index("Full ranking of all items") < page.index("Two stages, as devices serve")


@pytest.mark.long
def test_ranks_by_both_stages_are_those_of_the_device(made: Path) -> None:
    """One user again, event by event, by retrieve and rank of the bundle's own file under the global weights."""
    from pocketrec.cloud.data.prepared import load_cloud, load_devices
    from pocketrec.cloud.evaluation.evaluate import read_users
    from pocketrec.cloud.fleet.fleet import device_users
    from pocketrec.device.personal.windows import context

    data, devices = load_cloud(made / "run"), load_devices(made / "run")
    users, _ = device_users(data.before, devices.after, devices.learn)
    user, line = users[0], read_users(made / "run" / "fleet")[0]
    assert user.user == line["user"]
    model = open_bundle(made / "run" / "bundle").load_model()
    rows = np.concatenate([user.history, user.test[user.test > 0]])
    for number, place in enumerate(range(len(user.history), len(rows))):
        window = context(rows[:place], model.window)
        found = np.union1d(model.retrieve(window)[0], rows[:place]).astype(np.int32)
        scores = dict(zip(found.tolist(), model.rank(window, found).tolist(), strict=True))
        own = scores.get(int(rows[place]))
        rank = np.inf if own is None else sum(score >= own for score in scores.values())
        assert line["two_stages"]["global"][number] == rank


@pytest.mark.long
def test_a_refit_has_a_ranker_of_its_own(made: Path) -> None:
    one, two = (open_bundle(made / place / "bundle").manifest for place in ("run", "run/refit"))
    assert two.ranker == one.ranker == "ranknet"
    assert two.model["positions"] == one.model["positions"]
    arrays = [np.load(made / place / "rank" / "ranker.npz")["A"] for place in ("run", "run/refit")]
    assert not np.array_equal(*arrays), "it was trained over the other model"


@pytest.mark.long
def test_where_no_ranker_ships_another_way_stands_in_and_a_line_says_so(made: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    still = config(made, ranker={"learning_rate": 1e-9}, refit={"enabled": False}, evaluate={"naive": False})
    run = Run(still, tmp_path / "run", lines.append)
    Pipeline(STAGES, run).execute(["export"])
    assert not read_json(tmp_path / "run" / VERDICT_FILE)["ships"]
    said = [line for line in lines if "no ranker ships" in line]
    assert len(said) == 2, "by the rehearsal, and by the export"
    assert all("(rank/rank.json), so the way ranker has nothing to train: partial in its" in line for line in said)
    bundle = open_bundle(tmp_path / "run" / "bundle")
    assert (bundle.recipe.way, bundle.manifest.ranker) == ("partial", "inner_product")
    assert json.loads((tmp_path / "run" / "rehearse" / "rehearsal.json").read_text("utf-8")).get("ranking") is None


def test_what_cannot_be_is_said_before_the_log_is_read(tmp_path: Path) -> None:
    """There is no log at all here."""
    for changed, says in (
        ({"ranker": {"kind": "inner_product"}}, r"\[ranker\] the way ranker trains the tensors of ranknet"),
        ({"ranker": {"inner": False, "joint": True}}, "with the inner product in its score"),
        ({"lean": {"enabled": True}, "candidates": {"method": "als"}}, "is not there for the way ranker"),
        ({"data": {"privacy": {"kind": ["buy"]}}}, "privacy is not there for the way ranker"),
    ):
        with pytest.raises(ConfigError, match=says):
            config(tmp_path, **changed)
        for keys in ({"personalise": {"way": "partial"}}, {"rehearse": {"ways": ["head"]}}):
            with pytest.raises(ConfigError, match=says):
                config(tmp_path, **{**changed, **keys})
    config(tmp_path, ranker={"kind": "inner_product"}, personalise={"way": "partial"}, rehearse={"ways": ["head"]})


def test_stages_depend_on_the_ranker_where_it_may_be_trained(tmp_path: Path) -> None:
    with_it, without = config(tmp_path), config(tmp_path, rehearse={"ways": ["head"]})
    assert "rank" in REHEARSE.also_needs(with_it)
    assert "rank" not in REHEARSE.also_needs(without)
    for one, same in ((with_it, False), (without, True)):
        other = dataclasses.replace(one, export=dataclasses.replace(one.export, retrieve=30))
        assert (REHEARSE.depends(one) == REHEARSE.depends(other)) is same
    assert "rank" not in FLEET.needs
