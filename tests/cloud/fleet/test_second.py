# SPDX-License-Identifier: Apache-2.0
"""The second stage in the fleet: what is found in the ranker's order, all else behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pocketrec.cloud.fleet.second import SecondStage, by_candidates, by_search
from pocketrec.cloud.rankers.ranknet import TENSORS
from pocketrec.device.contract.names import RANKER_TENSORS

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
