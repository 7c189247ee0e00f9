# SPDX-License-Identifier: Apache-2.0
"""The fitted bonus for repeats: judged as the device computes it, and mild where harm has a price."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.rehearse import RehearseConfig
from pocketrec.cloud.config.resources import ResourceConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.fleet.device import DeviceUser, known_positions
from pocketrec.cloud.metrics.metrics import gained_harmed, ranks, reciprocal
from pocketrec.cloud.rehearsal import bonus as fitting
from pocketrec.cloud.rehearsal.positions import Positions, observe
from pocketrec.cloud.rehearsal.rehearse import RehearseJob, Variant, grid, rehearse
from pocketrec.device.contract.repeats import Repeats, gaps_at

ITEMS = 60


def users_of(generator: np.random.Generator, count: int, habit: float, loud: float) -> tuple[
    list[DeviceUser], list[np.ndarray]
]:
    """Users who return to one of three favourites with probability `habit`, else take what the model expects."""
    users, scores = [], []
    for index in range(count):
        favourites = generator.choice(np.arange(1, ITEMS + 1), 3, replace=False)
        rows = generator.integers(1, ITEMS + 1, 30).astype(np.int32)
        back = generator.random(30) < habit * (index % 2)  # every other user has no habits at all
        rows[back] = generator.choice(favourites, back.sum())
        times = np.cumsum(generator.exponential(3600.0, 30)) + 1.6e9
        users.append(DeviceUser(f"u{index}", rows[:10], rows[10:20], rows[20:], times=times))
        seen = generator.normal(size=(10, ITEMS + 1)).astype(np.float32)
        seen[np.arange(10), rows[20:]] += np.where(back[20:], 0.0, loud).astype(np.float32)
        scores.append(seen)
    return users, scores


def positions_of(users: list[DeviceUser], scores: list[np.ndarray], ties: str = "worst") -> Positions:
    return observe(users, [known_positions(user)[1] for user in users], lambda index: scores[index], ties)


@pytest.mark.parametrize(
    "repeats",
    [
        Repeats(2.0, 0.9),
        Repeats(1.0, 1.0, 1.5, 0.5),
        Repeats(0.7, 1.0, 0.5, 0.3, 0.8, slope=0.1, headroom=0.4),
        Repeats(3.0, 1.0, slope=-0.31),
    ],
)
@pytest.mark.parametrize("ties", ["worst", "best", "average"])
def test_a_bonus_is_judged_as_the_device_computes_it(repeats: Repeats, ties: str) -> None:
    users, scores = users_of(np.random.default_rng(1), 6, 0.6, 2.0)
    for one in scores:
        one[:] = np.round(one, 1)  # some items have one score
    positions = positions_of(users, scores, ties)
    expected, plain = [], []
    for user, seen in zip(users, scores, strict=True):
        rows, places = known_positions(user)
        raised = seen.copy()
        for row, place in zip(raised, places, strict=True):
            repeats.add_to_catalogue(row, rows[:place], gaps_at(user.times[:place], user.times[place]))
        expected.append(reciprocal(ranks(raised, rows[places], ties), 20).mean())
        plain.append(reciprocal(ranks(seen, rows[places], ties), 20).mean())
    assert positions.means(repeats) == pytest.approx(expected, abs=1e-6)
    assert positions.gains(repeats) == pytest.approx(np.subtract(expected, plain), abs=1e-6)


def fit(positions: Positions, aim: float) -> fitting.Fitted:
    return fitting.fit_bonus(
        positions.gains, positions.users, aim=aim, length=3.0, beginnings=[Repeats(4.0, 1.0, 1.0, 0.5)], clock=False
    )


def test_harm_has_a_price_and_the_aim_chooses_it() -> None:
    """Users without habits lose by a strong bonus, which those with habits like best."""
    positions = positions_of(*users_of(np.random.default_rng(2), 80, 0.7, 3.0))
    bold, mild = fit(positions, 1.0), fit(positions, 5.0)
    assert bold.chosen.price < mild.chosen.price
    free, paid = bold.tried[0], mild.chosen
    assert gained_harmed(paid.judged)[1] < gained_harmed(free.judged)[1]
    assert 0 < paid.judged.mean() <= free.judged.mean() + 0.005
    assert paid.judged.mean() >= (1 - fitting.MOST_GIVEN) * max(one.judged.mean() for one in mild.tried)
    assert fit(positions, 5.0).chosen.repeats == paid.repeats, "the same seed finds the same"
    for one in mild.tried:
        np.testing.assert_allclose(positions.gains(one.repeats), one.fitted)


def test_a_fitted_bonus_is_at_least_as_good_as_where_the_search_began() -> None:
    positions = positions_of(*users_of(np.random.default_rng(3), 60, 0.7, 3.0))
    begun = positions.gains(Repeats(4.0, 1.0, 1.0, 0.5)).mean()
    assert fit(positions, 1.0).tried[0].fitted.mean() > begun


def test_the_search_finds_the_best_and_leaves_out_what_is_worth_nothing() -> None:
    """A gain that depends on two of the numbers alone, and is best at a power of .6 and a headroom of .2."""
    liking = np.random.default_rng(4).uniform(0.5, 1.0, 40)

    def gains_of(repeats: Repeats) -> np.ndarray:
        return liking * (0.2 - abs(repeats.power - 0.6) - abs(repeats.headroom - 0.2))

    beginnings = [Repeats(1.5, 0.9, 1.0, 0.5, slope=0.1)]
    found = fitting.fit_bonus(gains_of, 40, aim=5.0, length=3.0, beginnings=beginnings, clock=False)
    for one in found.tried:
        assert (one.repeats.slope, one.repeats.decay, one.repeats.follows) == (0.0, 1.0, 0.0)
        assert one.repeats.power == pytest.approx(0.6, abs=0.05)
        assert one.repeats.headroom == pytest.approx(0.2, abs=0.03)


def test_a_user_who_loses_nothing_has_no_price() -> None:
    gain = np.array([0.2, 0.0, -0.01, -0.02, -0.5])
    np.testing.assert_allclose(fitting.worth(gain, 0.1), gain - 0.1 * np.array([0, 0, 0.5, 1, 1]))


def test_the_fitted_bonus_takes_the_place_of_the_grid_s() -> None:
    config = RehearseConfig(ways=["head"], passes=[3], learning_rates=[0.005], targets=["later"])
    one = Repeats(0.7, 1.0, headroom=0.4)
    assert {trial.repeats for trial in grid(config, fitted=one)} == {one, Repeats()}
    assert {trial.repeats for trial in grid(config, fitted=Repeats())} == {Repeats()}
    always = dataclasses.replace(config, repeats=[2.0])
    assert {trial.repeats for trial in grid(always, fitted=one)} == {one}


def test_a_rehearsal_fits_the_bonus_and_says_what_it_tried(tiny: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    users, _ = users_of(generator, 30, 0.9, 0.0)
    rows = [np.concatenate([user.before, user.learn, user.test]) % 39 + 1 for user in users]
    ids = np.array([user.user for user in users], dtype=object)
    codes, times = np.repeat(np.arange(30), 30), np.tile(np.arange(30), 30)
    earliest, later = Sequences.build(ids, codes, np.concatenate(rows), times).cut(10)
    config = RehearseConfig(ways=["head"], passes=[1], learning_rates=[0.001], targets=["later"], fit_users=25)
    variants = {("head", "adagrad"): Variant(tiny / "head.tflite", tiny / "items.npy", 72)}
    job = RehearseJob(earliest, later, np.full(30, 10), variants, config, EvaluateConfig(bootstrap=10))
    recipe = rehearse(job, tmp_path, resources=ResourceConfig(processes=1))
    report = json.loads((tmp_path / "rehearsal.json").read_text())["bonus"]
    assert report["users"] == 25
    assert report["positions"] == 250
    assert [one["price"] for one in report["tried"]] == list(fitting.PRICES)
    (chosen,) = [one for one in report["tried"] if one["price"] == report["price"]]
    assert recipe["repeats"] == chosen["repeats"]
    assert chosen["repeats"]["time_power"] == 0.0, "these times are no clock"
    masked = dataclasses.replace(job, evaluate=EvaluateConfig(mask_seen=True, bootstrap=10))
    rehearse(masked, tmp_path, resources=ResourceConfig(processes=1))
    assert "bonus" not in json.loads((tmp_path / "rehearsal.json").read_text())
