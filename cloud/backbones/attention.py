"""Parts of a block of backbone ``sasrec`` in training, over packed rows.

Gradients are written by hand where a tape makes many small operators. Dense parts take flat rows (B * T, E): one
product each. This module knows nothing about items, dropout's rates or layers' names.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

_NEVER = -1e9  # added to a score that may not count: its share of the softmax is exactly 0
_ROOT = 0.7978845608028654  # sqrt(2 / pi)
_CUBE = 0.044715


def layout(windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What a step may see in rows that hold several windows.

    Args:
        windows: int32 [B, T], number of each step's window in its row (`window_numbers`).

    Returns:
        float32 [B, 1, T, T]: 0 where step t (second last axis) sees step s, else -1e9: s lies in the same window and
        is not later. int32 [B, T]: place of each step in its window, from 0.
    """
    steps = tf.range(windows.shape[1])
    sees = (windows[:, :, tf.newaxis] == windows[:, tf.newaxis]) & (steps[tf.newaxis] <= steps[:, tf.newaxis])
    hidden = tf.where(sees, 0.0, _NEVER)[:, tf.newaxis]
    return hidden, tf.reduce_sum(tf.cast(sees, tf.int32), 2) - 1


def attend(projected: tf.Tensor, hidden: tf.Tensor, heads: int, drop: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Attention of each step over those that it sees.

    Args:
        projected: float32 [B * T, 3E]: queries, keys, values, each head by head.
        hidden: float32 [B, 1, T, T], from `layout`.
        heads: that divide E.
        drop: dropout of the shares [B, heads, T, T].

    Returns:
        float32 [B * T, E].
    """
    steps, size = hidden.shape[2], projected.shape[1] // 3
    apart = tf.reshape(projected, [-1, steps, 3, heads, size // heads])
    queries, keys, values = tf.unstack(tf.transpose(apart, [2, 0, 3, 1, 4]))  # (B, heads, T, D)
    scores = tf.matmul(queries * (size // heads) ** -0.5, keys, transpose_b=True)  # (B, heads, T, T)
    shares = drop(tf.nn.softmax(scores + hidden))
    return tf.reshape(tf.transpose(tf.matmul(shares, values), [0, 2, 1, 3]), [-1, size])


@tf.custom_gradient
def norm(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor | None, ...]]]:
    """Layer normalisation of rows (Ba et al. 2016), float32 [P, E]."""
    centred = x - tf.reduce_mean(x, 1, keepdims=True)
    inverse = tf.math.rsqrt(tf.reduce_mean(centred * centred, 1, keepdims=True) + epsilon)  # (P, 1)
    normal = centred * inverse

    def backward(dy: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        along = dy * normal
        by_normal = dy * gamma
        mean = tf.reduce_mean(by_normal, 1, keepdims=True)
        share = tf.reduce_mean(by_normal * normal, 1, keepdims=True)
        dx = (by_normal - mean - normal * share) * inverse
        return dx, tf.reduce_sum(along, 0), tf.reduce_sum(dy, 0), None

    return normal * gamma + beta, backward


@tf.custom_gradient
def gelu(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """GELU in its tanh form (Hendrycks and Gimpel 2016)."""
    square = x * x
    bent = tf.tanh(x * (square * (_ROOT * _CUBE) + _ROOT))
    half = bent * 0.5 + 0.5

    def backward(dy: tf.Tensor) -> tf.Tensor:
        return dy * (half + x * 0.5 * (1.0 - bent * bent) * (square * (3.0 * _ROOT * _CUBE) + _ROOT))

    return x * half, backward
