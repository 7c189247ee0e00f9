# SPDX-License-Identifier: Apache-2.0
"""RankNet: the inner product, and a small network over user and item embedding beside it.

    s(u, i) = <u, i> + w3 . elu(elu(u A + i B + b1) C + b2)

Its tensors are those of the model's layer ``ranker``: A, B (E, H1), b1 (H1), C (H1, H2), b2 (H2), w3 (H2), float32.
With w3 = 0, as at the start of its training, it is the inner product. The derivative of ELU by its input is read off
its output e: min(e, 0) + 1.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pocketrec.cloud.rankers.transitions import Transitions
from pocketrec.device.contract.names import RANKER_TENSORS
from pocketrec.export.layers.products import transposed
from pocketrec.export.rankers.ranker import Gradients, Value
from pocketrec.export.rankers.transitions import features

_A, _B, _B1, _C, _B2, _W3 = RANKER_TENSORS


class RankNet:
    """See `GraphRanker` and the module.

    Args:
        transitions: a table that the signature ``rank`` reads beside the embeddings; training knows nothing of it.
    """

    def __init__(self, transitions: Transitions | None = None) -> None:
        self.transitions = transitions

    def rank(
        self, users: tf.Tensor, rows: tf.Tensor, value: Value, items: tf.Tensor, candidates: tf.Tensor
    ) -> tf.Tensor:
        """What the signature ``rank`` gives: scores (1, C) of one user (1, E) with candidates' rows (C, E), whose
        window is `items` (1, T)."""
        if self.transitions is None:
            return self.scores(users, rows, value)
        product = tf.matmul(rows, users, transpose_b=True)  # (C, 1)
        told = features(self.transitions, items, candidates, product)
        by_item = tf.matmul(rows, value(_B)) + tf.matmul(told, tf.constant(self.transitions.weights))
        direct = product + tf.matmul(told, tf.constant(self.transitions.direct[:, None]))  # (C, 1)
        return tf.reshape(direct, [1, -1]) + self._grid_net(users, by_item, value)[0]

    def scores(self, users: tf.Tensor, items: tf.Tensor, value: Value) -> tf.Tensor:
        """See `GraphRanker.scores`."""
        product = tf.matmul(users, items, transpose_b=True)
        return product + self._grid_net(users, tf.matmul(items, value(_B)), value)[0]

    def prepared(self, items: tf.Tensor, value: Value) -> Any:
        """The embeddings (m, E), their transpose (E, m), and their products with B (m, H1)."""
        return items, transposed(items), tf.matmul(items, value(_B))

    def grid(self, users: tf.Tensor, items: Any, value: Value) -> tuple[tf.Tensor, Any]:
        """See `GraphRanker.grid`."""
        embeddings, by_size, by_item = items
        net, hidden = self._grid_net(users, by_item, value)
        return tf.matmul(users, by_size) + net, (users, embeddings, *hidden)

    def grid_backward(
        self, trace: Any, slopes: tf.Tensor, share: tf.Tensor, value: Value
    ) -> tuple[tf.Tensor, Gradients]:
        """See `GraphRanker.grid_backward`."""
        users, items, first, second = trace
        n, m = slopes.shape
        weight = tf.reshape(tf.tile(share[:, None], [1, m]), [n * m, 1])
        inner, own = _net_backward(first, second, tf.reshape(slopes, [n * m, 1]), weight, value)
        cube = tf.reshape(inner, [n, m, first.shape[1]])
        by_user = tf.reduce_sum(cube, axis=1)  # (n, H1)
        by_item = tf.reduce_sum(cube * share[:, None, None], axis=0)  # (m, H1)
        own[_A] = tf.matmul(users, by_user * share[:, None], transpose_a=True)
        own[_B] = tf.matmul(items, by_item, transpose_a=True)
        return tf.matmul(slopes, items) + tf.matmul(by_user, value(_A), transpose_b=True), own

    def pairs(self, users: tf.Tensor, items: tf.Tensor, value: Value) -> tuple[tf.Tensor, Any]:
        """See `GraphRanker.pairs`."""
        before = tf.matmul(users, value(_A)) + value(_B1) + tf.matmul(items, value(_B))
        net, hidden = _net(before, value)
        return tf.reduce_sum(users * items, axis=1, keepdims=True) + net, (users, items, *hidden)

    def pairs_backward(
        self, trace: Any, slopes: tf.Tensor | None, share: tf.Tensor, value: Value
    ) -> tuple[tf.Tensor, Gradients]:
        """See `GraphRanker.pairs_backward`."""
        users, items, first, second = trace
        slopes = tf.ones([users.shape[0], 1]) if slopes is None else slopes
        weight = share[:, None]
        inner, own = _net_backward(first, second, slopes, weight, value)
        own[_A] = tf.matmul(users, inner * weight, transpose_a=True)
        own[_B] = tf.matmul(items, inner * weight, transpose_a=True)
        return slopes * items + tf.matmul(inner, value(_A), transpose_b=True), own

    def plain_grid(self, users: tf.Tensor, items: tf.Tensor, value: Value) -> tf.Tensor:
        """See `GraphRanker.plain_grid`."""
        left = users[..., None, :] + tf.zeros_like(items)
        return self.plain_pairs(left, items + tf.zeros_like(left), value)

    def plain_pairs(self, users: tf.Tensor, items: tf.Tensor, value: Value) -> tf.Tensor:
        """See `GraphRanker.plain_pairs`."""
        first = tf.einsum("...e,eh->...h", users, value(_A)) + tf.einsum("...e,eh->...h", items, value(_B))
        second = tf.einsum("...h,hk->...k", tf.nn.elu(first + value(_B1)), value(_C))
        network = tf.einsum("...k,k->...", tf.nn.elu(second + value(_B2)), value(_W3))
        return tf.einsum("...e,...e->...", users, items) + network

    def _grid_net(self, users: tf.Tensor, by_item: tf.Tensor, value: Value) -> tuple[tf.Tensor, Any]:
        """What the network adds (n, m), and its hidden values, (n * m, H1) and (n * m, H2)."""
        n, (m, width) = users.shape[0], by_item.shape
        by_user = tf.matmul(users, value(_A)) + value(_B1)
        before = by_item + by_user if n == 1 else by_user[:, None, :] + by_item[None]
        net, hidden = _net(tf.reshape(before, [n * m, width]), value)
        return tf.reshape(net, [n, m]), hidden


def _net(before: tf.Tensor, value: Value) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    """From the sums that enter the first ELU (p, H1): what the network adds (p, 1), and the values after both ELUs."""
    first = tf.nn.elu(before)
    second = tf.nn.elu(tf.matmul(first, value(_C)) + value(_B2))
    return tf.matmul(second, value(_W3)[:, None]), (first, second)


def _net_backward(
    first: tf.Tensor, second: tf.Tensor, slopes: tf.Tensor, weight: tf.Tensor, value: Value
) -> tuple[tf.Tensor, Gradients]:
    """The gradient by what enters the first ELU (p, H1), without weights, and of the whole loss by b1, C, b2, w3.

    Args:
        first, second: values after both ELUs, (p, H1) and (p, H2).
        slopes: gradient by the score (p, 1).
        weight: of each pair's loss in the whole (p, 1).
        value: the tensors.
    """
    into_second = tf.matmul(slopes, value(_W3)[None, :]) * (tf.minimum(second, 0.0) + 1.0)
    into_first = tf.matmul(into_second, value(_C), transpose_b=True) * (tf.minimum(first, 0.0) + 1.0)
    weighed = into_second * weight
    return into_first, {
        _B1: tf.reduce_sum(into_first * weight, axis=0),
        _C: tf.matmul(first, weighed, transpose_a=True),
        _B2: tf.reduce_sum(weighed, axis=0),
        _W3: tf.reduce_sum(second * (slopes * weight), axis=0),
    }
