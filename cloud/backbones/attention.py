"""Causal self-attention (Vaswani et al. 2017) and learned positions, as Keras layers and over packed rows.

A position's item is numbered from the start of its window, since windows are padded at their end and every position
of a window is trained: numbers from its end would tell a position how many items follow. This module knows nothing
about blocks.
"""

from __future__ import annotations

from typing import Any, Final

import keras
import tensorflow as tf
from keras import ops

#: Logit of what a position may not see: its share is exactly 0 in float32.
HIDDEN: Final = -1e9


@keras.saving.register_keras_serializable(package="pocketrec")
class Positions(keras.layers.Layer):
    """Adds to row t of each window the t-th row of a table: (B, T, E) -> (B, T, E).

    In windows of more steps than the table has rows, the later steps take its last row.

    Args:
        window: rows of the table ``table`` (window, E).
        seed: of its initial values.
    """

    def __init__(self, window: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window, self.seed = window, seed
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the table."""
        start = keras.initializers.RandomNormal(stddev=0.02, seed=self.seed)
        self.table = self.add_weight(shape=(self.window, input_shape[-1]), name="table", initializer=start)

    def call(self, inputs: Any) -> Any:
        """See the class."""
        steps = ops.minimum(ops.arange(ops.shape(inputs)[1]), self.window - 1)
        return inputs + ops.take(self.table, steps, axis=0)

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        return {**super().get_config(), "window": self.window, "seed": self.seed}


@keras.saving.register_keras_serializable(package="pocketrec")
class CausalAttention(keras.layers.Layer):
    """Every step attends to itself and those before it: (B, T, E) -> (B, T, E), the heads' results side by side.

    Weights: kernel (E, 3E) and bias (3E,): queries, keys, values; within each the heads one after the other. The
    linear layer that usually ends attention is not part of it.

    Args:
        heads: number of heads; it divides E.
        seed: of the kernel.
    """

    def __init__(self, heads: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.seed = heads, seed
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        size, start = input_shape[-1], keras.initializers.GlorotUniform(seed=self.seed)
        self.kernel = self.add_weight(shape=(size, 3 * size), name="kernel", initializer=start)
        self.bias = self.add_weight(shape=(3 * size,), name="bias", initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """See the class."""
        steps = ops.arange(ops.shape(inputs)[1])
        seen = steps[:, None] >= steps[None, :]  # (T, T)
        return attend(ops.matmul(inputs, self.kernel) + self.bias, seen, self.heads)

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        return {**super().get_config(), "heads": self.heads, "seed": self.seed}


def attend(projected: Any, seen: Any, heads: int) -> Any:
    """Attention over rows: shares softmax(q k' / sqrt(d)) of what is seen, times the values.

    Args:
        projected: float32 [B, T, 3E]: queries, keys and values.
        seen: bool [T, T] or [B, 1, T, T]: whether step t (row) sees step s (column); each sees itself.
        heads: of size d = E / heads.

    Returns:
        float32 [B, T, E].
    """
    rows, steps, size = ops.shape(projected)[0], ops.shape(projected)[1], projected.shape[-1] // 3
    parts = ops.reshape(projected, (rows, steps, 3, heads, size // heads))
    q, k, v = ops.unstack(ops.transpose(parts, (2, 0, 3, 1, 4)))  # (B, heads, T, d)
    scores = ops.matmul(q * (size // heads) ** -0.5, ops.swapaxes(k, 2, 3))  # (B, heads, T, T)
    shares = ops.softmax(ops.where(seen, scores, HIDDEN))
    return ops.reshape(ops.transpose(ops.matmul(shares, v), (0, 2, 1, 3)), (rows, steps, size))


def seen_in_packed(windows: tf.Tensor) -> tf.Tensor:
    """What each position of packed rows sees, bool [B, 1, T, T]: what comes no later in its own window.

    Args:
        windows: int32 [B, T], the number of each position's window.
    """
    steps = tf.range(windows.shape[1])
    same = tf.equal(windows[:, :, tf.newaxis], windows[:, tf.newaxis])
    return (same & (steps[:, tf.newaxis] >= steps))[:, tf.newaxis]


def steps_of_windows(keep: tf.Tensor, most: int) -> tf.Tensor:
    """Step of each position within its window, int32 [B, T], at most `most` - 1.

    Args:
        keep: float32 [B, T]; 0 where a window starts.
        most: rows of the table of positions.
    """
    steps = tf.range(keep.shape[1])
    begins = tf.where(keep < 0.5, steps, 0)  # (B, T)
    later = steps[:, tf.newaxis] >= steps  # (T, T)
    begin = tf.reduce_max(tf.where(later, begins[:, tf.newaxis], 0), 2)  # (B, T), of the window that it lies in
    return tf.minimum(steps - begin, most - 1)
