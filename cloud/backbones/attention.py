# SPDX-License-Identifier: Apache-2.0
"""Attention over packed rows, in training. This module knows nothing about items or layers' names."""

from __future__ import annotations

import tensorflow as tf

from pocketrec.cloud.backbones.fused import thinned

#: Added to a score that may not count: its share of the softmax is exactly 0.
NEVER = -1e9


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
    hidden = tf.where(sees, 0.0, NEVER)[:, tf.newaxis]
    return hidden, tf.reduce_sum(tf.cast(sees, tf.int32), 2) - 1


def attend(projected: tf.Tensor, hidden: tf.Tensor, heads: int, drop: tuple[float, tf.Tensor, int]) -> tf.Tensor:
    """Attention of each step over those that it sees.

    Args:
        projected: float32 [B * T, 3E]: queries, keys, values, each head by head.
        hidden: float32 [B, 1, T, T], from `layout`.
        heads: that divide E.
        drop: dropout of the shares: its rate, seed int32 [2] and number (`thinned`).

    Returns:
        float32 [B * T, E].
    """
    steps, size = hidden.shape[2], projected.shape[1] // 3
    apart = tf.reshape(projected, [-1, steps, 3, heads, size // heads])
    queries, keys, values = tf.unstack(tf.transpose(apart, [2, 0, 3, 1, 4]))  # (B, heads, T, D)
    scores = tf.matmul(queries * (size // heads) ** -0.5, keys, transpose_b=True)  # (B, heads, T, T)
    shares = tf.nn.softmax(scores + hidden)
    shares = tf.reshape(thinned(tf.reshape(shares, [-1, steps]), *drop), shares.shape)
    return tf.reshape(tf.transpose(tf.matmul(shares, values), [0, 2, 1, 3]), [-1, size])
