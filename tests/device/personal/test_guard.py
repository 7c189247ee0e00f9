# SPDX-License-Identifier: Apache-2.0
"""The guard's rules against hand-made numbers, and the guard at work."""

from __future__ import annotations

import math

import numpy as np
import pytest
from loyal import loyal

from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract.recipe import GuardRecipe, Line, Prior, Recipe, Signal
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.engine.model import Model
from pocketrec.device.personal.guard import (
    BLEND,
    GLOBAL,
    PERSONAL,
    blend,
    chance_of_harm,
    decide,
    heldback_count,
    judge,
    posterior_gain,
    share_of,
)
from pocketrec.device.personal.judgement import Judgement, Observed
from pocketrec.device.personal.personalise import personalise

pytestmark = pytest.mark.runtime

PRIOR = Prior(
    gain=Line(0.02, 0.01),
    loglik=Signal(expected=Line(0.1, 0.0), weight=0.2, strength=6.0),
    rr=Signal(expected=Line(0.0, 0.05), weight=0.5, strength=12.0),
)


def test_posterior_equals_the_formula() -> None:
    n, m = 9, 4
    expected = 0.02 + 0.01 * math.log(10) + 0.2 * 4 / 10 * (0.3 - 0.1) + 0.5 * 4 / 16 * (-0.1 - 0.05 * math.log(10))
    assert posterior_gain(PRIOR, n, m, Observed(loglik=0.3, rr=-0.1)) == pytest.approx(expected)


def test_without_held_back_events_the_prior_alone_counts() -> None:
    assert posterior_gain(PRIOR, 0, 0, None) == pytest.approx(0.02)
    assert posterior_gain(PRIOR, 0, 0, Observed(9.0, 9.0)) == pytest.approx(0.02)


def test_more_held_back_targets_are_believed_more() -> None:
    gains = [posterior_gain(PRIOR, 9, m, Observed(2.0, 0.5)) for m in (1, 5, 50)]
    assert gains == sorted(gains)


def seen(personal: float, blended: float, heldback: int = 10) -> Judgement:
    return Judgement(20, heldback, {PERSONAL: Observed(personal, 0.0), BLEND: Observed(blended, 0.0)})


@pytest.mark.parametrize(
    ("judgement", "choice"),
    [
        (seen(0.5, 0.2), PERSONAL),
        (seen(0.1, 0.2), BLEND),
        (seen(-0.3, 0.2), BLEND),
        (seen(0.2, 0.2), BLEND),  # ties go to the milder choice
        (seen(-0.1, -0.1), GLOBAL),
        (seen(0.0, 0.0), GLOBAL),
        (Judgement(1, 0), GLOBAL),  # nothing seen, nothing expected
        (Judgement(20, 10, {}, diverged=True), GLOBAL),
    ],
)
def test_decisions_without_a_prior(judgement: Judgement, choice: str) -> None:
    assert decide(GuardRecipe(), judgement).choice == choice


def test_the_chance_of_harm_equals_the_formula() -> None:
    prior = Prior(spread=Line(0.02, 0.01))
    scale = (0.02 + 0.01 * math.log(10)) * math.sqrt(3) / math.pi
    assert chance_of_harm(prior, 9, 0.03) == pytest.approx(1 / (1 + math.exp(0.04 / scale)))
    assert chance_of_harm(prior, 9, -0.01) == pytest.approx(0.5)
    assert chance_of_harm(prior, 9, 1e9) == pytest.approx(0.0)
    assert [chance_of_harm(Prior(), 9, gain) for gain in (-0.02, -0.01, 0.0)] == [1.0, 0.0, 0.0]


@pytest.mark.feature("N2")
def test_harm_has_a_price_and_a_milder_share_may_win() -> None:
    """The full bonus gains most and is uncertain; a quarter of it hardly harms anybody."""
    shares = {"quarter": 0.25, BLEND: 0.5, "most": 0.75, PERSONAL: 1.0}
    prior = {name: Prior(gain=Line(0.04 * share), spread=Line(0.08 * share**2)) for name, share in shares.items()}
    free = decide(GuardRecipe(prior=prior), Judgement(20, 0))
    assert free.choice == PERSONAL
    assert set(free.posterior) == set(free.chance) == set(shares)
    chosen = [decide(GuardRecipe(prior=prior, price=price), Judgement(20, 0)) for price in (0.02, 0.1, 0.3)]
    assert [share_of(one.choice) for one in chosen] == sorted((share_of(one.choice) for one in chosen), reverse=True)
    assert chosen[-1].choice == "quarter"
    bad = {name: Prior(gain=Line(-0.02), spread=Line(0.05)) for name in shares}
    assert decide(GuardRecipe(prior=bad, price=0.1), Judgement(20, 0)).choice == GLOBAL


def test_only_shares_with_a_prior_are_weighed() -> None:
    assert GuardRecipe().choices == (BLEND, PERSONAL)
    assert GuardRecipe(prior={"most": Prior()}).choices == (BLEND, "most", PERSONAL)
    assert share_of(GLOBAL) == share_of("unknown") == 0.0


