# SPDX-License-Identifier: Apache-2.0
"""Optimisers of the exported `train` signature, each with the update rule of its Keras namesake.

A rule keeps its slots as `tf.Variable`, named ``<tensor>_<slot>``, so that they travel with the personal state.
A new optimiser is one class and one line in `pocketrec.cloud.config.personalise.DEVICE_OPTIMIZERS`.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import tensorflow as tf


class Optimizer(Protocol):
    """One update rule over a fixed set of variables."""

    slots: dict[str, tf.Variable]
    """State of the rule by name; empty where it has none."""

    def apply(self, name: str, variable: tf.Variable, gradient: tf.Tensor, learning_rate: tf.Tensor) -> tf.Tensor:
        """Assign the slots of `variable` and return its new value."""

    def begin_step(self) -> None:
        """Called once a train step, before any `apply`."""


class SGD:
    """w <- w - rate g."""

    def __init__(self, variables: dict[str, tf.Variable]) -> None:
        self.slots: dict[str, tf.Variable] = {}

    def begin_step(self) -> None:
        """Nothing to do."""

    def apply(self, name: str, variable: tf.Variable, gradient: tf.Tensor, learning_rate: tf.Tensor) -> tf.Tensor:
        """See `Optimizer`."""
        return variable - learning_rate * gradient


class Adagrad:
    """a <- a + g^2; w <- w - rate g / sqrt(a + eps) (Duchi et al. 2011), eps 1e-7, a from 0.

    Keras starts from a = 0.1. One person's gradients are a thousand times smaller than that: the rule would be plain
    gradient descent at a third of the rate, and the proximal pull would be lost in it.
    """

    def __init__(self, variables: dict[str, tf.Variable]) -> None:
        self.slots = {
            f"{name}_accumulator": tf.Variable(np.zeros(variable.shape, np.float32), name=f"{name}_accumulator")
            for name, variable in variables.items()
        }

    def begin_step(self) -> None:
        """Nothing to do."""

    def apply(self, name: str, variable: tf.Variable, gradient: tf.Tensor, learning_rate: tf.Tensor) -> tf.Tensor:
        """See `Optimizer`."""
        slot = self.slots[f"{name}_accumulator"]
        accumulator = slot + gradient * gradient
        slot.assign(accumulator)
        return variable - learning_rate * gradient * tf.math.rsqrt(accumulator + 1e-7)


class Adam:
    """Kingma and Ba 2015 with bias correction, beta 0.9 and 0.999, eps 1e-7 as in Keras."""

    _BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7

    def __init__(self, variables: dict[str, tf.Variable]) -> None:
        self.slots = {"step": tf.Variable(np.zeros([1], np.float32), name="step")}
        for name, variable in variables.items():
            for moment in ("m", "v"):
                slot = f"{name}_{moment}"
                self.slots[slot] = tf.Variable(np.zeros(variable.shape, np.float32), name=slot)
        self._correction: tf.Tensor | None = None

    def begin_step(self) -> None:
        """Count the step and form sqrt(1 - beta2^t) / (1 - beta1^t), the powers as exp(t log beta)."""
        step = self.slots["step"] + 1.0
        self.slots["step"].assign(step)
        self._correction = tf.sqrt(1.0 - tf.exp(step * math.log(self._BETA_2))) / (
            1.0 - tf.exp(step * math.log(self._BETA_1))
        )

    def apply(self, name: str, variable: tf.Variable, gradient: tf.Tensor, learning_rate: tf.Tensor) -> tf.Tensor:
        """See `Optimizer`."""
        m, v = self.slots[f"{name}_m"], self.slots[f"{name}_v"]
        first = m * self._BETA_1 + gradient * (1.0 - self._BETA_1)
        second = v * self._BETA_2 + gradient * gradient * (1.0 - self._BETA_2)
        m.assign(first)
        v.assign(second)
        return variable - learning_rate * self._correction * first / (tf.sqrt(second) + self._EPSILON)
