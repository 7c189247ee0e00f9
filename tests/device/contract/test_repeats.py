# SPDX-License-Identifier: Apache-2.0
"""The bonus for repeated items: by hand, in ranking, and in the judgement of the guard."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.contract.repeats import Repeats, gaps_at
from pocketrec.device.engine.model import Model
from pocketrec.device.personal.guard import BLEND, PERSONAL, judge
from pocketrec.device.personal.training import evaluate_targets
from pocketrec.device.personal.windows import context

pytestmark = pytest.mark.runtime


def test_bonus_by_hand():
    """r of an item sums decay^age over its events: item 7 at ages 0 and 2, item 3 at age 1."""
    items, bonus = Repeats(2.0, 0.5).bonus(np.array([7, 3, 7], np.int32))
    assert items.tolist() == [3, 7]
    assert bonus == pytest.approx([2 * math.log1p(100 * 0.5), 2 * math.log1p(100 * 1.25)], rel=1e-6)


def test_power_and_followers_by_hand():
    """Item 3 has age 1 and came after item 7 once, item 7 has ages 0 and 2, and 9 came after 3 only."""
    items, bonus = Repeats(2.0, 1.0, power=1.5, follows=0.5).bonus(np.array([3, 9, 7, 3, 7], np.int32))
    assert items.tolist() == [3, 7, 9]
    own = [2**-1.5 + 5**-1.5, 1 + 3**-1.5, 4**-1.5]
    followed = [2**-0.5, 0.0, 0.0]
    expected = [2 * (math.log1p(100 * r) + 0.5 * math.log1p(100 * q)) for r, q in zip(own, followed, strict=True)]
    assert bonus == pytest.approx(expected, rel=1e-6)


BEGIN = 1.5e9
TIMES = BEGIN + np.array([1000.0, 1540.0, 1600.0])


def test_seconds_since_by_hand():
    """Asked 240 s after the latest event: gaps of 840, 300 and 240 s, 60 added to each."""
    gaps = gaps_at(TIMES, BEGIN + 1840.0)
    assert gaps.tolist() == [840.0, 300.0, 240.0]
    items, bonus = Repeats(2.0, 1.0, power=0.5, time_power=0.5).bonus(np.array([7, 7, 8], np.int32), gaps)
    assert items.tolist() == [7, 8]
    seven = 3**-0.5 * (300 / 900) ** 0.5 + 2**-0.5 * (300 / 360) ** 0.5
    assert bonus == pytest.approx([2 * math.log1p(100 * seven), 2 * math.log1p(100)], rel=1e-6)


def test_times_that_say_nothing_change_nothing():
    """Equal times, no times, a clock that is years ahead; one that is behind counts as the latest event's time."""
    rows = np.array([3, 9, 7, 3, 7], np.int32)
    timed, plain = Repeats(2.0, 1.0, 0.5, 0.5, 0.5), Repeats(2.0, 1.0, 0.5, 0.5)
    expected = plain.bonus(rows)[1]
    np.testing.assert_array_equal(timed.bonus(rows, gaps_at(np.full(5, BEGIN), BEGIN + 1e6))[1], expected)
    np.testing.assert_array_equal(timed.bonus(rows)[1], expected)
    np.testing.assert_allclose(timed.bonus(rows, gaps_at(BEGIN + np.arange(5), 4.9e9))[1], expected, rtol=1e-6)
    np.testing.assert_array_equal(plain.bonus(rows, gaps_at(np.arange(5) * 1e3, 5e3))[1], expected)
    assert gaps_at(TIMES, 0.0).tolist() == [600.0, 60.0, 0.0]
    assert gaps_at(TIMES[:0], 5.0).tolist() == []


@pytest.mark.parametrize("unit", [1.0, 1e3, 1e6, 1e9])
def test_a_clock_of_any_unit_gives_seconds(unit: float):
    """Milliseconds were once taken for seconds; the moment of asking may be in another unit than the log's times."""
    for asked in (1.0, unit):
        assert gaps_at(TIMES * unit, (BEGIN + 1840.0) * asked) == pytest.approx([840.0, 300.0, 240.0], abs=1e-6)