def test_every_share_is_judged_on_the_held_back_events(model: Model) -> None:
    rows = np.array([11, 42] * 10, np.int32)
    guard = GuardRecipe(prior={"quarter": Prior(), "most": Prior()})
    recipe = Recipe(passes=0, repeats=Repeats(1.0, 0.8), guard=guard)
    seen = judge(model, rows, 4, recipe, model.export_weights()).observed
    assert set(seen) == {"quarter", BLEND, "most", PERSONAL}
    assert seen["quarter"].loglik < seen[BLEND].loglik < seen["most"].loglik < seen[PERSONAL].loglik
    fewer = judge(model, rows, 4, Recipe(passes=0, repeats=Repeats(1.0, 0.8)), model.export_weights()).observed
    assert fewer == {choice: seen[choice] for choice in (PERSONAL, BLEND)}


def test_threshold_prior_and_switch() -> None:
    assert decide(GuardRecipe(threshold=0.1), seen(0.5, 0.2)).choice == GLOBAL
    hopeful = GuardRecipe(prior={PERSONAL: Prior(gain=Line(0.05))})
    assert decide(hopeful, seen(-0.1, -0.1)).choice == PERSONAL  # one user's few events do not outweigh it
    assert decide(hopeful, Judgement(1, 0)).choice == PERSONAL
    assert decide(GuardRecipe(enabled=False), seen(-9.0, -9.0)).choice == PERSONAL
    assert decide(GuardRecipe(enabled=False), Judgement(3, 2, diverged=True)).choice == GLOBAL


def test_recipe_round_trip_and_errors() -> None:
    recipe = Recipe(passes=3, guard=GuardRecipe(holdback=0.4, prior={PERSONAL: PRIOR}), forecast={"gain": 0.02})
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert Recipe.from_dict({}) == Recipe()
    table = recipe.to_dict()
    for change in (
        {"format": 2}, {"unknown": 1}, {"passes": -1}, {"repeats": {"decay": 1.1}},
        {"learning_rate": -1.0}, {"targets": "some"}, {"guard": 3},
        {"guard": {"holdback": 1.0}}, {"guard": {"minimum_heldback": 0}}, {"guard": {"prior": {"personal": {"x": 1}}}},
        {"guard": {"prior": {"personal": {"rr": {"strength": 0}}}}},
    ):  # fmt: skip
        with pytest.raises(BundleError, match=r"cannot follow recipe\.json") as caught:
            Recipe.from_dict({**table, **change})
        assert "\n" not in str(caught.value)


def test_held_back_count() -> None:
    guard = GuardRecipe(holdback=0.3, minimum_heldback=2)
    assert [heldback_count(guard, events) for events in (0, 1, 2, 3, 4, 10, 20)] == [0, 0, 0, 2, 2, 3, 6]
    assert heldback_count(GuardRecipe(enabled=False), 20) == 0


def test_blend_is_exact_at_both_ends() -> None:
    first, second = {"a": np.float32([1.0, 2.0])}, {"a": np.float32([3.0, 1.0])}
    np.testing.assert_array_equal(blend(first, second, 0.0)["a"], first["a"])
    np.testing.assert_array_equal(blend(first, second, 0.5)["a"], np.float32([2.0, 1.5]))
    np.testing.assert_array_equal(blend(first, second, 1.0)["a"], second["a"])


def test_a_loyal_user_is_seen_to_gain_and_a_changed_one_to_lose(model: Model) -> None:
    start = model.export_weights()
    recipe = Recipe(learning_rate=0.1, passes=8)
    same = judge(model, loyal(40), 1, recipe, start)
    changed = np.concatenate([loyal(28), loyal(12, items=(30, 31, 32))])
    other = judge(model, changed, 1, recipe, start)
    assert (same.events, same.heldback) == (39, 12)
    assert same.observed[PERSONAL].loglik > same.observed[BLEND].loglik > 0
    assert same.observed[PERSONAL].rr > 0
    assert other.observed[PERSONAL].loglik < 0


@pytest.mark.parametrize("guard", [GuardRecipe(), GuardRecipe(enabled=False)])
def test_training_that_diverges_falls_back_to_the_global_weights(
    model: Model, guard: GuardRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(model: Model, *rest: object, **more: object) -> list[float]:
        model.import_weights({name: value * np.float32("nan") for name, value in model.export_weights().items()})
        return [math.nan]

    monkeypatch.setattr("pocketrec.device.personal.guard.fine_tune", explode)
    monkeypatch.setattr("pocketrec.device.personal.personalise.fine_tune", explode)
    start = model.export_weights()
    outcome = personalise(model, loyal(40), 1, Recipe(guard=guard), start)
    assert (outcome.decision.choice, outcome.decision.reason) == (GLOBAL, "the training diverged")
    for name, value in model.export_weights().items():
        np.testing.assert_array_equal(value, start[name])
