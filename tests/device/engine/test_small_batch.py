# SPDX-License-Identifier: Apache-2.0
"""A step of few windows takes the small batch of the file, and gives what the whole batch gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loyal import loyal

from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract import names as contract
from pocketrec.device.contract.recipe import GuardRecipe, Recipe
from pocketrec.device.delivery.bundle import Bundle
from pocketrec.device.engine.model import Model
from pocketrec.device.engine.signatures import cut_to_small
from pocketrec.device.personal.personalise import personalise
from pocketrec.device.personal.windows import log_uniform, training_windows

pytestmark = pytest.mark.runtime
RECIPE = Recipe(learning_rate=0.1, passes=4, proximal=0.05, guard=GuardRecipe(threshold=-9.0))
GOLDEN = Path(__file__).resolve().parents[2] / "golden"


@pytest.fixture
def run(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the signatures that the model runs, as they are run."""
    names: list[str] = []
    called = model._run

    def noted(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        names.append(name)
        return called(name, inputs)

    monkeypatch.setattr(model, "_run", noted)
    return names


def few(model: Model, windows: int) -> tuple[np.ndarray, np.ndarray]:
    """A step of so many windows."""
    rows = loyal(1 + windows * model.window)
    items, targets = training_windows(rows, 1, model.window, model.batch, targets=model.targets)
    assert len(items) == 1
    return items[0], targets[0]


def test_the_bundle_has_a_small_batch(model: Model, bundle: Bundle) -> None:
    assert 0 < model.small < model.batch
    assert bundle.manifest.model["small_batch"] == model.small


def test_few_windows_are_trained_and_judged_as_by_the_whole_batch(model: Model, run: list[str]) -> None:
    """An event in the last row that nothing follows changes nothing but the batch that is taken."""
    start, found = model.export_weights(), []
    for whole in (False, True):
        items, targets = few(model, model.small)
        items[-1, 0] = whole
        model.import_weights(start)
        run.clear()
        loss, rank = model.evaluate(items, targets)
        losses = [model.train(items, targets, 0.1, 0.05) for _ in range(12)]
        assert set(run) == ({"train", "evaluate"} if whole else {"train_small", "evaluate_small"})
        assert loss.shape == rank.shape == targets.shape
        assert (rank > 0).tolist() == (targets > 0).tolist()
        assert losses[-1] < losses[0]
        found.append((loss, rank, np.array(losses), model.export_weights()))
    one, two = found
    np.testing.assert_allclose(one[0], two[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(one[1], two[1])
    np.testing.assert_allclose(one[2], two[2], rtol=1e-5)
    for name, value in two[3].items():
        np.testing.assert_allclose(one[3][name], value, atol=2e-4, err_msg=name)


def test_of_the_sampled_softmax_too(made: Path) -> None:
    model = Model(made.with_name(made.name + ".sampled.tflite"), items=60)
    found = []
    start = model.export_weights()
    drawn = log_uniform(model.negatives, model.items, 1, 2)
    assert model.small
    for whole in (False, True):
        items, targets = few(model, 1)
        items[-1, 0] = whole
        model.import_weights(start)
        loss, rank = model.evaluate(items, targets, drawn)
        found.append((loss, rank, [model.train(items, targets, 0.1, 0.0, drawn) for _ in range(5)]))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_one_window_more_takes_the_whole_batch(model: Model, run: list[str]) -> None:
    items, targets = few(model, model.small + 1)
    model.train(items, targets, 0.1)
    model.evaluate(items, targets)
    assert run == ["train", "evaluate"]


def test_a_person_gets_the_same_with_and_without(model: Model, run: list[str]) -> None:
    """Guard, decision and weights; without, the file is one of before."""
    rows, start, found = loyal(1 + 2 * model.window), model.export_weights(), []
    for small in (model.small, 0):
        model.small = small
        run.clear()
        found.append(personalise(model, rows, 0, RECIPE, start))
        assert {"train_small", "train"} & set(run) == {"train_small" if small else "train"}
    one, two = found
    assert one.decision.choice == two.decision.choice != "global"
    assert one.losses == pytest.approx(two.losses, rel=1e-4)
    assert one.decision.posterior == pytest.approx(two.decision.posterior, abs=1e-5)
    for name, value in two.weights.items():
        np.testing.assert_allclose(one.weights[name], value, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("row", [-1, 10**6])
@pytest.mark.parametrize("place", [0, -1])
def test_a_wrong_row_is_refused_wherever_it_stands(model: Model, row: int, place: int) -> None:
    for call in (lambda *pair: model.train(*pair, 0.1), model.evaluate):
        for wrong in range(2):
            pair = few(model, 1)
            pair[wrong][place, 0] = row
            with pytest.raises(ValueError, match=f"holds {row}, and items are numbered"):
                call(*pair)


def test_what_the_whole_batch_refuses_is_left_to_it() -> None:
    takes = {contract.ITEMS: ((4, 3), np.dtype(np.int32)), contract.TARGETS: ((4, 3), np.dtype(np.int32))}
    for items in (np.zeros((5, 3), np.int32), np.zeros((4, 3)), np.zeros(3, np.int32), [[1, 2, 3]]):
        given = {contract.ITEMS: items, contract.TARGETS: np.zeros((4, 3), np.int32)}
        assert cut_to_small(contract.TRAIN, given, 2, takes) == contract.TRAIN
        assert given[contract.ITEMS] is items


def test_a_bundle_of_before_has_none() -> None:
    model = Model(GOLDEN / "bundle" / "model.tflite")
    items, targets = few(model, 1)
    assert model.small == 0
    assert model.train(items, targets, 0.1) > 0


@pytest.mark.parametrize("name", [contract.TRAIN_SMALL, contract.EVALUATE_SMALL])
def test_a_small_batch_of_other_sizes_is_refused(model: Model, name: str) -> None:
    shape, kind = model._inputs[name][contract.ITEMS]
    for other in ((shape[0] + 1, shape[1]), (model.batch, shape[1]), (shape[0], shape[1] + 1)):
        model._inputs[name][contract.ITEMS] = other, kind
        with pytest.raises(BundleError, match=r"takes (items|targets) of another shape than train: export"):
            model._small_batch()


def test_a_training_that_was_stopped_continues_to_the_same_bits(model: Model, run: list[str]) -> None:
    from pocketrec.device.personal.options import Start, TrainingOptions

    rows, start = loyal(1 + 2 * model.window), model.export_weights()
    whole = personalise(model, rows, 0, RECIPE, start)
    asked: list[int] = []

    def stop() -> str:
        asked.append(1)
        return "enough" if len(asked) == 3 else ""

    halted = personalise(model, rows, 0, RECIPE, start, options=TrainingOptions(stop=stop))
    assert halted.paused is not None
    again = personalise(model, rows, 0, RECIPE, start, dataclasses.replace(Start(), paused=halted.paused))
    assert "train_small" in run
    for name, value in whole.weights.items():
        np.testing.assert_array_equal(again.weights[name], value)
