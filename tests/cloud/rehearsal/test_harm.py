# SPDX-License-Identifier: Apache-2.0
"""The guard's chance of harm, and whether the guard is worth having."""

from __future__ import annotations

import numpy as np
import pytest

from pocketrec.cloud.rehearsal import harm
from pocketrec.device.contract.recipe import Line, Prior
from pocketrec.device.personal.guard import GLOBAL, PERSONAL, Decision, chance_of_harm


def test_a_fitted_spread_predicts_how_many_are_harmed() -> None:
    """Short histories gain as much on average, and differ three times as much."""
    generator = np.random.default_rng(1)
    events = np.repeat([3, 60], 1500)
    expected = generator.normal(0.03, 0.03, 3000)
    gain = expected + generator.logistic(0, np.where(events == 3, 0.06, 0.02) * np.sqrt(3) / np.pi)
    prior = Prior(spread=harm.fit_spread(expected, events, gain))
    assert prior.spread.at(3) == pytest.approx(0.06, rel=0.3)
    assert prior.spread.at(60) == pytest.approx(0.02, rel=0.3)
    chance = np.array([chance_of_harm(prior, int(n), float(e)) for n, e in zip(events, expected, strict=True)])
    decisions = [Decision(PERSONAL, "", chance={PERSONAL: float(value)}) for value in chance]
    rows = harm.reliability(decisions, gain)
    assert sum(row["users"] for row in rows) == 3000
    for row in rows:
        assert row["came_low"] - 0.03 < row["predicted"] < row["came_high"] + 0.03
    assert harm.fit_spread(np.zeros(0), np.zeros(0), np.zeros(0)) == Line()


def test_users_who_stay_global_are_no_part_of_the_reliability() -> None:
    decisions = [Decision(GLOBAL, "", chance={PERSONAL: 0.9}), Decision(PERSONAL, "", chance={PERSONAL: 0.1})]
    (row,) = harm.reliability(decisions, np.array([0.0, -0.5]))
    assert (row["users"], row["predicted"], row["came"]) == (1, 0.1, 1.0)


@pytest.mark.feature("N2")
def test_a_guard_is_used_only_where_it_lowers_harm_by_more_than_chance() -> None:
    plain = np.concatenate([np.full(80, 0.1), np.full(20, -0.1)])
    spares = plain.copy()
    spares[80:90] = 0.0
    assert harm.pays(spares, plain)
    chance = plain.copy()
    chance[80:82] = 0.0
    assert not harm.pays(chance, plain), "two users fewer are harmed by chance, too"
    dear = spares.copy()
    dear[:40] = 0.0
    assert not harm.pays(dear, plain), "half of the gain is lost"
    assert not harm.pays(plain, plain)
    losing = np.random.default_rng(2).normal(-0.05, 0.05, 100)
    assert harm.pays(np.zeros(100), losing), "it keeps everybody from a loss"
    found = harm.compared(spares, plain)
    assert (found["with"]["harmed"], found["without"]["harmed"]) == (10, 20)
