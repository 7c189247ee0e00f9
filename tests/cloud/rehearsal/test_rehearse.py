# SPDX-License-Identifier: Apache-2.0
"""Rehearsal: finds what helps where something does, nothing where nothing does, and is honest about it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tiny_device

from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.rehearse import RehearseConfig
from pocketrec.cloud.config.resources import ResourceConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.fleet.fleet import device_users
from pocketrec.cloud.rehearsal import choose as choosing
from pocketrec.cloud.rehearsal.rehearse import RehearseJob, Trial, Variant, grid, rehearse
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract.recipe import Line, Recipe
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.personal.guard import GLOBAL, posterior_gain
from pocketrec.device.personal.judgement import Judgement, Observed

SIZES = {"partial": 900, "head": 72}  # numbers that each way trains
GRID = RehearseConfig(
    users=16, ways=["partial", "head"], learning_rates=[0.02, 0.1], passes=[2, 12], proximals=[0.0],
    targets=["later"], repeats=[0.0], fit=False,
)
TWO = ResourceConfig(processes=2)


def log(loyal: bool, users: int = 16) -> tuple[Sequences, Sequences, np.ndarray]:
    """Events before and after an earlier cut: of few favourites each, or of no pattern at all."""
    devices = tiny_device.loyal_users(users, favourites=3 if loyal else 40)
    ids = np.array([device.user for device in devices], dtype=object)

    def sequences(parts: list[np.ndarray], start: int) -> Sequences:
        codes = np.repeat(np.arange(users), [len(part) for part in parts])
        times = np.concatenate([np.arange(len(part)) + start for part in parts])
        return Sequences.build(ids, codes, np.concatenate(parts), times)

    later = [np.concatenate([device.learn, device.test]) for device in devices]
    learn = np.array([len(device.learn) for device in devices])
    return sequences([device.before for device in devices], 0), sequences(later, 100), learn


@pytest.fixture(scope="session")
def variants(tiny: Path) -> dict[tuple[str, str], Variant]:
    return {(way, "adagrad"): Variant(tiny / f"{way}.tflite", tiny / "items.npy", SIZES[way]) for way in SIZES}


def test_rehearsal_finds_what_helps_goes_on_after_a_kill_and_is_reproducible(
    variants: dict[tuple[str, str], Variant], tmp_path: Path
) -> None:
    first = rehearse(RehearseJob(*log(loyal=True), variants, GRID, EvaluateConfig()), tmp_path / "a", resources=TWO)
    recipe = Recipe.from_dict(first)
    assert recipe.personalise
    assert (recipe.learning_rate, recipe.passes) == (0.1, 12), "the users repeat themselves: bold beats gentle"
    report = json.loads((tmp_path / "a" / "rehearsal.json").read_text())
    assert report["forecast"]["gain"]["low"] > 0
    assert len(report["trials"]) == 8
    assert json.loads((tmp_path / "a" / "recipe.json").read_text()) == first

    (tmp_path / "b").mkdir()
    for name in ("screening", "dress"):  # killed after ten users of each round
        lines = (tmp_path / "a" / f"{name}.jsonl").read_bytes().splitlines(keepends=True)
        (tmp_path / "b" / f"{name}.jsonl").write_bytes(b"".join(lines[:11]))
    again = rehearse(RehearseJob(*log(loyal=True), variants, GRID, EvaluateConfig()), tmp_path / "b", resources=TWO)
    assert again == first


def test_nothing_to_learn_means_no_personal_training(
    variants: dict[tuple[str, str], Variant], tmp_path: Path
) -> None:
    recipe = rehearse(RehearseJob(*log(loyal=False), variants, GRID, EvaluateConfig()), tmp_path, resources=TWO)
    assert not recipe["personalise"]
    assert recipe["forecast"]["gain"]["mean"] == 0


def test_a_missing_variant_is_named(variants: dict[tuple[str, str], Variant], tmp_path: Path) -> None:
    config = RehearseConfig(ways=["partial"], optimizers=["adam"])
    with pytest.raises(ConfigError, match="partial with adam"):
        rehearse(RehearseJob(*log(loyal=True), variants, config, EvaluateConfig()), tmp_path)


def test_the_grid_names_the_gentlest_first_and_each_recipe_once() -> None:
    trials = grid(GRID, sizes=SIZES)
    assert len({trial.name for trial in trials}) == len(trials) == 8
    assert trials[0] == Trial("head", "adagrad", 0.02, 0.0, "later", 2)
    assert trials[-1] == Trial("partial", "adagrad", 0.1, 0.0, "later", 12)
    other = grid(GRID, sizes={"partial": 20, "head": 30})
    assert other[0] == Trial("partial", "adagrad", 0.02, 0.0, "later", 2), "fewer numbers are trained"


def test_each_training_is_tried_with_and_without_repeats_and_repeats_alone() -> None:
    config = dataclasses.replace(GRID, repeats=[0.0, 1.0], decays=[0.7], powers=[])
    trials = grid(config)
    assert len({trial.name for trial in trials}) == len(trials) == 17
    assert trials[0].name == "no training, repeats 1/0.7"
    assert trials[0].recipe().repeats == Repeats(1.0, 0.7)
    assert trials[0].recipe().passes == 0
    both = {trial.repeats for trial in grid(dataclasses.replace(config, powers=[1.5, 2.0], follows=[0.0, 0.5]))}
    powers = {Repeats(1.0, 1.0, power, follows) for power in (1.5, 2.0) for follows in (0.0, 0.5)}
    assert both == {Repeats(), Repeats(1.0, 0.7)} | powers
    masked = grid(config, mask_seen=True)
    assert [trial.name for trial in masked] == [trial.name for trial in grid(GRID)], "what is masked cannot be repeated"


def test_repeats_win_where_users_return_to_what_the_model_does_not_expect(
    variants: dict[tuple[str, str], Variant], tmp_path: Path
) -> None:
    config = dataclasses.replace(GRID, learning_rates=[0.001], passes=[1], repeats=[0.0, 2.0], decays=[0.9], powers=[])
    recipe = rehearse(RehearseJob(*log(loyal=True), variants, config, EvaluateConfig()), tmp_path, resources=TWO)
    assert recipe["personalise"]
    assert Repeats(**recipe["repeats"]) == Repeats(2.0, 0.9)


def test_times_are_tried_only_where_they_have_periods() -> None:
    config = dataclasses.replace(GRID, repeats=[2.0], powers=[1.5], follows=[0.5], time_powers=[0.5, 1.0])
    plain = {Repeats(2.0, 1.0, 1.5, 0.5)}
    assert {trial.repeats for trial in grid(config)} == plain
    timed = grid(config, periods=True)
    assert {trial.repeats for trial in timed} == plain | {Repeats(2.0, 1.0, 0.5, 0.5, power) for power in (0.5, 1.0)}
    assert len({trial.name for trial in timed}) == len(timed)
    masked = grid(config, mask_seen=True)
    assert grid(config, mask_seen=True, periods=True) == masked, "what is masked cannot be repeated"


@pytest.mark.parametrize("unit", [pytest.param(1, marks=pytest.mark.long), 1000])
def test_rehearsal_and_fleet_know_the_times(
    variants: dict[tuple[str, str], Variant], tmp_path: Path, unit: int
) -> None:
    """Once a day a favourite, the favourite again and something new: after the pause the latest counts no more."""
    generator, ids = np.random.default_rng(2), np.array([f"u{place}" for place in range(12)], dtype=object)
    days, others = 8, np.arange(13, 41)
    items = np.concatenate([np.ravel([(user, user, new) for new in generator.permutation(others)[:days]])
                            for user in range(1, 13)])  # fmt: skip
    times = unit * np.tile((1.6e9 + 86_400 * np.arange(days)[:, None] + [0, 5, 10]).ravel(), 12)
    whole = Sequences.build(ids, np.repeat(np.arange(12), 3 * days), items, times)
    earliest, later = whole.cut(unit * (1.6e9 + 2 * 86_400))
    learn = np.full(12, 12)
    users, _ = device_users(earliest, later, learn)
    assert all(user.history_times is not None and len(user.history_times) == len(user.history) for user in users)
    np.testing.assert_array_equal(users[0].known_times, times[: 3 * days])
    config = dataclasses.replace(GRID, learning_rates=[0.001], passes=[1], repeats=[2.0], powers=[1.5], follows=[0.0])
    evaluate = EvaluateConfig(bootstrap=10)
    rehearse(RehearseJob(earliest, later, learn, variants, config, evaluate), tmp_path, resources=TWO)
    report = json.loads((tmp_path / "rehearsal.json").read_text())
    assert ("milliseconds" in report["clock"]) == (unit == 1000)
    gains = {trial["name"]: trial["unguarded"]["mean"] for trial in report["trials"]}
    timed, plain = "no training, repeats 2/age^-0.5/seconds^-0.5", "no training, repeats 2/age^-1.5"
    assert gains[timed] > gains[plain] + 0.1


def dressed(
    signal: float, gain: float, noise: float = 0.05, users: int = 300, seed: int = 1
) -> choosing.DressRehearsal:
    """Users whose real gain follows the held-back log-likelihood by `signal`, around `gain`."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(0, 1, users)
    seen = truth + generator.normal(0, 0.1, users)
    judgements = [
        Judgement(20, 10, {c: Observed(float(s * share), 0.0) for c, share in (("personal", 1), ("blend", 0.5))})
        for s in seen
    ]
    real = gain + signal * truth + generator.normal(0, noise, users)
    return choosing.DressRehearsal(judgements, {"personal": real, "blend": real / 2}, np.ones(users))


