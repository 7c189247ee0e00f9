# SPDX-License-Identifier: Apache-2.0
"""Files whose ranker of a second stage trains: user embeddings are made once, and steps take them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pocketrec.device.contract.recipe import GuardRecipe, Prior, Recipe
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.engine.model import Model
from pocketrec.device.engine.two_stages import with_ranked
from pocketrec.device.personal.guard import judge
from pocketrec.device.personal.options import Course, StoppedError, TrainingOptions
from pocketrec.device.personal.personalise import personalise
from pocketrec.device.personal.training import evaluate_targets, fine_tune, steps_of
from pocketrec.device.personal.windows import context, log_uniform, training_windows

pytestmark = pytest.mark.runtime

ROWS = np.random.default_rng(3).integers(1, 60, 50).astype(np.int32)
RECIPE = Recipe(
    way="ranker", optimizer="adagrad", learning_rate=0.1, passes=3, guard=GuardRecipe(enabled=False), minimum_events=2
)


@pytest.fixture
def ranker(made: Path) -> Model:
    model = open_bundle(made.with_name(made.name + ".ranked")).load_model()
    if not model.positions:
        pytest.skip("the ready bundle is of before steps took user embeddings: make it again (tests/make_bundle.py)")
    return model


def test_a_step_takes_user_embeddings_of_windows(ranker: Model) -> None:
    """Each is what `embed` gives of the window up to there; all targets are there once, in order, spread evenly."""
    assert (ranker.positions, ranker.batch, ranker.window, ranker.targets) == (8, 4, 6, 6)
    items, targets = training_windows(ROWS, 4, 6, 4)
    users, rows = ranker.steps(items, targets)
    assert users.shape == (6, 8, 8)
    np.testing.assert_array_equal(rows[rows > 0], ROWS[4:])
    assert (rows > 0).sum(axis=1).tolist() == [8, 8, 8, 8, 7, 7]
    prefixes = [context(line[: place + 1], 6) for line, wanted in zip(items.reshape(-1, 6), targets.reshape(-1, 6),
                                                                       strict=True)
                for place in np.flatnonzero(wanted)]  # fmt: skip
    np.testing.assert_allclose(users[rows > 0], [ranker.embed(one) for one in prefixes], atol=1e-5)
    with pytest.raises(ValueError, match=r"train: user_embeddings must be float32 \[8, 8\], not int32 \[8, 6\]"):
        ranker.train(np.resize(items[0], (8, 6)), rows[0], 0.1, negatives=np.ones(16, np.int32))


def test_other_files_take_windows(model: Model) -> None:
    pair = training_windows(ROWS, 4, model.window, model.batch)
    assert model.steps(*pair) == pair
    assert not model.positions
    with pytest.raises(ValueError, match="no signature embed_windows: its train steps take windows"):
        model.embed_windows(pair[0][0])


def test_loss_and_rank_are_those_of_the_scores_of_rank(ranker: Model) -> None:
    loss, rank = evaluate_targets(ranker, ROWS, 44)
    assert len(loss) == 6
    negatives = log_uniform(16, 60, 20210419, 0)

    def logits(window: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return ranker.rank(window, rows) - np.log(np.log1p(1 / rows)).astype(np.float32)

    items, targets = training_windows(ROWS, 44, 6, 4, 3)
    counted = [(line, place, wanted[place]) for line, wanted in zip(items[0], targets[0], strict=True)
               for place in np.flatnonzero(wanted)]  # fmt: skip
    for number, (line, place, own) in enumerate(counted):
        window = context(line[: place + 1], 6)
        others = logits(window, negatives[negatives != own])
        mine = logits(window, np.array([own], np.int32))[0]
        expected = np.logaddexp.reduce(np.append(others, mine).astype(np.float64)) - mine
        assert loss[number] == pytest.approx(expected, abs=1e-4)
        assert rank[number] == 1 + (others >= mine).sum()


def test_steps_are_counted_by_targets_with_those_that_are_replayed(ranker: Model) -> None:
    assert steps_of(ranker, ROWS, 10, 1) == 5  # 40 targets, 8 a step
    assert steps_of(ranker, ROWS, 10, 2, share=0.25, replay_from=0) == 14  # and two windows of 6 older ones


def test_a_stopped_training_goes_on_to_the_same_bits(ranker: Model) -> None:
    start = ranker.export_weights()
    fine_tune(ranker, ROWS, 10, RECIPE)
    whole = ranker.export_weights()
    ranker.import_weights(start)
    course, asked = Course(), []
    with pytest.raises(StoppedError):
        fine_tune(ranker, ROWS, 10, RECIPE, course=course,
                  options=TrainingOptions(stop=lambda: asked.append(1) or ("now" if asked[7:] else "")))  # fmt: skip
    assert course.done == 7
    fine_tune(ranker, ROWS, 10, RECIPE, course=course)
    again = ranker.export_weights()
    for name, value in whole.items():
        np.testing.assert_array_equal(again[name], value)
        assert not np.array_equal(start[name], value), name


def test_a_person_is_trained_and_judged_by_both_stages(ranker: Model) -> None:
    """The guard sees what the ranker changes, with a bonus for repeats too, which is added to the ranker's scores."""
    reference = ranker.export_weights()
    outcome = personalise(ranker, ROWS, 10, RECIPE, reference)
    assert outcome.decision.choice == "personal"
    assert outcome.losses[-1] < outcome.losses[0]
    prior = {"personal": Prior()}
    for repeats in (Repeats(), Repeats(strength=0.5, decay=1.0, power=1.0)):
        recipe = dataclasses.replace(RECIPE, guard=GuardRecipe(prior=prior), repeats=repeats)
        seen = judge(ranker, ROWS, 10, recipe, reference).observed["personal"]
        assert seen.loglik != 0.0
    ranker.import_weights(reference)
    window = context(ROWS[:49], 6)
    scores = ranker.reordered(window, ranker.scores(ranker.embed(window)), ROWS[:49])
    loss, rank = evaluate_targets(ranker, ROWS, 49, Repeats())
    assert rank[0] == (scores[1:] >= scores[ROWS[49]]).sum()
    assert loss[0] == pytest.approx(np.logaddexp.reduce(scores[1:].astype(np.float64)) - scores[ROWS[49]], abs=1e-5)


def test_what_is_found_comes_by_the_ranker_and_all_else_behind(ranker: Model) -> None:
    history = np.array([7, 59, 7], np.int32)
    window = context(history, 6)
    plain = ranker.scores(ranker.embed(window))
    scores = ranker.reordered(window, plain, history)
    found, _ = ranker.retrieve(window)
    inside = np.union1d(found, history)
    np.testing.assert_allclose(scores[inside], ranker.rank(window, inside), atol=1e-6)
    outside = np.setdiff1d(np.arange(1, 61), inside)
    assert scores[outside].max() <= scores[inside].min()


def test_rows_that_were_not_ranked_again_stay_behind_in_their_order() -> None:
    scores = np.array([0, 5, 4, 3, -9, 2], np.float32)
    found = with_ranked(scores, np.array([1, 2]), np.array([-7.0, 1.0], np.float32))
    assert found.tolist() == [-7, -7, 1, -7, -9, -7]