@pytest.mark.parametrize("now", [0.0, 1840.0, BEGIN, 1e15])
def test_times_with_a_start_of_their_own_are_asked_for_at_the_latest_event(now: float):
    assert gaps_at(TIMES - BEGIN, now).tolist() == [600.0, 60.0, 0.0]


def test_events_that_are_passed_over_take_their_times_with_them():
    rows, times = np.array([5] + [1] * 1000, np.int32), BEGIN + np.arange(1001) * 10.0
    repeats = Repeats(1.0, 1.0, power=2.0, time_power=1.0)
    items, bonus = repeats.bonus(rows, gaps_at(times, BEGIN + 1e4))
    assert items.tolist() == [1]
    ages = np.arange(1000)
    assert bonus[0] == pytest.approx(math.log1p(100 * ((1.0 + ages) ** -2 * 60 / (60 + 10 * ages)).sum()), rel=1e-6)


def test_an_event_of_ages_ago_is_passed_over():
    """Weights below a millionth are: with power 2, those of more than a thousand events ago."""
    rows = np.array([5] + [1] * 1000, np.int32)
    items, _ = Repeats(1.0, 1.0, power=2.0).bonus(rows)
    assert items.tolist() == [1]
    items, _ = Repeats(1.0, 1.0, power=2.0).bonus(rows[:1000])
    assert items.tolist() == [1, 5]


def test_old_events_count_less_and_ancient_ones_nothing_that_shows():
    rows = np.array([5] + [1] * 500, np.int32)
    items, bonus = Repeats(1.0, 0.9).bonus(rows)
    exact = math.log1p(100 * 0.9**500)
    assert exact < 1e-6
    assert dict(zip(items.tolist(), bonus.tolist(), strict=True)).get(5, 0.0) == pytest.approx(exact, abs=1e-4)


def test_headroom_by_hand():
    """Item 7 is ranked first and item 3 lies 2 below: its r counts e^(.5 x 2) times."""
    repeats = Repeats(2.0, 0.5, headroom=0.5)
    scores = np.array([9.0, -4.0, 0.0, 1.0, 0.0, 0.0, 0.0, 3.0], np.float32)  # row 0 is padding
    rows = np.array([7, 3, 7], np.int32)
    items, bonus = repeats.bonus(rows, scores=scores)
    assert items.tolist() == [3, 7]
    expected = [2 * math.log1p(100 * 0.5 * math.e), 2 * math.log1p(100 * 1.25)]
    assert bonus == pytest.approx(expected, rel=1e-6)
    candidates = np.array([5, 3, 7], np.int32)
    raised = repeats.add_to(scores[candidates], candidates, rows)
    assert raised == pytest.approx([0.0, 1.0 + expected[0], 3.0 + expected[1]], rel=1e-6)
    far = repeats.bonus(rows, scores=scores - np.float32(1e6) * (np.arange(8) == 3).astype(np.float32))[1]
    assert np.isfinite(far).all()


def test_strength_is_a_line_in_the_length_of_the_history():
    rows = np.array([7, 3, 7], np.int32)
    plain, sloped = Repeats(2.0, 0.5), Repeats(2.0, 0.5, slope=-0.25)
    assert sloped.strength_after(3) == pytest.approx(2 * (1 - 0.25 * math.log(4)))
    assert sloped.strength_after(1000) == 0.0
    share = sloped.strength_after(3) / 2
    assert sloped.bonus(rows)[1] == pytest.approx(share * plain.bonus(rows)[1], rel=1e-6)
    assert sloped.times(0.5).bonus(rows)[1] == pytest.approx(share / 2 * plain.bonus(rows)[1], rel=1e-6)


def test_scores_of_candidates_and_of_the_catalogue_agree():
    rng = np.random.default_rng(0)
    rows = rng.integers(1, 20, 30).astype(np.int32)
    scores = rng.normal(size=31).astype(np.float32)
    repeats = Repeats(0.7, 0.8, 0.5, 0.3, slope=0.2, headroom=0.4)
    candidates = rng.permutation(np.arange(1, 31)).astype(np.int32)
    raised = repeats.add_to(scores[candidates], candidates, rows)
    whole = scores.copy()
    repeats.add_to_catalogue(whole, rows)
    np.testing.assert_array_equal(raised, whole[candidates])
    assert (whole[np.setdiff1d(np.arange(31), rows)] == scores[np.setdiff1d(np.arange(31), rows)]).all()


