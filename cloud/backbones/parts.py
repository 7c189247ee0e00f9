# SPDX-License-Identifier: Apache-2.0
"""Parts of `Backbone.train_embeddings` that several backbones have."""

from __future__ import annotations

import tensorflow as tf


def dropout(x: tf.Tensor, rate: float, seed: tf.Tensor, layer: int) -> tf.Tensor:
    """Inverted dropout whose mask follows from the seed int32 [2] and the layer's number alone."""
    if not rate:
        return x
    draw = tf.random.stateless_uniform(tf.shape(x), seed + tf.constant([0, layer]))
    return tf.where(draw < rate, tf.zeros((), x.dtype), x * (1 / (1 - rate)))


def window_numbers(keep: tf.Tensor) -> tf.Tensor:
    """Which window of its row a position belongs to, int32 [B, T], from `keep` float32 [B, T], 0 where one starts."""
    return tf.cumsum(tf.cast(keep < 0.5, tf.int32), axis=1)
