# SPDX-License-Identifier: Apache-2.0
"""The ranker cosine in training."""

import tensorflow as tf

from ours.cosine import SCALE, TINY
from pocketrec.cloud.rankers.training import TrainingRanker


def unit(vectors: tf.Tensor) -> tf.Tensor:
    """Vectors (..., E) over their norms."""
    return vectors * tf.math.rsqrt(tf.reduce_sum(vectors * vectors, -1, keepdims=True) + TINY)


class CosineTraining(TrainingRanker):
    """See `TrainingRanker`."""

    def grid(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """See `TrainingRanker.grid`."""
        if len(items.shape) < len(users.shape):
            return SCALE * tf.einsum("gpe,se->gps", unit(users), unit(items))
        return SCALE * tf.matmul(unit(users), unit(items), transpose_b=True)

    def pairs(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """See `TrainingRanker.pairs`."""
        return SCALE * tf.reduce_sum(unit(users) * unit(items), -1)
