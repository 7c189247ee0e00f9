# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.config import training as config
from pocketrec.cloud.config.training import TrainConfig
from pocketrec.cloud.training.optimizers import Updater, learning_rate, make_optimizer
from pocketrec.cloud.training.row_optimizers import RowOptimizer, summed


@pytest.mark.parametrize("name", tuple(config.OPTIMIZERS))
def test_optimizers_by_name(name: str) -> None:
    """D5: the configuration chooses."""
    optimizer = make_optimizer(TrainConfig(optimizer=name, learning_rate=0.25))
    assert type(optimizer).__name__.lower() == name
    assert float(optimizer.learning_rate) == 0.25
    assert optimizer.global_clipnorm is None


def slices(rows: list[int], values: np.ndarray, size: int = 5) -> tf.IndexedSlices:
    return tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(rows), tf.constant([size, values.shape[1]]))


@pytest.mark.parametrize("name", tuple(config.OPTIMIZERS))
def test_rows_that_are_always_there_move_as_in_keras(name: str) -> None:
    start = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    table, dense = tf.Variable(start), keras.Variable(start)
    rows, whole = RowOptimizer(config.OPTIMIZERS.load(name).rows, [table]), make_optimizer(TrainConfig(optimizer=name))
    whole.build([dense])
    whole.learning_rate.assign(0.1)
    for step in range(1, 6):
        gradient = np.random.default_rng(step).normal(size=(5, 3)).astype(np.float32)
        rows.apply([slices([4, 2, 0, 1, 3], gradient[[4, 2, 0, 1, 3]])], tf.constant(0.1), tf.constant(float(step)))
        whole.apply([tf.constant(gradient)], [dense])
    np.testing.assert_allclose(table.numpy(), np.array(dense), rtol=2e-5, atol=1e-6)
    rows.reset()
    fresh = RowOptimizer(config.OPTIMIZERS.load(name).rows, [table])
    assert all(np.array_equal(a, b) for a, b in zip(rows.variables, fresh.variables, strict=True))


@pytest.mark.parametrize("name", tuple(config.OPTIMIZERS))
def test_other_rows_and_their_slots_are_left_alone(name: str) -> None:
    """Lazy Adam: a row that has no gradient does not move, though its moments are not zero."""
    table = tf.Variable(tf.ones([5, 2]))
    rows = RowOptimizer(config.OPTIMIZERS.load(name).rows, [table])
    rows.apply([slices([1, 3], np.ones((2, 2)))], tf.constant(0.1), tf.constant(1.0))
    before = [np.array(part) for part in (table, *rows.variables)]
    assert (before[0][[1, 3]] < 1).all()
    assert (before[0][[0, 2, 4]] == 1).all()
    rows.apply([slices([3], np.ones((1, 2)))], tf.constant(0.1), tf.constant(2.0))
    for old, new in zip(before, (table, *rows.variables), strict=True):
        np.testing.assert_array_equal(np.delete(old, 3, 0), np.delete(np.array(new), 3, 0))
        assert not np.array_equal(old[3], np.array(new)[3])


def test_rows_that_come_twice_are_summed() -> None:
    got = summed(slices([4, 1, 4], np.array([[1.0, 2.0], [5.0, 5.0], [3.0, 0.0]])))
    assert got.indices.numpy().tolist() == [4, 1]
    assert got.values.numpy().tolist() == [[4, 2], [5, 5]]


def test_clipping_is_by_the_norm_of_all_gradients_together() -> None:
    """Dense 30 and 40; a row of a table that comes twice, with 0 and 120 in all: norm 130."""
    dense, table = keras.Variable(np.zeros(2, np.float32)), keras.Variable(np.zeros((5, 2), np.float32))
    config = TrainConfig(optimizer="sgd", clip_norm=13.0)
    updater = Updater(config, [dense, table], [table.value])
    sparse = slices([2, 2], np.array([[0.0, 100.0], [0.0, 20.0]]))
    assert updater.sources[0] is dense.value
    assert updater.sources[1] is table.value
    updater.apply([tf.constant([30.0, 40.0]), sparse], tf.constant(1.0))
    np.testing.assert_allclose(dense.numpy(), [-3, -4], rtol=1e-5)
    np.testing.assert_allclose(table.numpy()[2], [0, -12], rtol=1e-5)


def test_schedules() -> None:
    config = TrainConfig(learning_rate=0.1)
    assert learning_rate(config, 0.7) == 0.1
    linear, cosine = (dataclasses.replace(config, decay=name) for name in ("linear", "cosine"))
    assert learning_rate(linear, 0) == learning_rate(cosine, 0) == pytest.approx(0.1)
    assert learning_rate(linear, 0.25) == pytest.approx(0.075)
    assert learning_rate(cosine, 0.5) == pytest.approx(0.05)
    assert learning_rate(linear, 1) == pytest.approx(0) == learning_rate(cosine, 1)
    warm = dataclasses.replace(linear, warmup=0.2)
    assert [learning_rate(warm, done) for done in (0, 0.1, 0.2, 0.5)] == pytest.approx([0, 0.045, 0.08, 0.05])
