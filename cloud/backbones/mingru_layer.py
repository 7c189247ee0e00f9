# SPDX-License-Identifier: Apache-2.0
"""The minimal GRU (Feng et al. 2024, "Were RNNs All We Needed?"), as a Keras layer and over packed rows.

h_t = (1 - z_t) h_(t-1) + z_t c_t with z = sigmoid(x W_z + b_z) and c = tanh(x W_c + b_c): gate and candidate do not
look at the state, so everything but one multiply-add a step is done for all steps at once. This module knows nothing
about items, dropout or blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable(package="pocketrec")
class MinGru(keras.layers.Layer):
    """Inputs (B, T, D) -> states (B, T, H) from the zero state; padding is computed like events.

    Weights: kernel (D, 2H) and bias (2H,); first the gate z, then the candidate c.

    Args:
        units: H.
        seed: of the kernel.
    """

    def __init__(self, units: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.seed = units, seed
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        size, initializer = input_shape[-1], keras.initializers.GlorotUniform(seed=self.seed)
        self.kernel = self.add_weight(shape=(size, 2 * self.units), name="kernel", initializer=initializer)
        self.bias = self.add_weight(shape=(2 * self.units,), name="bias", initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """See the class."""
        z, c = ops.split(ops.matmul(inputs, self.kernel) + self.bias, 2, axis=-1)
        z, c = ops.sigmoid(z), ops.tanh(c)
        kept, taken = ops.swapaxes(1.0 - z, 0, 1), ops.swapaxes(z * c, 0, 1)  # (T, B, H)
        if inputs.shape[1] is None:  # in a graph for windows of any length
            states = tf.scan(lambda state, step: step[0] * state + step[1], (kept, taken), tf.zeros_like(taken[0]))
        else:
            found = [taken[0]]
            for step in range(1, inputs.shape[1]):
                found.append(kept[step] * found[-1] + taken[step])
            states = ops.stack(found)
        return ops.swapaxes(states, 0, 1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(B, T, H)."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        return {**super().get_config(), "units": self.units, "seed": self.seed}


@tf.custom_gradient
def recurrence(
    projected: tf.Tensor, keep: tf.Tensor, state: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., tuple[tf.Tensor | None, ...]]]:
    """States after every step, with a backward pass for all gates at once and one multiply-add a step.

    Args:
        projected: float32 [T, B, 2H], x W + b: gate, then candidate; T static.
        keep: float32 [T, B, 1]; 0 cuts the state before step t, 1 carries it.
        state: float32 [B, H] before the first step; no gradient goes to it.

    Returns:
        float32 [T, B, H].
    """
    z, c = tf.split(projected, 2, axis=2)
    z, c = tf.sigmoid(z), tf.tanh(c)  # (T, B, H)
    kept = (1 - z) * keep
    factors, taken = tf.unstack(kept), tf.unstack(z * c)  # T x (B, H)
    states = [factors[0] * state + taken[0]]
    for factor, part in zip(factors[1:], taken[1:], strict=True):
        states.append(factor * states[-1] + part)
    after = tf.stack(states)

    def backward(gradient: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        outer = tf.unstack(gradient)
        found = [outer[-1]]
        for t in reversed(range(len(outer) - 1)):
            found.append(found[-1] * factors[t + 1] + outer[t])
        by_state = tf.stack(found[::-1]) * z  # (T, B, H), by the state after each step, times z
        before = tf.stack([state, *states[:-1]]) * keep
        by_z = by_state * (c - before) * (1 - z)
        return tf.concat([by_z, by_state * (1 - c * c)], 2), None, None

    return after, backward
