from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.config import TrainConfig
from pocketrec.cloud.train_optimizers import learning_rate, make_optimizer


@pytest.mark.parametrize("name", ["adagrad", "rmsprop", "adadelta", "adam", "sgd"])
def test_optimizers_by_name(name: str) -> None:
    """D5: the configuration chooses."""
    optimizer = make_optimizer(TrainConfig(optimizer=name, learning_rate=0.25))
    assert type(optimizer).__name__.lower() == name
    assert float(optimizer.learning_rate) == 0.25
    assert optimizer.global_clipnorm is None


def test_clipping_bounds_the_step() -> None:
    optimizer = make_optimizer(TrainConfig(optimizer="sgd", learning_rate=1.0, clip_norm=2.0))
    variable = tf.keras.Variable(np.zeros(2, np.float32))
    optimizer.build([variable])
    optimizer.apply([tf.constant([30.0, 40.0])], [variable])
    np.testing.assert_allclose(variable.numpy(), [-1.2, -1.6], rtol=1e-5)


def test_decay() -> None:
    config = TrainConfig(learning_rate=0.1)
    assert learning_rate(config, 0.7) == 0.1
    linear, cosine = (dataclasses.replace(config, decay=name) for name in ("linear", "cosine"))
    assert learning_rate(linear, 0) == learning_rate(cosine, 0) == pytest.approx(0.1)
    assert learning_rate(linear, 0.25) == pytest.approx(0.075)
    assert learning_rate(cosine, 0.5) == pytest.approx(0.05)
    assert learning_rate(linear, 1) == pytest.approx(0) == learning_rate(cosine, 1)
