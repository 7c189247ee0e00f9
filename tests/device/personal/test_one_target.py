# SPDX-License-Identifier: Apache-2.0
"""Models that see both sides of an event: a window for each target, so that none is lost and none is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketrec.device.contract.recipe import GuardRecipe, Recipe
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.engine.model import Model
from pocketrec.device.personal.personalise import personalise
from pocketrec.device.personal.training import evaluate_targets, fine_tune, steps_of
from pocketrec.device.personal.windows import context

ROWS = np.random.default_rng(3).integers(1, 60, 30).astype(np.int32)
RECIPE = Recipe(
    way="partial", optimizer="adagrad", learning_rate=0.1, passes=3, guard=GuardRecipe(enabled=False), minimum_events=2
)


@pytest.fixture
def cloze(made: Path) -> Model:
    folder = made.with_name(made.name + ".cloze")
    if not folder.is_dir():
        pytest.skip("the ready bundle is of before there were such models: make it again (tests/make_bundle.py)")
    bundle = open_bundle(folder)
    assert bundle.manifest.model["causal"] is False
    return bundle.load_model()


def test_its_file_says_that_a_window_has_one_target(cloze: Model, model: Model) -> None:
    assert (cloze.targets, cloze.window) == (1, 6)
    assert (model.targets, model.window) == (6, 6)
    with pytest.raises(ValueError, match=r"train: targets must be int32 \[4, 1\], not int32 \[4, 6\]"):
        cloze.train(np.ones((4, 6), np.int32), np.ones((4, 6), np.int32), 0.1)


def test_every_target_is_judged_from_its_own_past_alone(cloze: Model) -> None:
    """Loss and rank are those of the scores after the events before it."""
    loss, rank = evaluate_targets(cloze, ROWS, 4)
    assert len(loss) == len(rank) == 26
    for place in range(4, 30):
        scores = cloze.scores(cloze.embed(context(ROWS[:place], 6)))
        own = scores[ROWS[place]]
        assert rank[place - 4] == (scores[1:] >= own).sum()
        assert loss[place - 4] == pytest.approx(np.logaddexp.reduce(scores[1:].astype(np.float64)) - own, abs=1e-4)


def test_training_takes_a_window_for_each_target_and_what_is_replayed(cloze: Model) -> None:
    assert steps_of(cloze, ROWS, 10, 1) == 5  # 20 targets, 4 a step
    assert steps_of(cloze, ROWS, 10, 2, share=0.25, replay_from=0) == 14  # and 5 older ones
    before, _ = evaluate_targets(cloze, ROWS, 10)
    losses = fine_tune(cloze, ROWS, 10, RECIPE)
    after, _ = evaluate_targets(cloze, ROWS, 10)
    assert losses[-1] < losses[0]
    assert after.mean() < before.mean()


def test_a_person_is_trained_and_judged(cloze: Model) -> None:
    reference = cloze.export_weights()
    outcome = personalise(cloze, ROWS, 10, RECIPE, reference)
    assert outcome.decision.choice == "personal"
    assert len(outcome.losses) == 3
    assert any(not np.array_equal(outcome.weights[name], reference[name]) for name in reference)
    guarded = personalise(cloze, ROWS, 10, Recipe(**{**vars(RECIPE), "guard": GuardRecipe()}), reference)
    assert guarded.decision.judgement is not None
    assert guarded.decision.judgement.heldback > 0
