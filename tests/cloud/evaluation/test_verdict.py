# SPDX-License-Identifier: Apache-2.0
"""The verdict says who is better by more than chance, first who beats us, and never nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.evaluation.evaluate import global_metrics
from pocketrec.cloud.evaluation.verdict import sentence_of

_EVALUATE = EvaluateConfig(bootstrap=200)


def _ranks(odds: float, seed: int) -> list[np.ndarray[Any, Any]]:
    generator = np.random.default_rng(seed)
    return [generator.geometric(odds, 5).astype(np.float64) for _ in range(80)]


def _judged(**systems: Any) -> dict[str, Any]:
    return global_metrics(systems, evaluate=_EVALUATE, window=20)["verdict"]  # type: ignore[no-any-return]


def test_a_baseline_that_is_clearly_better_comes_first_with_its_interval() -> None:
    found = _judged(**{"global": _ranks(0.1, 1), "item_knn": _ranks(0.5, 2), "popularity": _ranks(0.02, 3)})
    assert {name: entry["outcome"] for name, entry in found["against"].items()} == {
        "item_knn": "behind", "popularity": "ahead"}  # fmt: skip
    difference = found["against"]["item_knn"]
    assert difference["high"] < 0
    words = found["sentence"]
    assert words.startswith("item-kNN (MRR@20 ")
    assert f"+{-difference['mean']:.4f}, 95 % interval +{-difference['high']:.4f} to +{-difference['low']:.4f}" in words
    assert "is better on this log than the model that devices get" in words
    assert words.index("item-kNN") < words.index("popular items")


def test_equals_are_within_chance_and_worse_ones_are_beaten() -> None:
    ours = _ranks(0.3, 1)
    found = _judged(**{"global": ours, "recent": [rank.copy() for rank in ours], "popularity": _ranks(0.02, 3)})
    assert found["against"]["recent"] == {**found["against"]["recent"], "mean": 0.0, "outcome": "level"}
    assert "beats popular items by +" in found["sentence"]
    assert "is within chance of recently used items (+0.0000" in found["sentence"]


def test_one_user_is_no_proof_and_says_so() -> None:
    one = [np.array([1.0, 2.0])]
    found = _judged(**{"global": [np.array([30.0, 30.0])], "item_knn": one})
    assert found["against"]["item_knn"]["outcome"] == "level"
    assert "no interval" in found["sentence"]


@pytest.mark.parametrize("metrics", [{}, {"verdict": {}}])
def test_there_is_a_sentence_where_nothing_can_be_said(metrics: dict[str, Any]) -> None:
    assert sentence_of(metrics).startswith("no verdict: ")
    assert _judged(**{"global": _ranks(0.1, 1)})["sentence"].startswith("no verdict: none of item_knn")
