# SPDX-License-Identifier: Apache-2.0
"""A linear layer: x W + b, or x W."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec
from pocketrec.export.layers.layer import Call, Flop, Gradients
from pocketrec.export.layers.products import turned


class Dense:
    """``keras.layers.Dense`` without activation.

    Args:
        spec: its tensors are kernel (I, O), and bias (O,) where it has one.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.tensors = tuple(tensor.name for tensor in spec.tensors)
        self._kernel, *self._bias = self.tensors

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`."""
        y = tf.matmul(x, call.value(self._kernel))
        for bias in self._bias:
            y += call.value(bias)
        return y, x

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        gradients = {self._kernel: tf.matmul(trace, dy, transpose_a=True)}
        gradients |= {bias: tf.reduce_sum(dy, axis=0) for bias in self._bias}
        if not down:
            return gradients, None
        kernel = call.value(self._kernel)
        return gradients, tf.matmul(dy, turned(kernel, call.padding, call.trains([self._kernel])))

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`: each row separately."""
        return held

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {}

    def flop(self, trained: frozenset[str], down: bool) -> Flop:
        """See `DeviceLayer.flop`."""
        product = 2 * self.spec.inputs * self.spec.outputs
        return Flop(product, product * ((self._kernel in trained) + down))
