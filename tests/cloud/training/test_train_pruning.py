# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_train import CONFIG, ITEMS, MODEL, StoppedError, cycles, same, weights

from pocketrec.cloud.backbones import backbone, build_model, load_model
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.config.training import PruneConfig
from pocketrec.cloud.training import trainer as training
from pocketrec.cloud.training.pruning import Pruner, is_due, pruned_tensors, sparsity
from pocketrec.cloud.training.trainer import TrainJob, train
from pocketrec.device.base.errors import ConfigError

PRUNE = PruneConfig(enabled=True, every=2)


def zeros(model: keras.Model) -> dict[str, float]:
    """Share of exact zeros of each tensor of the GRU layers and FC."""
    layers = [layer for layer in model.layers if layer.name.startswith(("gru", "fc"))]
    return {f"{layer.name}/{v.name}": float((np.array(v) == 0).mean()) for layer in layers for v in layer.weights}


def test_sparsity_follows_the_cubic_schedule() -> None:
    """D8: s_f + (s_i - s_f) (1 - t)^3, .05 -> .70."""
    config = PruneConfig(begin=0.2, end=0.6)
    assert sparsity(config, 0.19) == 0
    assert sparsity(config, 0.2) == pytest.approx(0.05)
    assert sparsity(config, 0.4) == pytest.approx(0.7 - 0.65 / 8)
    assert sparsity(config, 0.6) == sparsity(config, 1.0) == pytest.approx(0.7)
    assert [is_due(config, step, 0.3) for step in (19, 20, 21)] == [False, True, False]
    assert not is_due(config, 20, 0.1)


def test_the_smallest_are_pruned_and_stay_so() -> None:
    tensor = tf.Variable([[0.3, -0.1, 0.2], [-0.5, 0.4, 0.0]])
    pruner = Pruner([tensor])
    pruner.after_step(tf.constant(-1.0))
    assert pruner.masks[0].numpy().all()
    pruner.after_step(tf.constant(0.5))
    np.testing.assert_allclose(tensor, [[0.3, 0, 0], [-0.5, 0.4, 0]])
    tensor.assign(tf.ones([2, 3]))  # what an optimizer may do
    pruner.after_step(tf.constant(-1.0))
    np.testing.assert_allclose(tensor, [[1, 0, 0], [1, 1, 0]])
    pruner.reset()
    assert pruner.masks[0].numpy().all()


def test_tensors_are_chosen_by_name() -> None:
    config = ModelConfig(embedding=4, tables={"gru": GruOptions(layers=2, hidden=6)})
    model, layers = build_model(config, ITEMS, 1), backbone("gru").layers(config)

    def shapes(*names: str) -> list[tuple[int, ...]]:
        return [tuple(v.shape) for v in pruned_tensors(model, layers, PruneConfig(tensors=list(names)))]

    assert shapes("kernel", "recurrent_kernel") == [(4, 18), (6, 18), (6, 18), (6, 18)]
    assert shapes("recurrent_kernel", "fc") == [(6, 18), (6, 18), (6, 4)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train(TrainJob(MODEL, CONFIG, cycles(), ITEMS, prune=PRUNE, seed=5), tmp_path_factory.mktemp("pruned"))


def test_the_saved_model_has_exact_zeros_in_the_kernels_alone(whole: Any) -> None:
    shares = zeros(load_model(whole.path))
    assert shares.pop("gru_1/kernel") == pytest.approx(0.7, abs=0.005)
    assert shares.pop("gru_1/recurrent_kernel") == pytest.approx(0.7, abs=0.005)
    assert all(share < 0.1 for share in shares.values())
    assert {entry["phase"] for entry in whole.history} == {"search", "final"}


def test_masks_hold_in_every_epoch_and_grow(tmp_path: Path) -> None:
    seen: list[np.ndarray] = []

    def watch(model: keras.Model, entry: dict[str, Any]) -> bool:
        seen.append(np.array(model.get_layer("gru_1").cell.kernel) == 0)
        return False

    config = dataclasses.replace(CONFIG, epochs=6, validation=0.0)
    train(TrainJob(MODEL, config, cycles(), ITEMS, prune=PRUNE), tmp_path, watch=watch)
    shares = [zero.mean() for zero in seen]
    assert 0.05 < shares[0] < shares[2] < shares[-1] == pytest.approx(0.7, abs=0.005)
    for before, after in itertools.pairwise(seen):
        assert after[before].all()  # once pruned, pruned permanently


@pytest.mark.long
def test_broken_off_and_resumed_it_ends_with_the_same_bits(
    whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_STEPS", 2)
    config = dataclasses.replace(CONFIG, checkpoint_minutes=1e-9)
    calls = 0

    def stop(done: int, total: int, note: str = "") -> None:
        nonlocal calls
        calls += 1
        if "final" in note and calls % 7 == 0:
            raise StoppedError

    broken = 0
    for _ in range(30):
        try:
            train(TrainJob(MODEL, config, cycles(), ITEMS, prune=PRUNE, seed=5), tmp_path, progress=stop)
            break
        except StoppedError:
            broken += 1
    assert broken >= 2
    model = load_model(tmp_path / "model.keras")
    assert same(weights(model), weights(whole.model))


def test_without_a_known_number_of_epochs_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"set train\.refit = true"):
        train(TrainJob(MODEL, dataclasses.replace(CONFIG, refit=False), cycles(), ITEMS, prune=PRUNE), tmp_path)
