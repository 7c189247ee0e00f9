# SPDX-License-Identifier: Apache-2.0
"""Which trainings go on after the first round, and that a rehearsal in two rounds chooses as one in a single round."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from test_rehearse import GRID, TWO, log, variants  # noqa: F401 - a fixture

from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.rehearse import RehearseConfig
from pocketrec.cloud.rehearsal import halving
from pocketrec.cloud.rehearsal.halving import EVERY, KEPT, pays, survivors, trainings_of
from pocketrec.cloud.rehearsal.rehearse import RehearseJob, Trial, Variant, grid, rehearse

WIDE = RehearseConfig(repeats=[0.0, 2.0])


def lines(trials: list[Trial], worth: dict[Trial, float]) -> list[dict[str, dict[str, list[float]]]]:
    """A first round in which every user gains what a recipe is worth, less a little."""
    noise = np.random.default_rng(1).normal(0, 1e-6, 20)
    return [{"gain": {trial.name: [worth.get(trial, -1.0) + error, 0.0] for trial in trials}} for error in noise]


def test_the_default_grid_learns_gently_and_from_all_events() -> None:
    trials = grid(RehearseConfig())
    assert min(trial.learning_rate for trial in trials) == 0.0005
    assert {trial.targets for trial in trials} == {"later", "all"}
    trainings = len(trainings_of(trials))
    assert trainings / EVERY + KEPT < 8, "fewer trainings a user than the grid of two rates and one round had"


def test_few_users_or_few_trainings_play_everything() -> None:
    trials = grid(WIDE)
    assert pays(trials, 200)
    assert not pays(trials, 40)
    assert not pays(grid(dataclasses.replace(WIDE, ways=["head"], learning_rates=[0.02])), 200)


def test_the_best_trainings_go_on_and_all_that_trains_nothing() -> None:
    trials = grid(WIDE)
    trainings = trainings_of(trials)
    order = list(np.random.default_rng(3).permutation(len(trainings)))
    alone, both = trainings[order[0]], trainings[order[1]]
    worth = {t: -0.5 - order.index(trainings.index(t.run)) / 100 for t in trials if t.passes}
    worth |= {t: 0.1 for t in trials if t.passes and t.run == alone and not t.repeats.strength}
    worth |= {t: 0.2 for t in trials if t.passes and t.run == both and t.repeats.strength}
    kept = survivors(trials, lines(trials, worth))
    assert {trial.run for trial in kept if trial.passes} == {trainings[place] for place in order[:KEPT]}
    assert [trial for trial in kept if not trial.passes] == [trial for trial in trials if not trial.passes]
    assert [trial for trial in trials if trial in kept] == kept, "in the order of the grid"


def test_where_the_bonus_makes_all_alike_the_best_training_alone_stays() -> None:
    trials = grid(WIDE)
    weak = trainings_of(trials)[-1]
    worth = {t: 0.2 if t.repeats.strength else -0.2 for t in trials if t.passes and t.run != weak}
    worth |= {t: -0.1 for t in trials if t.passes and t.run == weak}
    assert weak in {trial.run for trial in survivors(trials, lines(trials, worth))}


@pytest.mark.long
def test_a_rehearsal_in_two_rounds_chooses_the_same(
    variants: dict[tuple[str, str], Variant], tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:
    config = dataclasses.replace(GRID, passes=[12], users=24)
    parts = log(loyal=True, users=24)
    whole = rehearse(RehearseJob(*parts, variants, config, EvaluateConfig(bootstrap=50)), tmp_path / "one",
                     resources=TWO)  # fmt: skip
    monkeypatch.setattr(halving, "_LEAST", 0)
    monkeypatch.setattr(halving, "KEPT", 2)
    folder = tmp_path / "two"
    halved = rehearse(RehearseJob(*parts, variants, config, EvaluateConfig(bootstrap=50)), folder,
                      resources=TWO)  # fmt: skip
    for key in ("way", "learning_rate", "passes", "targets", "repeats"):
        assert halved[key] == whole[key]
    rows = json.loads((folder / "rehearsal.json").read_text())["trials"]
    assert sorted({row["screened"] for row in rows}) == [6, 24]
    assert sum(row["screened"] == 24 for row in rows) == 2
    assert len((folder / "screening-first.jsonl").read_text().splitlines()) == 1 + 6
