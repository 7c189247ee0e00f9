# SPDX-License-Identifier: Apache-2.0
"""Learned positions: a row of a table for each step of the window, added to its input times a factor."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec
from pocketrec.export.layers.layer import Call, Flop, Gradients


class Positions:
    """``pocketrec.cloud.backbones.sasrec_layers.Positions``.

    Args:
        spec: its tensor is the table (T, E), a row for each step of the window; option ``scale``, of the inputs.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.tensors = tuple(tensor.name for tensor in spec.tensors)
        (self._table,) = self.tensors
        self._scale = float(spec.options["scale"])

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`."""
        table = call.value(self._table)[:, None]  # (T, 1, E)
        rows, size = x.shape
        return tf.reshape(tf.reshape(x * self._scale, [call.steps, -1, size]) + table, [rows, size]), None

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        by_step = tf.reshape(dy, [call.steps, -1, dy.shape[1]])
        return {self._table: tf.reduce_sum(by_step, 1)}, dy * self._scale if down else None

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`: each step has a row of its own."""
        return False

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {}

    def flop(self, _trained: frozenset[str], _down: bool) -> Flop:
        """See `DeviceLayer.flop`: no matrix product."""
        return Flop(0, 0)
