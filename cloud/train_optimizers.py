"""Optimisers by name, and the learning-rate schedule."""

from __future__ import annotations

import math

import keras

from pocketrec.cloud.config import TrainConfig

_OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "adagrad": keras.optimizers.Adagrad,
    "rmsprop": keras.optimizers.RMSprop,
    "adadelta": keras.optimizers.Adadelta,
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
}


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """The Keras optimizer that the configuration names."""
    cls = _OPTIMIZERS[config.optimizer]
    return cls(learning_rate=config.learning_rate, global_clipnorm=config.clip_norm or None)


def learning_rate(config: TrainConfig, done: float) -> float:
    """The rate at a point of the training.

    Args:
        config: names the schedule.
        done: share of the planned epochs that is behind, in [0, 1].
    """
    if config.decay == "linear":
        return config.learning_rate * (1 - done)
    if config.decay == "cosine":
        return config.learning_rate * (1 + math.cos(math.pi * done)) / 2
    return config.learning_rate
