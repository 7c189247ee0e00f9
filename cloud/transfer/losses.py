# SPDX-License-Identifier: Apache-2.0
"""Losses of tuning: user embeddings, the task's head and targets -> the loss of each, float32 (B,).

Row 0 of a head is padding. Each function takes the embeddings float32 (B, E), the head's rows (M + 1, E) and biases
(M + 1,), the targets int32 (B,) and one negative each, int32 (B,), which the full softmax does not look at.
"""

from __future__ import annotations

import tensorflow as tf


def full_softmax(
    users: tf.Tensor, rows: tf.Tensor, biases: tf.Tensor, targets: tf.Tensor, _negatives: tf.Tensor
) -> tf.Tensor:
    """Cross-entropy over all targets."""
    logits = tf.matmul(users, rows[1:], transpose_b=True) + biases[1:]  # (B, M)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(targets - 1, 0), logits)


def pairwise(
    users: tf.Tensor, rows: tf.Tensor, biases: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor
) -> tf.Tensor:
    """-log sigmoid(positive) - log(1 - sigmoid(negative)) (PeterRec, equation 6)."""
    positive, negative = (_scores(users, rows, biases, chosen) for chosen in (targets, negatives))
    return tf.nn.softplus(-positive) + tf.nn.softplus(negative)


def bpr(users: tf.Tensor, rows: tf.Tensor, biases: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """-log sigmoid(positive - negative) (Rendle et al. 2009)."""
    positive, negative = (_scores(users, rows, biases, chosen) for chosen in (targets, negatives))
    return tf.nn.softplus(negative - positive)


def _scores(users: tf.Tensor, rows: tf.Tensor, biases: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(users * tf.gather(rows, chosen), -1) + tf.gather(biases, chosen)
