# SPDX-License-Identifier: Apache-2.0
"""RankNet's training on a log with a known answer, and who judges it."""

from __future__ import annotations

import numpy as np
import pytest

from pocketrec.cloud.config.ranker import RankerConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.rankers.ranknet import RankNet
from pocketrec.cloud.rankers.ranknet_training import initial_tensors
from pocketrec.cloud.rankers.transitions import FEATURES, REACH
from pocketrec.cloud.training.judging import figures_of, reordered
from pocketrec.cloud.training.ranking import DIRECT, WEIGHTS, train_ranker
from pocketrec.cloud.training.retrieved import Retrieved, latest, reranked
from pocketrec.device.base.errors import DataError

ITEMS, SIZE = 20, 4
NONE = np.zeros((5, REACH), np.int32)  # no events
CONFIG = RankerConfig("ranknet", hidden=[8, 8], candidates=6, negatives=4, epochs=30, learning_rate=0.02)


def data(positions: int = 600, missed: int = 0) -> tuple[Retrieved, np.ndarray]:
    """Retrieval by inner product is blind here: of the six retrieved, the one whose first number is largest comes."""
    rng = np.random.default_rng(1)
    table = rng.normal(size=(ITEMS + 1, SIZE)).astype(np.float32)
    rows = np.array([rng.permutation(ITEMS)[:6] + 1 for _ in range(positions)], np.int32)
    targets = rows[np.arange(positions), table[rows, 0].argmax(1)].astype(np.int32)
    targets[:missed] = 0
    users = rng.normal(0, 0.01, (positions, SIZE)).astype(np.float32)
    recent = np.zeros((positions, REACH), np.int32)
    return Retrieved(users, targets, rows, np.arange(positions) // 3, recent), table


def test_it_learns_what_the_inner_product_does_not_say() -> None:
    found, table = data()
    ranker = RankNet.restore(train_ranker(found, table, CONFIG, seed=1))
    ours, plain = figures_of(found, table, ranker)
    assert len(ours) == 200
    assert ours.mean() > 0.8 > 0.5 > plain.mean()


def test_equal_seeds_give_equal_tensors_and_missed_positions_change_nothing() -> None:
    found, table = data(120)
    one, two, other = (train_ranker(found, table, CONFIG, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(one["A"], other["A"])
    more, _ = data(120)
    lost = Retrieved(np.concatenate([more.users, more.users[:9]]), np.append(more.targets, np.full(9, ITEMS + 1)),
                     np.concatenate([more.rows, more.rows[:9]]), np.append(more.user, np.full(9, 99)),
                     np.concatenate([more.recent, more.recent[:9]]))  # fmt: skip
    again = train_ranker(lost, table, CONFIG, 1)
    assert all(np.array_equal(one[name], again[name]) for name in one), "the item of none of the nine was retrieved"


def test_a_ranker_at_its_start_keeps_the_order_of_retrieval() -> None:
    rng = np.random.default_rng(2)
    users, table = (rng.normal(size=(n, SIZE)).astype(np.float32) for n in (5, ITEMS + 1))
    rows = 1 + np.argsort(-(users @ table[1:].T), 1)[:, :6].astype(np.int32)
    rows[0, 4:] = 0
    ranker = RankNet.restore(initial_tensors(SIZE, [8, 8], True, 1))
    np.testing.assert_array_equal(reordered(users, rows, table, ranker, NONE), rows)
    found = Retrieved(users, rows[:, 2].astype(np.int32), rows, np.arange(5), NONE)
    assert reranked(found, table, ranker).tolist() == [3] * 5
    missed = Retrieved(users, np.zeros(5, np.int32), np.maximum(rows, 1), np.arange(5), NONE)
    assert np.isinf(reranked(missed, table, ranker)).all()


def test_it_learns_from_features_and_their_scale_becomes_part_of_the_tensors() -> None:
    """Of the retrieved the one with the largest third feature comes, and embeddings say nothing: the network over plain
    features, whose mean is 50, gives the order that it learned over standardised ones."""
    rng = np.random.default_rng(3)
    found, _ = data()
    features = rng.normal(50, 20, (*found.rows.shape, FEATURES)).astype(np.float16)
    targets = found.rows[np.arange(600), features[..., 2].argmax(1)]
    found = Retrieved(found.users, targets, found.rows, found.user, found.recent)
    silent = np.zeros((ITEMS + 1, SIZE), np.float32)
    tensors = train_ranker(found, silent, CONFIG, 1, features=features)
    added = features.astype(np.float32) @ tensors.pop(DIRECT)
    inner = features.astype(np.float32) @ tensors.pop(WEIGHTS) + tensors["b1"]
    hidden = np.where(inner > 0, inner, np.expm1(np.minimum(inner, 0))) @ tensors["C"] + tensors["b2"]
    scores = added + np.where(hidden > 0, hidden, np.expm1(np.minimum(hidden, 0))) @ tensors["w3"]
    assert (found.rows[np.arange(600), scores.argmax(1)] == targets).mean() > 0.9


def test_a_feature_that_is_the_same_everywhere_is_left_out() -> None:
    """Divided by its deviation of 0 its random weights would be anything once it is something else on a device."""
    found, table = data(60)
    features = np.random.default_rng(3).normal(size=(*found.rows.shape, FEATURES)).astype(np.float16)
    features[..., 4] = 7
    tensors = train_ranker(found, table, CONFIG, 1, features=features)
    for name in (WEIGHTS, DIRECT):
        assert not tensors[name][4].any()
        assert tensors[name][3].any()


def test_nothing_retrieved_is_one_line() -> None:
    found, table = data(10, missed=10)
    with pytest.raises(DataError, match=r"nothing to learn from: .* raise ranker.candidates"):
        train_ranker(found, table, CONFIG, 1)


def test_the_latest_share_of_every_user_is_trained_on() -> None:
    lengths = [10, 1, 4]
    codes = np.repeat(np.arange(3), lengths)
    log = Sequences.build(np.array(["a", "b", "c"], object), codes, np.ones(15, int), np.arange(15))
    assert latest(log, 10**6).tolist() == [0, 0, 0]
    assert latest(log, 3).tolist() == [8, 1, 4], "a fifth of each"
