# SPDX-License-Identifier: Apache-2.0
"""The ranker cosine in the exported graph.

With n = sqrt(<u, u> + tiny) and v = u / n the gradient of <v, c> by u is (c - <c, v> v) / n.
"""

from typing import Any

import tensorflow as tf

from ours.cosine import SCALE, TINY
from pocketrec.export.layers.products import transposed
from pocketrec.export.rankers.ranker import Gradients, Value


def unit(vectors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Vectors (n, E) over their norms, and the inverse norms (n, 1)."""
    inverse = tf.math.rsqrt(tf.reduce_sum(vectors * vectors, axis=1, keepdims=True) + TINY)
    return vectors * inverse, inverse


def through_unit(users: tf.Tensor, inverse: tf.Tensor, slopes: tf.Tensor) -> tf.Tensor:
    """Gradient (n, E) by the vectors, from that by the vectors over their norms."""
    along = tf.reduce_sum(slopes * users, axis=1, keepdims=True)
    return (slopes - along * users) * inverse


class CosineGraph:
    """See `pocketrec.export.rankers.ranker.GraphRanker`."""

    def scores(self, users: tf.Tensor, items: tf.Tensor, value: Value) -> tf.Tensor:
        """See `GraphRanker.scores`."""
        return SCALE * tf.matmul(unit(users)[0], unit(items)[0], transpose_b=True)

    def prepared(self, items: tf.Tensor, value: Value) -> Any:
        """The embeddings over their norms, times the scale (m, E), and their transpose."""
        scaled = SCALE * unit(items)[0]
        return scaled, transposed(scaled)

    def grid(self, users: tf.Tensor, items: Any, value: Value) -> tuple[tf.Tensor, Any]:
        """See `GraphRanker.grid`."""
        scaled, by_size = items
        units, inverse = unit(users)
        return tf.matmul(units, by_size), (units, inverse, scaled)

    def grid_backward(
        self, trace: Any, slopes: tf.Tensor, share: tf.Tensor, value: Value
    ) -> tuple[tf.Tensor, Gradients]:
        """See `GraphRanker.grid_backward`."""
        units, inverse, scaled = trace
        return through_unit(units, inverse, tf.matmul(slopes, scaled)), {}

    def pairs(self, users: tf.Tensor, items: tf.Tensor, value: Value) -> tuple[tf.Tensor, Any]:
        """See `GraphRanker.pairs`."""
        units, inverse = unit(users)
        scaled = SCALE * unit(items)[0]
        return tf.reduce_sum(units * scaled, axis=1, keepdims=True), (units, inverse, scaled)

    def pairs_backward(
        self, trace: Any, slopes: tf.Tensor | None, share: tf.Tensor, value: Value
    ) -> tuple[tf.Tensor, Gradients]:
        """See `GraphRanker.pairs_backward`."""
        units, inverse, scaled = trace
        return through_unit(units, inverse, scaled if slopes is None else slopes * scaled), {}

    def plain_grid(self, users: tf.Tensor, items: tf.Tensor, value: Value) -> tf.Tensor:
        """See `GraphRanker.plain_grid`."""
        return SCALE * tf.einsum("...e,ne->...n", _plain_unit(users), _plain_unit(items))

    def plain_pairs(self, users: tf.Tensor, items: tf.Tensor, value: Value) -> tf.Tensor:
        """See `GraphRanker.plain_pairs`."""
        return SCALE * tf.einsum("...e,...e->...", _plain_unit(users), _plain_unit(items))


def _plain_unit(vectors: tf.Tensor) -> tf.Tensor:
    return vectors / tf.sqrt(tf.reduce_sum(tf.square(vectors), -1, keepdims=True) + TINY)
