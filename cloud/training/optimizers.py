# SPDX-License-Identifier: Apache-2.0
"""Optimisers by name, the learning-rate schedule, and one update of all variables.

A gradient that has rows for some items only (`tf.IndexedSlices`, from losses over negatives) goes to `train_rows`,
everything else to the Keras optimizer of the same name; clipping is by the norm of all gradients together. This module
knows nothing about losses or batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import keras
import tensorflow as tf

from pocketrec.cloud.config.training import DECAYS, OPTIMIZERS, TrainConfig
from pocketrec.cloud.training import row_optimizers
from pocketrec.cloud.training.row_optimizers import RowOptimizer, summed


@dataclass(frozen=True)
class Optimizer:
    """A line's target in the table of optimizers (`pocketrec.cloud.config.training.OPTIMIZERS`)."""

    dense: type[keras.optimizers.Optimizer]
    """For gradients of whole tensors."""
    rows: row_optimizers.RowRule
    """The same rule for gradients of few rows of a table."""


ADAGRAD: Final = Optimizer(keras.optimizers.Adagrad, row_optimizers.ADAGRAD)
RMSPROP: Final = Optimizer(keras.optimizers.RMSprop, row_optimizers.RMSPROP)
ADADELTA: Final = Optimizer(keras.optimizers.Adadelta, row_optimizers.ADADELTA)
ADAM: Final = Optimizer(keras.optimizers.Adam, row_optimizers.ADAM)
SGD: Final = Optimizer(keras.optimizers.SGD, row_optimizers.SGD)


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """The Keras optimizer that the configuration names, without clipping."""
    return OPTIMIZERS.load(config.optimizer).dense(learning_rate=config.learning_rate)


def learning_rate(config: TrainConfig, done: float) -> float:
    """The rate at a point of the training.

    Args:
        config: names the schedule.
        done: share of the planned epochs that is behind, in [0, 1].
    """
    rate = config.learning_rate * min(1.0, done / config.warmup if config.warmup else 1.0)
    return float(rate * DECAYS.load(config.decay)(done))


def constant(_done: float) -> float:
    """Share of the rate at a point of the training: 1."""
    return 1.0


def linear(done: float) -> float:
    """Share of the rate at a point of the training: to zero in a straight line."""
    return 1 - done


def cosine(done: float) -> float:
    """Share of the rate at a point of the training: to zero along half a cosine (Loshchilov and Hutter 2017, eq. 5)."""
    return (1 + math.cos(math.pi * done)) / 2


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
        self.rows = RowOptimizer(OPTIMIZERS.load(config.optimizer).rows, self.tables)

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