def test_the_prior_recovers_how_a_signal_turns_into_gain() -> None:
    users = dressed(signal=0.05, gain=0.02)
    prior = choosing.fit_priors(users, np.arange(300))["personal"]
    seen = np.array([judgement.observed["personal"].loglik for judgement in users.judgements])
    slope, intercept = np.polyfit(seen, users.gains["personal"], 1)  # what a regression says without any prior
    for signal in (-1.0, 0.0, 2.0):
        expected = intercept + slope * signal
        assert posterior_gain(prior, 20, 10, Observed(signal, 0.0)) == pytest.approx(expected, abs=0.003)


def test_a_signal_that_means_nothing_is_hardly_believed() -> None:
    prior = choosing.fit_priors(dressed(signal=0.0, gain=0.02), np.arange(300))["personal"]
    assert abs(posterior_gain(prior, 20, 10, Observed(2.0, 0.0)) - 0.02) < 0.01


def test_the_guard_turns_harm_into_gain_where_the_signal_tells() -> None:
    mixed = dressed(signal=0.1, gain=-0.02)
    gain, decisions = choosing.crossfit(mixed, 300, seed=1)[0.0]
    choices = [decision.choice for decision in decisions]
    assert mixed.gains["personal"].mean() < 0 < gain.mean()
    assert 0.2 < choices.count(GLOBAL) / 300 < 0.9


