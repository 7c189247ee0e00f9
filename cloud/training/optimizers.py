"""Optimisers by name, the learning-rate schedule, and one update of all variables.

A gradient that has rows for some items only (`tf.IndexedSlices`, from losses over negatives) goes to `train_rows`,
everything else to the Keras optimizer of the same name; clipping is by the norm of all gradients together. This module
knows nothing about losses or batches.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from pocketrec.cloud.config.training import TrainConfig
from pocketrec.cloud.training.row_optimizers import RowOptimizer, summed

_OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "adagrad": keras.optimizers.Adagrad,
    "rmsprop": keras.optimizers.RMSprop,
    "adadelta": keras.optimizers.Adadelta,
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
}


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """The Keras optimizer that the configuration names, without clipping."""
    return _OPTIMIZERS[config.optimizer](learning_rate=config.learning_rate)


def learning_rate(config: TrainConfig, done: float) -> float:
    """The rate at a point of the training.

    Args:
        config: names the schedule.
        done: share of the planned epochs that is behind, in [0, 1].
    """
    rate = config.learning_rate * min(1.0, done / config.warmup if config.warmup else 1.0)
    if config.decay == "linear":
        return rate * (1 - done)
    if config.decay == "cosine":
        return rate * (1 + math.cos(math.pi * done)) / 2
    return rate


class Updater:
    """Applies gradients.

    Args:
        config: optimizer and clipping.
        variables: the model's trainable Keras variables.
        tables: those among them whose gradients are `tf.IndexedSlices`; [] where all are dense.
    """

    def __init__(self, config: TrainConfig, variables: list[Any], tables: list[tf.Variable]) -> None:
        self.config = config
        self.tables = [v.value for v in variables if any(v.value is table for table in tables)]
        self.dense = [v for v in variables if all(v.value is not table for table in tables)]
        self.optimizer = make_optimizer(config)
        self.optimizer.build(self.dense)
        self.rows = RowOptimizer(config.optimizer, self.tables)

    @property
    def sources(self) -> list[tf.Variable]:
        """What gradients are taken with respect to, in the order that `apply` wants them."""
        return [*(variable.value for variable in self.dense), *self.tables]

    @property
    def variables(self) -> list[Any]:
        """All state: slots, and the number of steps."""
        return [*(variable.value for variable in self.optimizer.variables), *self.rows.variables]

    def reset(self) -> None:
        """State as at the start."""
        fresh = make_optimizer(self.config)
        fresh.build(self.dense)
        for variable, value in zip(self.optimizer.variables, fresh.variables, strict=True):
            variable.assign(value)
        self.rows.reset()

    def apply(self, gradients: list[Any], rate: tf.Tensor) -> None:
        """One update at this rate, with the gradients of `sources`."""
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients[: len(self.dense)]]
        sparse = [summed(gradient) for gradient in gradients[len(self.dense) :]]
        if self.config.clip_norm:
            clipped, _ = tf.clip_by_global_norm([*dense, *sparse], self.config.clip_norm)
            dense, sparse = clipped[: len(dense)], clipped[len(dense) :]
        self.optimizer.learning_rate.assign(rate)
        self.optimizer.apply(dense, self.dense)
        self.rows.apply(sparse, rate, tf.cast(self.optimizer.iterations, tf.float32))
