"""Causal self-attention and learned positions, with backward passes written by hand.

Rows are time-major, (T * B, E). A head of a window is one matrix of a batch of B * heads; the mask is a constant of
T * T numbers. Padding needs no care: it lies behind the events of its window, so that no event sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec
from pocketrec.export.layers.layer import Call, Flop, Gradients
from pocketrec.export.layers.products import frozen_transposed, transposed

_HIDDEN: Final = -1e9  # added to the logit of what a step may not see: its share is exactly 0 in float32


@dataclass(frozen=True)
class AttentionTrace:
    """What the forward pass leaves for the backward pass; float32."""

    inputs: tf.Tensor
    """(T * B, E)."""
    queries: tf.Tensor
    """(B * heads, T, d), scaled by 1 / sqrt(d)."""
    keys: tf.Tensor
    """(B * heads, T, d)."""
    values: tf.Tensor
    """(B * heads, T, d)."""
    shares: tf.Tensor
    """(B * heads, T, T), after the softmax."""


class Attention:
    """``pocketrec.cloud.backbones.attention.CausalAttention``.

    Args:
        spec: its tensors are kernel (E, 3E) and bias (3E,): queries, keys, values; options ``heads`` and ``window``.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.tensors = tuple(tensor.name for tensor in spec.tensors)
        self._kernel, self._bias = self.tensors
        self._heads = int(spec.options["heads"])
        self._scale = (spec.inputs // self._heads) ** -0.5

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, AttentionTrace]:
        """See `DeviceLayer.forward`."""
        projected = tf.matmul(x, call.value(self._kernel)) + call.value(self._bias)  # (T * B, 3E)
        q, k, v = (self._by_head(part, call.steps) for part in tf.split(projected, 3, axis=1))
        q = q * self._scale
        hidden = np.triu(np.full((1, call.steps, call.steps), _HIDDEN, np.float32), 1)
        shares = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) + hidden)  # (B * heads, T, T)
        return self._by_row(tf.matmul(shares, v), call.steps), AttentionTrace(x, q, k, v, shares)

    def backward(
        self, trace: AttentionTrace, dy: tf.Tensor, call: Call, down: bool
    ) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        by_head = self._by_head(dy, call.steps)  # (B * heads, T, d)
        by_values = tf.matmul(trace.shares, by_head, transpose_a=True)
        by_shares = tf.matmul(by_head, trace.values, transpose_b=True)  # (B * heads, T, T)
        weighted = by_shares * trace.shares
        by_scores = weighted - trace.shares * tf.reduce_sum(weighted, 2, keepdims=True)
        by_queries = tf.matmul(by_scores, trace.keys) * self._scale
        by_keys = tf.matmul(by_scores, trace.queries, transpose_a=True)
        parts = [self._by_row(part, call.steps) for part in (by_queries, by_keys, by_values)]
        projected = tf.concat(parts, 1)  # (T * B, 3E)
        gradients = {
            self._kernel: tf.matmul(trace.inputs, projected, transpose_a=True),
            self._bias: tf.reduce_sum(projected, 0),
        }
        if not down:
            return gradients, None
        kernel = call.value(self._kernel)
        turned = transposed(kernel) if call.trains([self._kernel]) else frozen_transposed(kernel, call.padding)
        return gradients, tf.matmul(projected, turned)

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`: a row of padding sees more than the last event's does."""
        return False

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {}

    def flop(self, trained: frozenset[str], down: bool) -> Flop:
        """See `DeviceLayer.flop`: all T logits of a row are computed, masked ones too."""
        product = 2 * self.spec.tensors[0].size
        scores = 4 * int(self.spec.options["window"]) * self.spec.inputs
        reached = down or not trained.isdisjoint(self.tensors)
        return Flop(product + scores, product * ((self._kernel in trained) + down) + 2 * scores * reached)

    def _by_head(self, rows: tf.Tensor, steps: int) -> tf.Tensor:
        """(T * B, E) as (B * heads, T, d)."""
        heads, size = self._heads * (rows.shape[0] // steps), rows.shape[1] // self._heads
        return tf.transpose(tf.reshape(rows, [steps, heads, size]), [1, 0, 2])

    def _by_row(self, heads: tf.Tensor, steps: int) -> tf.Tensor:
        """(B * heads, T, d) as (T * B, E)."""
        return tf.reshape(tf.transpose(heads, [1, 0, 2]), [-1, self.spec.outputs])


class Positions:
    """``pocketrec.cloud.backbones.attention.Positions``: adds to the rows of step t the t-th row of a table.

    Args:
        spec: its tensor is table (T, E).
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.tensors = tuple(tensor.name for tensor in spec.tensors)
        (self._table,) = self.tensors

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`."""
        table = call.value(self._table)  # (T, E)
        by_step = tf.reshape(x, [call.steps, -1, x.shape[1]]) + tf.reshape(table, [call.steps, 1, x.shape[1]])
        return tf.reshape(by_step, x.shape), None

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        return {self._table: tf.reduce_sum(tf.reshape(dy, [call.steps, -1, dy.shape[1]]), 1)}, dy if down else None

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`: every step has a row of its own."""
        return False

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {}

    def flop(self, _trained: frozenset[str], _down: bool) -> Flop:
        """See `DeviceLayer.flop`: no matrix product."""
        return Flop(0, 0)
