# SPDX-License-Identifier: Apache-2.0
"""P9: negatives follow their distribution, renormalised without the positive, which is never drawn."""

from __future__ import annotations

import numpy as np
import pytest

from pocketrec.cloud.config.transfer import TASK_SAMPLERS
from pocketrec.cloud.transfer.negatives import Negatives

TARGETS, DRAWS, RHO = 12, 100_000, 0.3


@pytest.mark.parametrize("positive", [1, 5, TARGETS])
@pytest.mark.parametrize("name", ["uniform", "lambda_fm"])
def test_draws_follow_the_distribution_and_are_never_the_positive(name: str, positive: int) -> None:
    rank = np.arange(TARGETS)
    wanted = np.exp(-(rank + 1) / (RHO * TARGETS)) if name == "lambda_fm" else np.ones(TARGETS)
    wanted[positive - 1] = 0
    wanted *= DRAWS / wanted.sum()
    sampler = Negatives(TASK_SAMPLERS.load(name)(TARGETS, RHO))
    drawn = sampler.draw(np.random.default_rng(1), np.full(DRAWS, positive, np.int32))
    from scipy.stats import chisquare  # a second of imports, which collection should not wait for

    found = np.bincount(drawn, minlength=TARGETS + 1)[1:]
    assert found[positive - 1] == 0
    others = rank != positive - 1
    assert chisquare(found[others], wanted[others]).pvalue > 0.001
    shifted = np.roll(wanted[others], 1)
    assert name == "uniform" or chisquare(found[others], shifted).pvalue < 1e-9, "the test would notice another one"


def test_each_positive_has_its_own_negative_and_equal_seeds_draw_alike() -> None:
    positives = np.random.default_rng(2).integers(1, 4, 50_000).astype(np.int32)
    sampler = Negatives(np.array([1e-12, 1.0, 1e12]))  # rounding at every edge
    drawn = sampler.draw(np.random.default_rng(3), positives)
    assert not (drawn == positives).any()
    assert set(drawn.tolist()) <= {1, 2, 3}
    assert (drawn == sampler.draw(np.random.default_rng(3), positives)).all()
