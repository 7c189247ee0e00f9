# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from pocketrec.cloud.metrics.metrics import NAMES, event_means, user_means
from pocketrec.cloud.metrics.sampled import expected, sampled_means


def test_expectations_by_hand() -> None:
    """P10: 4 items, 1 negative: rank 1 is always first, rank 2 second in one of three draws, rank 4 always second."""
    found = expected(np.array([1.0, 2.0, 4.0, np.inf]), items=4, negatives=1)
    second = 1 / np.log2(3)
    np.testing.assert_allclose(found["mrr@5"], [1, 2 / 3 + 1 / 6, 1 / 2, 0])
    np.testing.assert_allclose(found["ndcg@5"], [1, 2 / 3 + second / 3, second, 0])
    np.testing.assert_allclose(found["recall@5"], [1, 1, 1, 0])


def test_expectations_are_what_draws_come_to() -> None:
    generator = np.random.default_rng(0)
    items, rank = 400, 60
    before = np.array([(generator.choice(items - 1, 99, replace=False) < rank - 1).sum() for _ in range(4000)])
    drawn = event_means(before + 1.0)
    found = expected(np.array([float(rank)]), items)
    for name in NAMES:
        assert found[name][0] == pytest.approx(drawn[name], abs=0.02), name


def test_with_all_others_drawn_it_is_the_full_ranking() -> None:
    per_user = [np.array([3.0, 17.0]), np.array([9.0, 1.0, np.inf])]
    for by_user, full in ((True, user_means(per_user)), (False, event_means(np.concatenate(per_user)))):
        found = sampled_means(per_user, items=60, by_user=by_user)
        assert found == pytest.approx(full)
