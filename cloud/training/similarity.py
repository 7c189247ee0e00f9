# SPDX-License-Identifier: Apache-2.0
"""Terms of the loss that make the cosine of user and item embedding say whether somebody likes an item (K2).

Retrieval sees no more of a ranker than a product of two embeddings. The thesis adds one of two terms to the ranker's
cross-entropy, for pairs (u, i) with y = 1 for a target and 0 for a negative, c = cos(e_u, e_i):

    cosine  (multi-cos)         sqrt(mean of (c - cos(u, i))^2), where u and i are the content vectors of both
    affine  (multi-affine-cos)  mean of y (1 - c') + (1 - y) c', c' = (c + 1) / 2

In print the second has a minus before it (eq. 4.10), which would drive liked pairs apart; here it is added. This module
knows nothing about where negatives come from.
"""

from __future__ import annotations

import tensorflow as tf

from pocketrec.cloud.backbones.item_net import ContentEmbedding
from pocketrec.device.base.errors import ConfigError


def affine(positive: tf.Tensor, negatives: tf.Tensor, counts: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Half the loss of the targets and half that of the negatives, each a mean.

    Args:
        positive: cosines of the targets, float32 [..., P].
        negatives: of the negatives, [..., P, C].
        counts: bool [..., P, C], whether a negative counts.
        weights: float32 [..., P], of each position; their sum is that of a mean.

    Returns:
        float32 [].
    """
    liked = (1.0 - positive) / 2.0
    return tf.reduce_sum(weights * (liked + _mean((negatives + 1.0) / 2.0, counts)) / 2.0)


def distance(
    positive: tf.Tensor, negatives: tf.Tensor, counts: tf.Tensor, weights: tf.Tensor,
    wanted: tuple[tf.Tensor, tf.Tensor],
) -> tf.Tensor:
    """Root of the mean squared difference from the cosines `wanted` of targets [..., P] and negatives [..., P, C].

    The other arguments are those of `affine`.
    """
    squares = tf.square(positive - wanted[0]) + _mean(tf.square(negatives - wanted[1]), counts)
    return tf.sqrt(tf.reduce_sum(weights * squares / 2.0) + 1e-12)


def cosines(users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Cosine of each user [G, P, E] with each item of its group, [G, C, E] or the same [C, E] for all: [G, P, C]."""
    one, two = tf.math.l2_normalize(users, -1), tf.math.l2_normalize(items, -1)
    return tf.einsum("gpe,ce->gpc" if len(items.shape) < len(users.shape) else "gpe,gce->gpc", one, two)


def pair_cosines(users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Cosine of each user with the item of its place: [..., E] both -> [...]."""
    return tf.reduce_sum(tf.math.l2_normalize(users, -1) * tf.math.l2_normalize(items, -1), -1)


def content_vectors(table: object) -> tf.Tensor:
    """What is known of each item as one vector, float32 [N + 1, F]: its values as a set, and its numbers.

    Raises:
        ConfigError: the table has no content.
    """
    if not isinstance(table, ContentEmbedding):
        raise ConfigError('train.similarity = "cosine" compares with content: set model.content = true')
    values = tf.reduce_max(tf.one_hot(table.item_values.value, table.shape[0] + 1), 1)[:, 1:]  # (N + 1, V)
    return tf.concat([values, table.item_numbers.value], 1)


def profiles(vectors: tf.Tensor, items: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
    """Mean content of the events of a window so far, float32 [B, T, F].

    Args:
        vectors: from `content_vectors`.
        items: int32 [B, T] item rows; 0 = padding.
        keep: float32 [B, T]; 0 where a window starts.
    """
    number, steps = tf.cumsum(tf.cast(keep < 0.5, tf.int32), 1), tf.range(tf.shape(items)[1])
    same = (number[:, :, tf.newaxis] == number[:, tf.newaxis]) & (steps[:, tf.newaxis] >= steps)
    known = tf.cast(items > 0, tf.float32)[:, tf.newaxis]
    weights = tf.cast(same, tf.float32) * known  # (B, T, T)
    sums = tf.matmul(weights, tf.gather(vectors, items))
    return sums / tf.maximum(tf.reduce_sum(weights, -1, keepdims=True), 1.0)


def _mean(values: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Mean over the last axis of the values that count; 0 where there is none."""
    counts = tf.cast(counts, tf.float32)
    return tf.reduce_sum(values * counts, -1) / tf.maximum(tf.reduce_sum(counts, -1), 1.0)
