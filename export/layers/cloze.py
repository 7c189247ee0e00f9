# SPDX-License-Identifier: Apache-2.0
"""The mask of models that are not causal: a vector after a window's last event, and the row that comes of it.

Between the two layers a window has one step more than it has places for events (`Call.mask`). Behind the second there
is one row for each window.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec
from pocketrec.export.layers.layer import Call, Flop, Gradients


class AppendMask:
    """``pocketrec.cloud.backbones.cloze.AppendMask``: rows (T * B, E) become ((T + 1) * B, E).

    Rows of padding are zero already, as the item table's is.

    Args:
        spec: its tensor is the vector (E,).
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.tensors = tuple(tensor.name for tensor in spec.tensors)
        (self._vector,) = self.tensors

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`."""
        batch = call.padding.shape[0] // call.steps
        return tf.concat([x, tf.zeros([batch, x.shape[1]])], 0) + _mask(call) * call.value(self._vector), None

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        batch, mask = call.padding.shape[0] // call.steps, _mask(call)
        events = (call.padding + mask) * -1.0 + 1.0
        return {self._vector: tf.reduce_sum(dy * mask, axis=0)}, (dy * events)[:-batch] if down else None

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`."""
        return False

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {}

    def flop(self, _trained: frozenset[str], _down: bool) -> Flop:
        """See `DeviceLayer.flop`: no matrix product."""
        return Flop(0, 0)


class AtMask:
    """``pocketrec.cloud.backbones.cloze.AtMask``: of rows ((T + 1) * B, E) those at the mask, (B, E).

    Args:
        spec: without tensors.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.tensors: tuple[str, ...] = ()

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`."""
        by_step = tf.reshape(x * _mask(call), [call.steps, x.shape[0] // call.steps, x.shape[1]])
        return tf.reduce_sum(by_step, axis=0), None

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        return {}, tf.tile(dy, [call.steps, 1]) * _mask(call) if down else None

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`: its only row is that of the window."""
        return True

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {}

    def flop(self, _trained: frozenset[str], _down: bool) -> Flop:
        """See `DeviceLayer.flop`: no matrix product."""
        return Flop(0, 0)


def _mask(call: Call) -> tf.Tensor:
    if call.mask is None:
        raise ValueError("the graph of this model has no step for the mask: its backbone's line must say causal=False")
    return call.mask
