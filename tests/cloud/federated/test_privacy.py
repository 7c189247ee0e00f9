# SPDX-License-Identifier: Apache-2.0
"""The accountant against dp-accounting's values and against integrals of its own; the ledger; the noise."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.federated.privacy import Ledger, add_noise, epsilon, log_moment, rounds_within, usual_delta
from pocketrec.device.base.errors import ConfigError

#: (share, noise multiplier, rounds, delta): epsilon of dp-accounting 0.6.0, as `python tests/flower/accountant.py` in
#: an environment with that package prints it.
THEIRS = {
    (0.4, 1.0, 6, 0.0019): 5.0944,
    (0.4, 0.3, 6, 0.0019): 42.2484,
    (0.4, 0.1, 8, 0.0019): 419.184,
    (0.04, 1.0, 6, 1.2e-05): 1.72722,
    (0.004, 1.0, 6, 9.5e-07): 1.05482,
    (0.01, 0.5, 100, 1e-06): 9.50158,
    (0.01, 1.1, 1000, 1e-05): 1.71177,
    (0.1, 0.7, 100, 1e-05): 16.4394,
    (0.95, 2.0, 20, 0.0001): 10.54,
    (0.7, 10.0, 8, 0.001): 0.53389,
    (1.0, 1.0, 100, 0.001): 85.1754,
    (1.0, 3.0, 8, 1e-05): 4.41968,
}


@pytest.mark.parametrize(("case", "theirs"), THEIRS.items(), ids=str)
def test_epsilon_is_that_of_dp_accounting(case: tuple[float, float, int, float], theirs: float) -> None:
    assert theirs * (1 - 1e-5) <= epsilon(*case) <= 1.1 * theirs


@pytest.mark.parametrize("q", [0.001, 0.04, 0.4, 0.95])
@pytest.mark.parametrize("z", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("order", [1.2, 1.9, 2, 3.5, 8, 20])
def test_a_moment_is_at_least_the_integral_that_it_bounds(q: float, z: float, order: float) -> None:
    """By the trapezoid rule, whose error for this integrand is below 1e-9; whole orders are exact."""
    step = min(z / 16, z * z / 4)
    x = np.arange(-12 * z, order + 12 * z, step)
    ratio = np.logaddexp(math.log1p(-q), math.log(q) + (2 * x - 1) / (2 * z * z))
    density = -x * x / (2 * z * z) - math.log(z * math.sqrt(2 * math.pi)) + math.log(step)
    exact = float(np.logaddexp.reduce(order * ratio + density))
    found = log_moment(q, z, order)
    assert found >= exact - 1e-8
    if float(order).is_integer():
        assert found == pytest.approx(exact, rel=1e-6, abs=1e-8)


@given(st.floats(0.001, 0.99), st.floats(0.3, 8.0), st.integers(2, 60))
def test_a_moment_grows_with_the_share_and_shrinks_with_the_noise(q: float, z: float, order: int) -> None:
    found = log_moment(q, z, order)
    assert 0 <= found <= log_moment(min(1.0, 1.1 * q), z, order) * (1 + 1e-9) + 1e-12
    assert found * (1 + 1e-9) + 1e-12 >= log_moment(q, 1.1 * z, order)


@pytest.mark.parametrize("delta", [1e-3, 1e-6])
def test_every_round_costs_something(delta: float) -> None:
    spent = [epsilon(0.1, 1.0, rounds, delta) for rounds in range(1, 40)]
    assert spent == sorted(set(spent))


def test_what_costs_nothing_and_what_has_no_bound() -> None:
    assert epsilon(0.0, 1.0, 10, 1e-5) == 0
    assert epsilon(0.4, 1.0, 0, 1e-5) == 0
    assert epsilon(0.4, 0.0, 1, 1e-5) == math.inf
    assert usual_delta(942) < 1 / 942


@pytest.mark.parametrize(
    "values", [(1.1, 1.0, 1, 1e-5), (0.1, -1.0, 1, 1e-5), (0.1, 1.0, -1, 1e-5), (0.1, 1.0, 1, 0.0)], ids=str
)
def test_values_out_of_range_are_refused(values: tuple[float, float, int, float]) -> None:
    with pytest.raises(ConfigError, match=r"between 0 and 1|noise multiplier|rounds"):
        epsilon(*values)


@pytest.mark.parametrize("limit", [0.5, 2.0, 8.0])
def test_the_largest_number_of_rounds_within_a_limit(limit: float) -> None:
    rounds = rounds_within(limit, 0.05, 1.0, 1e-5)
    assert epsilon(0.05, 1.0, rounds + 1, 1e-5) > limit
    assert rounds == 0 or epsilon(0.05, 1.0, rounds, 1e-5) <= limit


def test_a_ledger_refuses_the_round_that_passes_the_limit() -> None:
    most = rounds_within(5.0, 0.4, 1.0, 1.9e-3)
    for rounds in range(most):
        assert Ledger(0.4, 1.0, 1.9e-3, 5.0, rounds).refusal() == ""
    full = Ledger(0.4, 1.0, 1.9e-3, 5.0, most)
    assert 0 < full.spent <= 5.0
    assert re.match(r"round \d+ would bring epsilon to 5\.\d+, above federate.epsilon 5: more noise", full.refusal())
    assert full.facts()["epsilon"] == full.spent


def test_a_limit_without_noise_is_refused_and_no_noise_has_no_epsilon() -> None:
    with pytest.raises(ConfigError, match=r"set federate\.noise too"):
        Ledger(0.4, 0.0, 1e-3, limit=3.0)
    assert "epsilon" not in Ledger(0.4, 0.0, 1e-3, rounds=2).facts()


def test_noise_follows_its_seed_and_has_the_deviation_that_is_asked_for() -> None:
    total = {"b": np.ones((200, 50), np.float32), "a": np.zeros(10_000, np.float32)}
    noisy, again, other = (add_noise(total, 0.25, seed) for seed in ((7, 0), (7, 0), (7, 1)))
    for name, value in total.items():
        np.testing.assert_array_equal(noisy[name], again[name])
        assert noisy[name].dtype == np.float32
        assert np.abs(noisy[name] - other[name]).max() > 0
        assert float(np.std(noisy[name] - value)) == pytest.approx(0.25, rel=0.05)
    assert abs(np.corrcoef(noisy["a"], noisy["b"].reshape(-1))[0, 1]) < 0.05
