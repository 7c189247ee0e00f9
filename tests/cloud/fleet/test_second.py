# SPDX-License-Identifier: Apache-2.0
"""The second stage in the fleet: what is found in the ranker's order, all else behind."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tiny_device

from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.resources import ResourceConfig
from pocketrec.cloud.evaluation import evaluate
from pocketrec.cloud.fleet import fleet
from pocketrec.cloud.fleet.device import SimulatedDevice, known_positions
from pocketrec.cloud.fleet.second import SecondStage, by_candidates, by_search
from pocketrec.cloud.rankers.ranknet import TENSORS
from pocketrec.device.contract.names import RANKER_TENSORS
from pocketrec.device.contract.neighbours import Neighbours
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.personal.windows import context

# RankNet of one unit in either layer, which adds -10 elu(elu(user)) and nothing of the item, or with B 10 the item's.
SHAPES = {"A": (1, 1), "B": (1, 1), "b1": (1,), "C": (1, 1), "b2": (1,), "w3": (1,)}


def stage(folder: Path, **values: float) -> SecondStage:
    arrays = {f"ranker_{name}": np.full(SHAPES[name], values.get(name, 0.0), np.float32) for name in TENSORS}
    np.savez(folder / "ranker.npz", found=2, **arrays)
    found = SecondStage.load(folder / "ranker.npz")
    assert found is not None
    return found


def test_what_is_found_is_ordered_by_the_ranker_and_the_rest_stays_behind(tmp_path: Path) -> None:
    """Items 1 to 4 of embeddings 4, 3, 2, 1: the network takes twice the item's off, so their order turns round."""
    table = np.array([[0], [4], [3], [2], [1]], np.float32)
    users = np.ones((2, 1), np.float32)
    turned = stage(tmp_path, B=1.0, C=1.0, w3=-2.0)
    scores = users @ table.T
    histories = [np.zeros(0, np.int32), np.array([4, 4], np.int32)]
    turned.reorder(scores, users, table, histories, by_search(turned.found))
    assert scores[0].tolist() == [-4, -4, -3, -4, -4]  # 1 and 2 are found; the others fall to the worst of them
    assert scores[1].tolist() == [-4, -4, -3, -4, -1]  # and 4 is the user's own
    again = users[:1] @ table.T
    turned.reorder(again, users[:1], table, histories[:1], by_candidates(np.array([3, 0, 4], np.int32)))
    assert again[0].tolist() == [-2, -2, -2, -2, -1]


def test_a_device_that_searches_finds_what_goes_with_the_history_too() -> None:
    """As `pocketrec.device.state.choosing.of_the_catalogue`: whatever the network thinks of it."""
    near = Neighbours(np.array([0, 0, 0, 0, 2, 2]), np.array([4, 2], np.int32), np.array([100, 127], np.int8),
                      np.ones(5, np.float32), 1.0, 1.0)  # fmt: skip
    scores = np.array([0, 5, 4, 3, 2], np.float32)
    history = np.array([3], np.int32)
    assert by_search(1)(scores, history).tolist() == [1, 3]
    assert by_search(1, near)(scores, history).tolist() == [1, 2, 3], "the one best neighbour of item 3"
    assert by_search(2, near)(scores, history).tolist() == [1, 2, 3, 4]


def test_nothing_found_leaves_the_scores(tmp_path: Path) -> None:
    scores = np.array([[0.0, 1.0, 2.0]], np.float32)
    none = np.zeros(0, np.int32)
    stage(tmp_path).reorder(scores, np.ones((1, 1), np.float32), scores.T, [none], by_candidates(none))
    assert scores.tolist() == [[0, 1, 2]]


def test_a_device_orders_by_the_tensors_that_it_has_trained(tmp_path: Path) -> None:
    made = stage(tmp_path, w3=1.0)
    assert made.trained({"gru_kernel": np.ones(1, np.float32)}) is made
    own = {"ranker_w3": np.full(1, 5.0, np.float32), "ranker_w3_accumulator": np.zeros(1, np.float32)}
    assert made.trained(own).net.tensors["w3"].tolist() == [5.0]
    assert made.net.tensors["w3"].tolist() == [1.0]
    assert SecondStage.load(None) is None
    assert len(RANKER_TENSORS) == len(TENSORS)


@pytest.fixture
def ranked(tiny: Path) -> Path:
    if not (tiny / "ranked").is_dir():
        pytest.skip("the ready files are of before there was a ranker among them: make them again")
    return tiny / "ranked"


@pytest.mark.parametrize("retrieve", [0, 12])
def test_a_fleet_ranks_by_both_stages_beside_the_full_ranking(ranked: Path, tmp_path: Path, retrieve: int) -> None:
    """As the device's own signatures rank candidates, or what it finds, and own items; full ranking stays as it is."""
    files, recipe = (ranked / "model.tflite", ranked / "item_embeddings.npy"), Recipe(way="ranker", learning_rate=0.5)
    plain = [fleet.System("global", *files, retrieve=retrieve),
             fleet.System("naive", *files, recipe=recipe.to_dict(), guard=False)]  # fmt: skip
    users = [dataclasses.replace(user, candidates=np.arange(1, 41, 3, dtype=np.int32))
             for user in tiny_device.loyal_users(3)]  # fmt: skip
    one = ResourceConfig(processes=1)
    for name, systems in (("plain", plain), ("staged", [dataclasses.replace(system, second=ranked / "ranker.npz")
                                                        for system in plain])):  # fmt: skip
        fleet.run_fleet(users, systems, tmp_path / name, evaluate=EvaluateConfig(), resources=one)
    before, lines = (evaluate.read_users(tmp_path / name) for name in ("plain", "staged"))
    assert "two_stages" not in before[0]
    assert json.loads((tmp_path / "staged" / "fleet.json").read_text("utf-8"))["infer_difference"] < 1e-5
    device = SimulatedDevice(*files)
    for user, line, old in zip(users, lines, before, strict=True):
        for table in ("ranks", "within"):
            for system in ("global", "naive"):
                np.testing.assert_array_equal(line[table][system], old[table][system])
        assert not np.array_equal(line["two_stages"]["naive"], line["two_stages"]["global"]), "what was trained counts"
        rows, places = known_positions(user)
        for number, place in enumerate(places):
            window = context(rows[:place], device.model.window)
            scores = device.model.scores(device.model.embed(window))
            found = np.argsort(-scores[1:], kind="stable")[:retrieve] + 1 if retrieve else user.candidates
            offered = np.union1d(found, rows[:place]).astype(np.int32)
            score = dict(zip(offered.tolist(), device.model.rank(window, offered).tolist(), strict=True))
            own = score.get(int(rows[place]), -np.inf)
            rank = sum(other >= own for other in score.values()) if np.isfinite(own) else np.inf
            assert line["two_stages"]["global"][number] == rank
    metrics = evaluate.fleet_metrics(tmp_path / "staged", evaluate=EvaluateConfig(bootstrap=50))
    assert metrics["two_stages"].keys() == {"global", "naive", "compare"}
    assert metrics["two_stages"]["compare"].keys() == {"naive", "global_first_stage", "naive_first_stage"}
    assert "two_stages" not in evaluate.fleet_metrics(tmp_path / "plain", evaluate=EvaluateConfig(bootstrap=50))