def test_none_wins_unless_the_gain_is_clear() -> None:
    generator = np.random.default_rng(2)
    noise = generator.normal(0.0, 0.1, 200)
    assert choosing.choose({"noise": noise - noise.mean() + 0.005}) is None
    assert choosing.choose({"clear": noise - noise.mean() + 0.05}) == "clear"
    assert choosing.choose({}) is None


def test_of_equally_good_recipes_the_one_that_harms_fewer_wins_then_the_gentler() -> None:
    generator = np.random.default_rng(3)
    common = generator.normal(0.05, 0.02, 100)
    rough = common + np.tile([0.08, -0.08], 50)
    assert choosing.choose({"gentle": common, "rough": rough}) == "gentle"
    assert choosing.choose({"first": common, "second": common.copy()}) == "first"


def test_the_aimed_number_must_gain_for_one_that_is_harmed() -> None:
    generator = np.random.default_rng(3)
    mild = np.abs(generator.normal(0.03, 0.01, 100))
    bold = np.tile([0.25, 0.2, 0.2, -0.1], 25)
    assert bold.mean() > mild.mean()
    assert choosing.choose({"mild": mild, "bold": bold}) == "mild"
    assert choosing.choose({"mild": mild, "bold": bold}, aim=3.0) == "bold", "three times as many gain as are harmed"


