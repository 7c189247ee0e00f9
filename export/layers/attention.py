# SPDX-License-Identifier: Apache-2.0
"""Causal multi-head attention of each window (Vaswani et al. 2017), without tensors of its own.

Rows are time-major, (T * B, 3E) with queries, keys and values, each head by head. A step sees itself and earlier steps
of its window only, so padding at a window's end needs nothing: no row of an event looks at it, and its own rows are not
read. A share that may not count is exactly 0, since -1e9 is added to its score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec
from pocketrec.export.layers.layer import Call, Flop, Gradients

_NEVER = -1e9


@dataclass(frozen=True)
class AttentionTrace:
    """What the forward pass leaves for the backward pass; float32."""

    queries: tf.Tensor
    """(B * heads, T, D), times D^-1/2."""
    keys: tf.Tensor
    """(B * heads, T, D)."""
    values: tf.Tensor
    """(B * heads, T, D)."""
    shares: tf.Tensor
    """(B * heads, T, T), the softmax."""


class Attention:
    """Attention over queries, keys and values that a linear layer before it makes.

    Args:
        spec: without tensors; options ``heads``, and ``window`` (steps T, for `flop`).
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.tensors: tuple[str, ...] = ()
        self.heads = int(spec.options["heads"])
        self.scale = (spec.outputs // self.heads) ** -0.5

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`."""
        queries, keys, values = (self._by_head(part, call.steps) for part in tf.split(x, 3, axis=1))
        queries *= self.scale
        later = np.triu(np.full((call.steps, call.steps), _NEVER, np.float32), 1)
        scores = tf.matmul(queries, keys, transpose_b=True) + later  # (B * heads, T, T)
        shares = tf.nn.softmax(scores)
        trace = AttentionTrace(queries, keys, values, shares)
        return self._by_row(tf.matmul(shares, values)), trace

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        if not down:
            return {}, None
        dy = self._by_head(dy, call.steps)  # (B * heads, T, D)
        by_values = tf.matmul(_turned(trace.shares), dy)
        by_shares = tf.matmul(dy, trace.values, transpose_b=True)  # (B * heads, T, T)
        weighed = by_shares * trace.shares
        by_scores = weighed - trace.shares * tf.reduce_sum(weighed, 2, keepdims=True)
        by_queries = tf.matmul(by_scores, trace.keys) * self.scale
        by_keys = tf.matmul(_turned(by_scores), trace.queries)
        return {}, tf.concat([self._by_row(part) for part in (by_queries, by_keys, by_values)], axis=1)

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`: where inputs repeat, a later step still weighs the repeated ones more."""
        return False

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {}

    def flop(self, _trained: frozenset[str], down: bool) -> Flop:
        """See `DeviceLayer.flop`: two products with all steps of the window forward, four backward."""
        product = 2 * int(self.spec.options["window"]) * self.spec.outputs
        return Flop(2 * product, 4 * product * down)

    def _by_head(self, rows: tf.Tensor, steps: int) -> tf.Tensor:
        """(T * B, E) as (B * heads, T, D)."""
        count, size = rows.shape
        apart = tf.reshape(rows, [steps, count // steps * self.heads, size // self.heads])
        return tf.transpose(apart, [1, 0, 2])

    def _by_row(self, heads: tf.Tensor) -> tf.Tensor:
        """The inverse of `_by_head`."""
        count, steps, size = heads.shape
        return tf.reshape(tf.transpose(heads, [1, 0, 2]), [steps * count // self.heads, size * self.heads])


def _turned(matrices: tf.Tensor) -> tf.Tensor:
    """Each matrix transposed, as an operator of its own: a product that transposes its left side is slow."""
    return tf.transpose(matrices, [0, 2, 1])
