# SPDX-License-Identifier: Apache-2.0
"""The inner product of user and item embedding, in training."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from pocketrec.cloud.rankers.training import TrainingRanker


class InnerProductTraining(TrainingRanker):
    """See `TrainingRanker`."""

    def grid(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """See `TrainingRanker.grid`."""
        if len(items.shape) < len(users.shape):
            return tf.einsum("gpe,se->gps", users, items)
        return tf.matmul(users, items, transpose_b=True)

    def pairs(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """See `TrainingRanker.pairs`."""
        return tf.reduce_sum(users * items, -1)

    def cross_entropy(self, users: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
        """See `TrainingRanker.cross_entropy`; the gradient is written out."""
        return _weighted_cross_entropy(users, tf.convert_to_tensor(table), targets, weights)


@tf.custom_gradient
def _weighted_cross_entropy(
    embeddings: tf.Tensor, table: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor | None, ...]]]:
    """Sum of weight times cross-entropy.

    The P x N probabilities are never written down: the exponentials enter the gradients' products as they are, and
    their sums scale the small operand.
    """
    rows = table[1:]  # (N, E)
    scores = tf.matmul(embeddings, rows, transpose_b=True)  # (P, N)
    top = tf.reduce_max(scores, 1, keepdims=True)  # (P, 1)
    powers = tf.exp(scores - top)  # (P, N)
    total = tf.reduce_sum(powers, 1, keepdims=True)  # (P, 1)
    own = tf.gather(table, targets)  # (P, E)
    losses = (tf.math.log(total) + top)[:, 0] - tf.reduce_sum(embeddings * own, 1)

    def backward(gradient: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        scale = (weights * gradient)[:, tf.newaxis]  # (P, 1)
        share = scale / total
        d_embeddings = tf.matmul(powers, rows) * share - own * scale
        d_rows = tf.matmul(powers, embeddings * share, transpose_a=True)  # (N, E)
        d_table = tf.concat([tf.zeros_like(table[:1]), d_rows], 0)
        d_table = tf.tensor_scatter_nd_sub(d_table, targets[:, tf.newaxis], embeddings * scale)
        return d_embeddings, d_table, None, None

    return tf.reduce_sum(losses * weights), backward