def test_nobody_is_made_personal_where_few_gain_for_each_one_harmed() -> None:
    risky = np.concatenate([np.full(35, 0.05), np.full(20, -0.03), np.zeros(145)])
    assert choosing.bound(risky, choosing.CLEAR) > 0, "clearly a gain"
    assert choosing.choose({"risky": risky}) is None
    assert choosing.choose({"risky": risky}, aim=1.5) == "risky", "the configuration asks for less"
    mild = np.concatenate([np.full(40, 0.05), np.full(20, -0.03), np.zeros(140)])
    assert choosing.choose({"risky": risky + 0.001, "mild": mild}) == "mild"


def test_the_best_of_many_useless_recipes_is_not_believed() -> None:
    generator = np.random.default_rng(4)
    gains = {f"r{i}": generator.normal(0, 0.1, 200) for i in range(30)}
    assert abs(choosing.honest_gain(gains, 1).mean()) < max(gain.mean() for gain in gains.values())


def test_the_forecast_is_of_the_recipe_that_devices_get() -> None:
    """Folds must not prefer what hardly gains and harms nobody, which all users together did not find clear."""
    generator = np.random.default_rng(6)
    gentle = np.where(generator.random(200) < 0.03, 0.02, 0.0)
    gentle[0] = -0.009  # less than a harm
    gains = {"gentle": gentle - 0.0002, "bold": generator.normal(0.03, 0.06, 200)}
    assert choosing.bound(gains["gentle"], 0.0) > 0 > choosing.bound(gains["gentle"], choosing.CLEAR)
    assert choosing.choose(gains) == "bold"
    assert choosing.honest_gain(gains, 1).mean() == pytest.approx(gains["bold"].mean())


@pytest.mark.parametrize("ratio", [2.0, 2.2, 2.5])
def test_the_forecast_is_of_that_recipe_also_where_few_gain_for_one_harmed(ratio: float) -> None:
    """Among some of the users the winner is below the limit; the folds must not turn to what gains next to nothing."""
    generator = np.random.default_rng(7)
    gentle = generator.permutation(np.where(np.arange(200) < 4, 0.02, 0.0) - 0.0002)
    gained = round(20 * ratio)
    bold = generator.permutation(np.concatenate([np.full(gained, 0.08), np.full(20, -0.03), np.zeros(180 - gained)]))
    gains = {"gentle": gentle, "bold": bold}
    assert choosing.bound(gentle, 0.0) > 0 > choosing.bound(gentle, choosing.CLEAR)
    assert choosing.choose(gains) == "bold"
    assert choosing.honest_gain(gains, 1).mean() == pytest.approx(bold.mean())


def test_fewest_events_rise_only_where_short_histories_clearly_lose() -> None:
    events = np.repeat([1, 4, 30], 40)
    generator = np.random.default_rng(5)
    losing = np.where(events < 3, -0.1, 0.05) + generator.normal(0, 0.01, 120)
    assert choosing.minimum_events(losing, events) == 3
    assert choosing.minimum_events(np.abs(losing), events) == 1


def test_a_forecast_expects_less_than_was_rehearsed_and_knows_that_periods_differ() -> None:
    gain = np.random.default_rng(6).normal(0.05, 0.1, 5000)
    found = choosing.forecast(gain, np.full(5000, 9), 200, 1)
    for estimate in (found["gain"], found["by_length"][0]["gain"]):
        assert estimate["rehearsed"] == pytest.approx(gain.mean())
        assert estimate["mean"] == pytest.approx(choosing.COMES * gain.mean())
        between = 1.96 * choosing.COMES_SPREAD * gain.mean()
        assert between < estimate["mean"] - estimate["low"] < 1.1 * between, "whoever is asked"
    few = choosing.forecast(gain[:50], np.full(50, 9), 200, 1)["gain"]
    assert few["mean"] - few["low"] > 1.96 * choosing.COMES * gain[:50].std() / np.sqrt(50) * 0.8
    nothing = choosing.forecast(np.zeros(50), np.full(50, 9), 200, 1)["gain"]
    assert (nothing["low"], nothing["mean"], nothing["high"]) == (0.0, 0.0, 0.0)


def test_lines_need_no_users() -> None:
    empty = np.zeros(0)
    assert choosing._fit_line(empty, empty, empty) == Line()
    assert choosing.forecast(empty, np.zeros(0, np.int64), 100, 1)["by_length"] == []
