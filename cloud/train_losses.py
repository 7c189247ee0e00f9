"""Losses of the next-item model: full softmax, and sampled softmax corrected for the sampling.

Rows are ordered by popularity, so a log-uniform sampler over rows needs only the size of the catalogue.
This module knows nothing about batches or optimisers.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def full_softmax(embeddings: tf.Tensor, targets: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """Cross-entropy over the whole catalogue.

    Args:
        embeddings: user embeddings, float32 [P, E].
        targets: int32 [P]; 0 = does not count.
        table: item embeddings, float32 [N + 1, E]; row 0 (padding) takes no part.

    Returns:
        float32 []: mean over the targets that count; 0 where there is none.
    """
    weights = tf.cast(targets > 0, tf.float32)
    weights /= tf.maximum(tf.reduce_sum(weights), 1)
    return _weighted_cross_entropy(embeddings, tf.convert_to_tensor(table), targets, weights)


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


def sampled_softmax(embeddings: tf.Tensor, targets: tf.Tensor, table: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """Cross-entropy over the target and shared negatives, each score less the log of its expected count.

    The log-Q correction (Bengio and Senecal 2008; Yi et al. 2019) makes the estimate consistent with the full
    softmax. A negative that is the position's own target is masked out.

    Args:
        embeddings: user embeddings, float32 [P, E].
        targets: int32 [P]; 0 = does not count.
        table: item embeddings, float32 [N + 1, E].
        negatives: int32 [S], drawn by `log_uniform`.

    Returns:
        float32 []: mean over the targets that count; 0 where there is none.
    """
    items, count = tf.shape(table)[0] - 1, tf.shape(negatives)[0]
    positive = tf.reduce_sum(embeddings * tf.gather(table, targets), 1)  # (P,)
    positive -= log_expected(targets, items, count)
    scores = tf.matmul(embeddings, tf.gather(table, negatives), transpose_b=True)  # (P, S)
    scores -= log_expected(negatives, items, count)
    scores = tf.where(targets[:, tf.newaxis] == negatives, -1e9, scores)
    losses = tf.reduce_logsumexp(tf.concat([positive[:, tf.newaxis], scores], 1), 1) - positive
    return _mean(losses, targets)


def log_uniform(count: int, items: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Rows 1..N drawn with replacement, P(row) = log((row + 1) / row) / log(N + 1).

    Args:
        count: number S of rows.
        items: N, int32 [].
        seed: int32 [2]; equal seeds give equal rows.

    Returns:
        int32 [S].
    """
    draw = tf.random.stateless_uniform([count], seed)
    rows = tf.cast(tf.exp(draw * tf.math.log(tf.cast(items + 1, tf.float32))), tf.int32)
    return tf.clip_by_value(rows, 1, items)


def log_expected(rows: tf.Tensor, items: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Log of the expected number of times that `log_uniform` draws each row, float32 of the rows' shape."""
    row = tf.cast(tf.maximum(rows, 1), tf.float32)
    share = tf.math.log1p(1 / row) / tf.math.log(tf.cast(items + 1, tf.float32))
    return tf.math.log(share) + tf.math.log(tf.cast(count, tf.float32))


def _mean(losses: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    counts = tf.cast(targets > 0, tf.float32)
    return tf.reduce_sum(losses * counts) / tf.maximum(tf.reduce_sum(counts), 1)
