# SPDX-License-Identifier: Apache-2.0
"""Layer normalisation of each row (Ba et al. 2016): gamma (x - mean) / sqrt(variance + epsilon) + beta."""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec
from pocketrec.export.layers.layer import Call, Flop, Gradients

_LEAST: Final = 1e-10  # below the root of any epsilon


class Norm:
    """``keras.layers.LayerNormalization`` over the last axis.

    Args:
        spec: its tensors are gamma (E,) and beta (E,); option ``epsilon``.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.tensors = tuple(tensor.name for tensor in spec.tensors)
        self._gamma, self._beta = self.tensors
        self._epsilon = float(spec.options["epsilon"])

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`."""
        # What is negative is added, here and below: where one side is broadcast, tflite-runtime 2.14 has a kernel for
        # ADD and a loop over five indices for SUB.
        centred = x + tf.matmul(x, self._share(-1.0))
        deviation = tf.sqrt(tf.matmul(centred * centred, self._share(1.0)) + self._epsilon)  # (T * B, 1)
        # The maximum, which changes nothing, keeps the converter from making RSQRT of this, which is slow on 2.14.
        inverse = 1.0 / tf.maximum(deviation, _LEAST)
        normal = centred * inverse
        return normal * call.value(self._gamma) + call.value(self._beta), (normal, inverse)

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        normal, inverse = trace
        gradients = {self._gamma: tf.reduce_sum(dy * normal, 0), self._beta: tf.reduce_sum(dy, 0)}
        if not down:
            return gradients, None
        by_normal = dy * call.value(self._gamma)
        mean, along = (tf.matmul(values, self._share(-1.0)) for values in (by_normal, by_normal * normal))
        return gradients, (by_normal + mean + normal * along) * inverse

    def _share(self, of: float) -> tf.Tensor:
        """(E, 1): a product with it is `of` times the mean of each row, in less than half the time of MEAN."""
        return tf.fill([self.spec.inputs, 1], of / self.spec.inputs)

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`: each row separately."""
        return held

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {}

    def flop(self, _trained: frozenset[str], _down: bool) -> Flop:
        """See `DeviceLayer.flop`: no matrix product."""
        return Flop(0, 0)
