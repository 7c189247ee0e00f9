# SPDX-License-Identifier: Apache-2.0
"""Dilated convolutions over the steps of a window, as shifted rows and one matrix product.

TensorFlow 2.21 has no gradient of a dilated one-dimensional convolution on processors ("dilation rates larger than 1",
in a graph), and one product of (B T, K C) by (K C, C) is quicker than its own kernels for few channels. The Keras layer
is the truth; `convolution` is the same over packed rows, for training. This module knows nothing about blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable(package="pocketrec")
class DilatedConvolution(keras.layers.Layer):
    """x (B, T, C) -> (B, T, C): row t from the rows t - (K - 1) D, .., t - D, t, or, where not causal, from K rows
    around t. What lies outside of the window, or is padding, counts as zero.

    Args:
        kernel: K, items that it looks at.
        dilation: D, steps between them.
        causal: whether t is the last of them.
        seed: of the initial values.
    """

    def __init__(self, kernel: int, dilation: int, *, causal: bool = True, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.taps, self.dilation, self.causal, self.seed = kernel, dilation, causal, seed
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the kernel (K C, C), rows of the earliest step first, and the bias (C,)."""
        size = input_shape[-1]
        start = keras.initializers.GlorotUniform(seed=self.seed)
        self.kernel = self.add_weight(shape=(self.taps * size, size), name="kernel", initializer=start)
        self.bias = self.add_weight(shape=(size,), name="bias", initializer="zeros")

    def call(self, inputs: Any, mask: Any = None, dilation: int | None = None) -> Any:
        """See the class; with another dilation than its own where one is given, for layers that share a kernel."""
        dilation = self.dilation if dilation is None else dilation
        if mask is not None and not self.causal:  # padding comes last: what is causal never sees it
            inputs *= ops.cast(mask, inputs.dtype)[:, :, None]
        first = shifts(self.taps, dilation, causal=self.causal)[0]
        rows = ops.pad(inputs, [[0, 0], [first, (self.taps - 1) * dilation - first], [0, 0]])
        steps = ops.shape(inputs)[1]
        looked_at = [rows[:, place : place + steps] for place in range(0, self.taps * dilation, dilation)]
        return ops.tensordot(ops.concatenate(looked_at, -1), self.kernel, axes=1) + self.bias

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        own = {"kernel": self.taps, "dilation": self.dilation, "causal": self.causal, "seed": self.seed}
        return {**super().get_config(), **own}


def shifts(kernel: int, dilation: int, *, causal: bool) -> list[int]:
    """How many steps before its own each row of a convolution is that it looks at, the earliest first."""
    last = 0 if causal else (kernel - 1) * dilation // 2 - (kernel - 1) * dilation
    return [last + (kernel - 1 - tap) * dilation for tap in range(kernel)]


def convolution(
    x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, steps_back: Sequence[int], windows: tf.Tensor
) -> tf.Tensor:
    """`DilatedConvolution` over rows that hold several windows one after the other.

    Args:
        x: float32 [B, T, C]; T static.
        kernel: float32 [K C, C].
        bias: float32 [C].
        steps_back: from `shifts`; a row as far away as T or farther is left out of the product.
        windows: int32 [B, T], the number of each position's window; a row of another window counts as zero.

    Returns:
        float32 [B, T, C].
    """
    steps, size = x.shape[1], x.shape[2]
    seen = [tap for tap, back in enumerate(steps_back) if abs(back) < steps]
    looked_at = tf.concat([_from(x, steps_back[tap], windows) for tap in seen], -1)  # (B, T, K C)
    rows = kernel[seen[0] * size : (seen[-1] + 1) * size]
    y = tf.matmul(tf.reshape(looked_at, [-1, len(seen) * size]), rows) + bias
    return tf.reshape(y, [-1, steps, size])


def _from(x: tf.Tensor, back: int, windows: tf.Tensor) -> tf.Tensor:
    """At each position the row `back` steps before it, zero where that is of another window."""
    if not back:
        return x
    there = tf.equal(_moved(windows, back, -1), windows)[:, :, tf.newaxis]  # (B, T, 1)
    return _moved(x, back, 0) * tf.cast(there, x.dtype)


def _moved(values: tf.Tensor, back: int, fill: int) -> tf.Tensor:
    """values [B, T, ..] moved `back` steps to the right (or left, where it is negative), filled up."""
    empty = tf.fill([tf.shape(values)[0], abs(back), *values.shape[2:]], tf.cast(fill, values.dtype))
    if back > 0:
        return tf.concat([empty, values[:, :-back]], 1)
    return tf.concat([values[:, -back:], empty], 1)
