# SPDX-License-Identifier: Apache-2.0
"""The profile of a window: mean and standard deviation of its item embeddings, and how many there are.

An item's embedding is linear in its row and in what ItemNet makes of its content, so the mean holds the distribution
of categories and the mean of numbers as far as the network keeps them, and the deviation how far they spread (the user
features of the thesis, K3), with nothing on the device but the item table.
"""

from __future__ import annotations

from typing import Any, Final

import keras
import tensorflow as tf
from keras import ops

from pocketrec.device.contract.layers import LayerSpec

#: Added to the variance, so that its root has a slope everywhere.
TINY: Final = 1e-4  # below 1e-5 the rounding of a variance that is 0 shows in the deviation, and in gradients


@keras.saving.register_keras_serializable(package="pocketrec")
class Profile(keras.layers.Layer):
    """Of the steps so far, (B, T, E) -> (B, T, 2 E + 1): s mean, s deviation, log(1 + count), with s = sqrt(E).

    Padding is left out, and repeats the last profile.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """The profiles."""
        kept = ops.ones_like(inputs[..., :1]) if mask is None else ops.cast(mask, "float32")[..., None]
        count = ops.cumsum(kept, axis=1)
        share = 1.0 / ops.maximum(count, 1.0)
        mean = ops.cumsum(inputs * kept, axis=1) * share
        square = ops.cumsum(inputs * inputs * kept, axis=1) * share
        deviation = ops.sqrt(ops.maximum(square - mean * mean, 0.0) + TINY)
        scale = inputs.shape[-1] ** 0.5
        return ops.concatenate([mean * scale, deviation * scale, ops.log(1.0 + count)], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(B, T, E) -> (B, T, 2 E + 1)."""
        return (*input_shape[:-1], 2 * input_shape[-1] + 1)


def profile_spec(name: str, size: int, window: int) -> LayerSpec:
    """A `Profile` of item embeddings of this size, for windows of up to `window` steps."""
    return LayerSpec("profile", name, (), size, 2 * size + 1, {"window": window})


def window_profiles(x: tf.Tensor, same: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """`Profile` of rows that hold several windows one after the other.

    Args:
        x: float32 [B, T, E].
        same: float32 [B, T, T]; 1 where column s lies in the window of row t, at or before it.
        known: float32 [B, T]; 0 where a step is padding or left out.
    """
    size = x.shape[-1]
    kept = known[..., tf.newaxis]
    sums = tf.matmul(same, tf.concat([x * kept, x * x * kept, kept], -1))  # (B, T, 2 E + 1)
    count = sums[..., -1:]
    means = sums[..., :-1] / tf.maximum(count, 1.0)
    mean, square = means[..., :size], means[..., size:]
    deviation = tf.sqrt(tf.maximum(square - mean * mean, 0.0) + TINY)
    scale = float(size) ** 0.5
    return tf.concat([mean * scale, deviation * scale, tf.math.log(1.0 + count)], -1)
