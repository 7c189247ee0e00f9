# SPDX-License-Identifier: Apache-2.0
"""A training that goes on from an earlier model: rows move by item, nothing that it has learned is lost or leaked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pocketrec.cloud.backbones import build_model, item_embeddings
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.config.training import TrainConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.training.trainer import TrainJob, train
from pocketrec.cloud.training.validation import slice_begin, validation_slice
from pocketrec.cloud.training.warm_start import WarmStart, trained_tensors
from pocketrec.device.base.errors import ConfigError

MODEL = ModelConfig(embedding=8, window=5, tables={"gru": GruOptions(hidden=12, layers=1)})
CONFIG = TrainConfig(epochs=6, batch=8, learning_rate=0.02, validation=0.2, patience=2)
EARLIER = 4  # items of the earlier model
#: The earlier model's row of items 1 to 5: two have changed places, item 3 is new, item 4 of the earlier is gone.
ROWS = np.array([0, 2, 1, 0, 3, 0])


def log(users: int = 30) -> Sequences:
    """Items 1 and 3 are had by the same users, at times 0 to 9; nobody has item 5."""
    items = np.tile([1, 3, 2, 4, 1, 3, 2, 4, 1, 3], users)
    codes, times = np.repeat(np.arange(users), 10), np.tile(np.arange(10), users)
    return Sequences.build(np.array([f"{i:03}" for i in range(users)], dtype=object), codes, items, times)


def start(until: float = 3.0) -> WarmStart:
    return WarmStart("earlier", trained_tensors(build_model(MODEL, EARLIER, 7)), ROWS, until)


def test_rows_move_by_item_and_all_else_is_taken_over() -> None:
    earlier, model = start(), build_model(MODEL, 5, 1)
    fresh = item_embeddings(model)
    before = earlier.weights["item_embedding/embeddings"]
    earlier.give(model, log())
    table = item_embeddings(model)
    for row in (1, 2, 4):
        assert np.array_equal(table[row], before[ROWS[row]])
    assert not table[0].any()
    assert np.array_equal(table[5], fresh[5])  # nobody has had it: as in a model that was just made
    others = {path: value for path, value in trained_tensors(model).items() if not path.startswith("item_embedding")}
    assert others
    assert all(np.array_equal(value, earlier.weights[path]) for path, value in others.items())


def test_a_new_item_starts_between_those_that_its_users_had() -> None:
    earlier, model = start(), build_model(MODEL, 5, 1)
    earlier.give(model, log())
    table = item_embeddings(model)
    # Every user has had items 1, 2 and 4, so all are equally similar.
    assert np.allclose(table[3], table[[1, 2, 4]].mean(0), atol=1e-6)


TWO_LAYERS = dataclasses.replace(MODEL, tables={"gru": GruOptions(hidden=12, layers=2)})


@pytest.mark.parametrize("other", [dataclasses.replace(MODEL, embedding=16), TWO_LAYERS])
def test_other_sizes_are_refused_in_one_line(other: ModelConfig) -> None:
    with pytest.raises(ConfigError, match=r"cannot be gone on from: .* now, and .* there") as raised:
        start().give(build_model(other, 5, 1), log())
    assert "\n" not in str(raised.value)


def test_the_validation_slice_begins_after_what_the_earlier_model_has_learned() -> None:
    times = np.arange(100)
    assert slice_begin(times, 0.1) == slice_begin(times, 0.1, until=50) == 90
    assert slice_begin(times, 0.1, until=95) == 96
    model = build_model(MODEL, 5, 1)
    before, slice_ = validation_slice(model, log(), 0.5, 5, until=7)
    assert slice_ is not None
    assert before.timestamps.max() == 7
    assert len(slice_.where) == 2 * len(log())  # events at 8 and 9


def test_it_takes_part_of_the_epochs_starts_where_the_other_ended_and_is_reproducible(tmp_path: Path) -> None:
    job = TrainJob(MODEL, CONFIG, log(), 5)
    cold = train(job, tmp_path, name="cold")
    rows = np.arange(6)
    earlier = WarmStart("cold", trained_tensors(cold.model), rows, 3.0)
    warm = [train(dataclasses.replace(job, start=earlier), tmp_path, name=name) for name in ("one", "two")]
    searched = [entry for entry in warm[0].history if entry["phase"] == "search"]
    assert len(searched) <= 3 < len(cold.history)
    assert searched[0]["loss"] < cold.history[0]["loss"]
    for one, two in zip(warm[0].model.trainable_variables, warm[1].model.trainable_variables, strict=True):
        assert np.array_equal(one.numpy(), two.numpy())


def test_another_start_is_another_training() -> None:
    job = TrainJob(MODEL, CONFIG, log(), 5)
    keys = {dataclasses.replace(job, start=one).fingerprint() for one in (None, start(), start(until=4.0))}
    assert len(keys) == 3
