# SPDX-License-Identifier: Apache-2.0
"""Every measure against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.metrics import metrics
from pocketrec.device.base.errors import ConfigError

# Column 0 is padding and scores highest, which must not matter.
SCORES = np.array([[9.0, 0.5, 0.9, 0.1, 0.7]], dtype=np.float32)


@pytest.mark.parametrize(("target", "rank"), [(2, 1), (4, 2), (1, 3), (3, 4)])
def test_rank_by_hand(target: int, rank: int) -> None:
    assert metrics.ranks(SCORES, np.array([target])) == [rank]


@pytest.mark.parametrize(("ties", "rank"), [("worst", 4), ("best", 2), ("average", 3)])
def test_ties_by_hand(ties: str, rank: float) -> None:
    scores = np.array([[0.0, 0.5, 0.5, 0.5, 0.8, 0.1]])
    assert metrics.ranks(scores, np.array([2]), ties) == [rank]


def test_all_equal_is_last_under_worst_so_that_a_dead_model_cannot_win() -> None:
    assert metrics.ranks(np.zeros((1, 11)), np.array([4]), "worst") == [10]


def test_not_a_number_counts_against_the_target() -> None:
    broken = np.full((1, 5), np.nan)
    assert metrics.ranks(broken, np.array([2]), "best") == [4]
    partly = np.array([[0.0, np.nan, 0.3, 0.1, 0.2]])
    assert metrics.ranks(partly, np.array([2]), "best") == [2]


def test_masked_items_leave_the_ranking_and_a_masked_target_is_missing() -> None:
    masked = np.array([[False, False, True, False, False]])
    assert metrics.ranks(SCORES, np.array([4]), masked=masked) == [1]
    assert metrics.ranks(SCORES, np.array([2]), masked=masked) == [math.inf]
    assert not masked[0, 0], "the caller's mask is not changed"


@pytest.mark.parametrize("target", [0, -1, 5, 99])
def test_padding_and_rows_outside_the_table_are_missing(target: int) -> None:
    assert metrics.ranks(SCORES, np.array([target])) == [math.inf]


def test_unknown_policy_is_refused() -> None:
    with pytest.raises(ConfigError, match="worst, best, average"):
        metrics.ranks(SCORES, np.array([1]), "random")


def test_measures_by_hand() -> None:
    rank = np.array([1.0, 3.0, 6.0, 20.0, 21.0, math.inf])
    means = metrics.event_means(rank)
    assert means["recall@5"] == pytest.approx(2 / 6)
    assert means["recall@10"] == pytest.approx(3 / 6)
    assert means["recall@20"] == pytest.approx(4 / 6)
    assert means["mrr@5"] == pytest.approx((1 + 1 / 3) / 6)
    assert means["mrr@10"] == pytest.approx((1 + 1 / 3 + 1 / 6) / 6)
    assert means["mrr@20"] == pytest.approx((1 + 1 / 3 + 1 / 6 + 1 / 20) / 6)
    assert means["ndcg@5"] == pytest.approx((1 + 1 / 2) / 6)  # log2(1 + 3) = 2
    assert means["ndcg@10"] == pytest.approx((1 + 0.5 + 0.3562071871) / 6)
    assert means["ndcg@20"] == pytest.approx((1 + 0.5 + 0.3562071871 + 0.2276702487) / 6)


def test_user_mean_weighs_users_and_event_mean_weighs_events() -> None:
    users = [np.array([1.0]), np.array([2.0, 2.0, 2.0])]
    assert metrics.user_means(users)["mrr@20"] == pytest.approx((1 + 0.5) / 2)
    assert metrics.event_means(np.concatenate(users))["mrr@20"] == pytest.approx((1 + 3 * 0.5) / 4)


def test_nothing_to_measure_is_zero() -> None:
    assert metrics.event_means(np.array([]))["mrr@20"] == 0
    assert metrics.user_means([])["recall@5"] == 0


def test_gained_and_harmed_need_more_than_the_margin() -> None:
    differences = np.array([0.011, 0.01, 0.3 - 0.29, 0.0, -0.01, -0.011, -0.5])
    assert metrics.gained_harmed(differences) == (1, 2)


def test_interval_covers_the_mean_is_reproducible_and_shrinks_with_users() -> None:
    values = np.random.default_rng(3).normal(0.02, 0.1, 400)
    wide, narrow = metrics.bootstrap_mean(values[:50]), metrics.bootstrap_mean(values)
    assert narrow.low < narrow.mean < narrow.high
    assert narrow.high - narrow.low < wide.high - wide.low
    assert narrow == metrics.bootstrap_mean(values)
    normal = 1.96 * values.std() / math.sqrt(len(values))
    assert (narrow.high - narrow.low) / 2 == pytest.approx(normal, rel=0.1)


def test_pairing_takes_out_what_users_have_in_common() -> None:
    before = np.random.default_rng(1).uniform(0, 1, 100)
    result = metrics.paired(before + 0.02, before)
    assert result.difference.low == pytest.approx(0.02)
    assert result.difference.high == pytest.approx(0.02)
    assert (result.gained, result.harmed) == (100, 0)
    assert result.ratio.mean == pytest.approx((before.mean() + 0.02) / before.mean())
    assert result.to_dict()["gained_share"] == 1


def test_with_numbers_of_positions_as_weights_means_are_over_events() -> None:
    users = [np.array([1.0]), np.array([2.0, 2.0, 4.0])]
    values, counts = metrics.user_values(users), np.array([1, 3])
    expected = metrics.event_means(np.concatenate(users))["mrr@20"]
    assert metrics.bootstrap_mean(values, weights=counts).mean == pytest.approx(expected)
    result = metrics.paired(values, np.zeros(2), weights=counts)
    assert result.difference.mean == pytest.approx(expected)
    assert result.difference.low <= expected <= result.difference.high


def test_one_user_says_nothing() -> None:
    assert metrics.bootstrap_mean(np.array([0.5])).low == -math.inf


def test_every_user_is_in_one_length_group() -> None:
    groups = metrics.length_groups(np.array([0, 1, 2, 3, 5, 6, 50, 51, 900]))
    assert [(low, high, list(index)) for low, high, index in groups] == [
        (0, 0, [0]), (1, 2, [1, 2]), (3, 5, [3, 4]), (6, 10, [5]), (21, 50, [6]), (51, None, [7, 8])]


@examples(60)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_ranks_agree_with_sorting(rows: int, seed: int, levels: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, levels, (5, rows)).astype(np.float32)
    targets = generator.integers(1, rows, 5)
    masked = generator.random((5, rows)) < 0.3
    found = {ties: metrics.ranks(scores, targets, ties, masked) for ties in metrics.TIES}
    for place, target in enumerate(targets):
        if masked[place, target]:
            assert all(np.isinf(rank[place]) for rank in found.values())
            continue
        listed = [row for row in range(1, rows) if not masked[place, row]]
        ordered = sorted((scores[place, row] for row in listed), reverse=True)
        own = scores[place, target]
        assert found["best"][place] == ordered.index(own) + 1
        assert found["worst"][place] == len(ordered) - ordered[::-1].index(own)
        assert found["average"][place] == (found["best"][place] + found["worst"][place]) / 2
