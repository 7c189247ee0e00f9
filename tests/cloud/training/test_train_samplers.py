# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.config import training as config
from pocketrec.cloud.config.training import PopularityOptions, RankOptions, TrainConfig
from pocketrec.cloud.training.samplers import Sampler, make_sampler

#: Those whose negatives all targets of a step share; for the other see test_train_own_negatives.py.
SHARED = tuple(name for name in config.SAMPLERS if name != "category_week")
COUNTS = np.array([0, 40, 20, 9, 5, 2, 1, 1, 0])
SEED = tf.constant([4, 5])


def sampler(name: str, **options: Any) -> Sampler:
    made = make_sampler(TrainConfig(sampler=name, tables=options), COUNTS)
    assert isinstance(made, Sampler)
    return made


def expected(name: str) -> np.ndarray:
    """Shares of the rows 1..8, by definition."""
    rows = np.arange(1, 9)
    weights = {
        "log_uniform": np.log((rows + 1) / rows),
        "uniform": np.ones(8),
        "popularity": np.maximum(COUNTS[1:], 1) ** 0.75,
        "rank": np.exp(-rows / (0.3 * 8)),
    }[name]
    return weights / weights.sum()


@pytest.mark.parametrize("name", SHARED)
def test_shares_and_draws_follow_the_distribution(name: str) -> None:
    """P9: the empirical frequencies are those of the definition."""
    made = sampler(name, popularity=PopularityOptions(0.75), rank=RankOptions(0.3))
    shares = np.exp(made.log_share(tf.range(1, 9)))
    np.testing.assert_allclose(shares, expected(name), rtol=1e-5)
    rows = made.draw(400_000, SEED).numpy()
    assert rows.dtype == np.int32
    assert rows.min() == 1
    assert rows.max() == 8
    np.testing.assert_allclose(np.bincount(rows, minlength=9)[1:] / len(rows), expected(name), atol=0.003)


@pytest.mark.parametrize("name", SHARED)
def test_draws_follow_from_the_seed_and_padding_has_a_finite_share(name: str) -> None:
    made = sampler(name)
    np.testing.assert_array_equal(made.draw(50, SEED), made.draw(50, SEED))
    assert not np.array_equal(made.draw(50, SEED), made.draw(50, SEED + 1))
    assert np.isfinite(made.log_share(tf.constant([[0, 8]]))).all()


@pytest.mark.parametrize("name", SHARED)
def test_the_tail_of_a_large_catalogue_is_reached(name: str) -> None:
    """In float32 the inverse of a distribution function gives every seventh row of the tail only."""
    items = 4_000_000
    counts = np.concatenate([[0], np.linspace(1000, 1, items).astype(np.int64)])
    made = make_sampler(TrainConfig(sampler=name, tables={"rank": RankOptions(rho=10.0)}), counts)
    rows = made.draw(3_000_000, SEED).numpy()
    tail = np.unique(rows[rows > items // 2])
    share = np.exp(made.log_share(tf.constant(tail))).mean()
    drawn = (rows > items // 2).sum()
    reached = items // 2 * (1 - np.exp(-len(rows) * share))  # different rows among so many draws
    assert len(tail) == pytest.approx(min(drawn, reached), rel=0.1)
    if name != "log_uniform":
        return
    assert len(np.unique(rows[rows > items // 2] % 7)) == 7
