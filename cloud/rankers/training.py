# SPDX-License-Identifier: Apache-2.0
"""What a ranker is in training: scores with gradients, in TensorFlow."""

from __future__ import annotations

import abc
from typing import Any

import tensorflow as tf


class TrainingRanker(abc.ABC):
    """Scores of items for users; equal to those of its `Ranker` but for rounding.

    Args:
        model: the Keras model, of which a ranker with tensors of its own reads the layer `RANKER_LAYER`.
    """

    def __init__(self, model: Any = None) -> None:
        self.model = model

    @abc.abstractmethod
    def grid(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """The score of every item for every user of a group.

        Args:
            users: float32 [G, P, E] or [P, E].
            items: float32 [G, C, E], each group's own; or [C, E], the same for all.

        Returns:
            float32 [G, P, C] or [P, C].
        """

    @abc.abstractmethod
    def pairs(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """The score of each user's one item: float32 [..., E] both -> [...]."""

    def cross_entropy(self, users: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
        """Sum of weight times cross-entropy over the whole catalogue; a ranker may have a faster way of its own.

        Args:
            users: float32 [P, E].
            targets: int32 [P].
            weights: float32 [P]; 0 where a target does not count.
            table: item embeddings, float32 [N + 1, E]; row 0 (padding) takes no part.
        """
        scores = self.grid(users, table[1:])  # (P, N)
        losses = tf.reduce_logsumexp(scores, 1) - self.pairs(users, tf.gather(table, targets))
        return tf.reduce_sum(losses * weights)