def test_off_without_strength_or_history():
    scores = np.ones(3, np.float32)
    candidates = np.array([1, 2, 3], np.int32)
    assert Repeats(0.0).add_to(scores, candidates, candidates) is scores
    assert Repeats(1.0).add_to(scores, candidates, np.zeros(0, np.int32)) is scores


@pytest.mark.parametrize(
    "wrong",
    [
        {"strength": -1.0},
        {"decay": 0.0},
        {"decay": 1.1},
        {"power": -1.0},
        {"follows": -0.1},
        {"time_power": -0.1},
        {"headroom": -0.1},
        {"slope": float("inf")},
        {"power": float("nan")},
    ],
)
def test_out_of_range(wrong):
    (name,) = wrong
    takes = {"headroom": "at least 0 and at most 1", "decay": "above 0 and at most 1"}.get(name, "at least 0")
    with pytest.raises(ValueError, match=rf"repeats\.{name} (must be {takes}, not|is out of range)"):
        Repeats(**wrong)


def test_judgement_of_single_targets_equals_the_evaluate_signature(model: Model):
    """With no bonus and the whole history in the window both ways give the same losses and ranks."""
    rows = np.array([4, 9, 4, 2, 30], np.int32)
    loss, rank = evaluate_targets(model, rows, 3)
    single_loss, single_rank = evaluate_targets(model, rows, 3, Repeats(0.0))
    np.testing.assert_allclose(single_loss, loss, rtol=1e-5)
    np.testing.assert_array_equal(single_rank, rank)


def test_guard_sees_that_repeats_help_a_person_of_habit(model: Model):
    """Somebody who only ever takes two items: the bonus alone, without any training, lifts both signals."""
    reference = model.export_weights()
    rows = np.array([11, 42] * 10, np.int32)
    recipe = Recipe(passes=0, repeats=Repeats(1.0, 0.8))
    seen = judge(model, rows, 4, recipe, reference).observed
    for choice in (PERSONAL, BLEND):
        assert seen[choice].rr > 0.05
        assert seen[choice].loglik > 0


def test_guard_asks_for_each_held_back_event_at_its_own_time(model: Model):
    """Item 42 came long ago and once, 11 is new: after a pause 42 gains on 11, as the guard's targets find."""
    rows = np.array([42, 11, 11, 42], np.int32)
    repeats = Repeats(3.0, 1.0, 0.5, 0.0, 0.5)
    last = {}
    for pause in (0.0, 1e6):
        times = BEGIN + np.array([0.0, 9000.0, 9000.0, 9000.0 + pause])
        expected = []
        for place in (2, 3):
            scores = model.catalogue() @ model.embed(context(rows[:place], model.window))
            repeats.add_to_catalogue(scores, rows[:place], gaps_at(times[:place], times[place]))
            expected.append(np.logaddexp.reduce(scores[1:].astype(np.float64)) - scores[rows[place]])
        loss, _ = evaluate_targets(model, rows, 2, repeats, times)
        np.testing.assert_allclose(loss, expected, rtol=1e-6)
        last[pause] = loss[-1]
    assert last[1e6] < last[0.0] - 0.1


def test_recipe_keeps_its_repeats_and_an_old_one_looks_at_no_times():
    recipe = Recipe(passes=0, repeats=Repeats(1.5, 0.6, 1.2, 0.5, 0.7, -0.1, 0.3))
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    old = {"strength": 2.0, "decay": 1.0, "power": 1.5, "follows": 0.5}
    assert Recipe.from_dict({"repeats": old}).repeats == Repeats(2.0, 1.0, 1.5, 0.5, 0.0, slope=0.0, headroom=0.0)


def test_catalogue_is_the_file_s_item_table(model: Model, table: np.ndarray):
    np.testing.assert_array_equal(model.catalogue(), table)
    assert model.catalogue() is model.catalogue()
