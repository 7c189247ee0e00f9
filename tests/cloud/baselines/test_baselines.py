from __future__ import annotations

import numpy as np

from pocketrec.cloud.baselines import baselines
from pocketrec.cloud.metrics import metrics


def order(scores: np.ndarray) -> list[int]:
    return [int(row) for row in np.argsort(-scores[1:], kind="stable") + 1]


def test_popularity_is_the_order_of_the_rows() -> None:
    assert order(baselines.popularity_scores(6)) == [1, 2, 3, 4, 5]


def test_recent_is_latest_first_then_popular_and_passes_over_the_unknown() -> None:
    assert order(baselines.recent_scores(np.array([4, 3, 0, 4, 5, 3]), 6)) == [3, 5, 4, 1, 2]
    assert order(baselines.recent_scores(np.array([], dtype=np.int32), 4)) == [1, 2, 3]


def test_als_is_the_inner_product_and_popularity_for_new_users() -> None:
    items = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=np.float32)
    assert order(baselines.als_scores(np.array([1.0, 2.0]), items)) == [3, 2, 1]
    assert order(baselines.als_scores(None, items)) == [1, 2, 3]


def test_no_baseline_ties() -> None:
    scores = baselines.recent_scores(np.array([2, 2, 7]), 50)
    targets = np.arange(1, 50)
    tiled = np.repeat(scores[None], len(targets), axis=0)
    assert np.array_equal(metrics.ranks(tiled, targets, "worst"), metrics.ranks(tiled, targets, "best"))
