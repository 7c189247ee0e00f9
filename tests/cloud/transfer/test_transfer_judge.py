# SPDX-License-Identifier: Apache-2.0
"""P10, P14: hand values of ranks with ties and misses, names of measures, means over targets, the bonus for repeats."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pocketrec.cloud.metrics.metrics import ranks
from pocketrec.cloud.transfer.judge import (
    by_user,
    choose_repeats,
    compared,
    measures,
    summary,
    with_repeats,
)
from pocketrec.cloud.transfer.rows import Rows
from pocketrec.device.contract.repeats import Repeats

# Targets 1..4; column 0 is padding and outranks all.
SCORES = np.array([
    [99, 4, 3, 2, 1],
    [99, 2, 2, 2, 1],  # three alike: the target is behind its equals
    [99, 1, 2, 3, 4],
    [99, 1, 1, 1, 1],
], np.float32)  # fmt: skip
TARGETS = np.array([1, 2, 1, 4], np.int32)
ROWS = Rows(np.array(["b", "a", "b", "c"], object), np.zeros((4, 2), np.int32), TARGETS)


def test_ranks_by_hand_with_ties_against_the_target() -> None:
    assert ranks(SCORES, TARGETS).tolist() == [1, 3, 4, 4]
    assert ranks(SCORES, np.array([1, 2, 1, 0])).tolist()[3] == math.inf, "an unknown target is a miss"


def test_every_measure_says_how_it_was_ranked_and_has_the_value_by_hand() -> None:
    rank = np.array([1.0, 3.0, 25.0, math.inf])
    found = measures(rank, 400, "items")
    assert all(name.startswith(("full_", "sampled_99_")) for name in found)
    assert found["full_mrr@20"].tolist() == [1, pytest.approx(1 / 3), 0, 0]
    assert found["full_recall@5"].tolist() == [1, 1, 0, 0]
    assert found["full_ndcg@5"].tolist() == [1, pytest.approx(1 / 2), 0, 0]
    assert found["sampled_99_mrr@5"][[0, 3]].tolist() == [1, 0]
    # Rank 3 of 400: 0, 1 or 2 of the two items before it are among 99 of the 399 others.
    n, m = 399, 99
    none, both = (n - m) * (n - m - 1) / (n * (n - 1)), m * (m - 1) / (n * (n - 1))
    assert found["sampled_99_mrr@5"][1] == pytest.approx(none + (1 - none - both) / 2 + both / 3)
    assert measures(np.array([1.0, 2.0]), 2, "profile")["full_accuracy"].tolist() == [1, 0]
    assert set(measures(rank, 2, "profile")) == {"full_accuracy"}


def test_means_are_over_targets_and_users_are_drawn() -> None:
    values, weights = by_user(np.array([1.0, 0.0, 0.0, 0.5]), ROWS)
    assert values.tolist() == [0.0, 0.5, 0.5]
    assert weights.tolist() == [1, 2, 1]
    rank = ranks(SCORES, TARGETS)
    found = summary(rank, ROWS, 4, "items", 200, 1)
    assert found["full_mrr@20"] == pytest.approx((1 + 1 / 3 + 1 / 4 + 1 / 4) / 4)
    assert found["interval"]["mean"] == pytest.approx(found["full_mrr@20"])
    better = compared(np.ones(4), rank, ROWS, 4, "items", 200, 1)["full_mrr@20"]
    assert better["mean"] == pytest.approx(1 - found["full_mrr@20"])
    assert better["ratio"]["mean"] == pytest.approx(1 / found["full_mrr@20"])
    assert better["users"] == 3


def test_a_bonus_is_chosen_where_people_repeat_themselves_and_not_where_they_do_not() -> None:
    rng = np.random.default_rng(1)
    scores = np.concatenate([np.zeros((200, 1)), rng.standard_normal((200, 30))], 1).astype(np.float32)
    targets = rng.integers(1, 31, 200).astype(np.int32)
    others = targets % 30 + 1
    asked = [np.array([40, other, target]) for other, target in zip(others, targets, strict=True)]
    bonus = choose_repeats(scores, asked, targets)
    assert bonus.strength > 0
    assert choose_repeats(scores, [np.array([other]) for other in others], targets).strength == 0
    raised = with_repeats(scores[:1], [np.array([7, 40])], Repeats(1.0, 0.5))
    assert raised[0, 7] == pytest.approx(scores[0, 7] + math.log1p(50), abs=1e-5)
    assert (np.delete(raised, 7, 1) == np.delete(scores[:1], 7, 1)).all()
