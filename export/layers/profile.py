# SPDX-License-Identifier: Apache-2.0
"""The profile of the steps so far: mean and standard deviation of the rows, and how many there are."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec
from pocketrec.export.layers.layer import Call, Flop, Gradients

_TINY: Final = 1e-4  # as in pocketrec.cloud.backbones.profile


class Profile:
    """``pocketrec.cloud.backbones.profile.Profile``; sums over the steps so far are products with a triangle (T, T).

    Args:
        spec: without tensors; option ``window``, the number T of steps.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.tensors: tuple[str, ...] = ()
        self._scale = float(spec.inputs) ** 0.5

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`."""
        kept = call.padding * -1.0 + 1.0  # (T * B, 1)
        count = _over_steps(kept, call.steps)
        share = 1.0 / tf.maximum(count, 1.0)
        mean = _over_steps(x * kept, call.steps) * share
        square = _over_steps(x * x * kept, call.steps) * share
        deviation = tf.sqrt(tf.nn.relu(square - mean * mean) + _TINY)
        y = tf.concat([mean * self._scale, deviation * self._scale, tf.math.log(count + 1.0)], 1)
        return y, (x, kept, share, mean, deviation)

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`; with s the deviation, ds = (d square - 2 mean d mean) / 2 s."""
        if not down:
            return {}, None
        x, kept, share, mean, deviation = trace
        size = self.spec.inputs
        d_deviation = dy[:, size : 2 * size] * self._scale / deviation  # by the variance, times two
        d_mean = dy[:, :size] * self._scale - d_deviation * mean
        through = _over_steps(d_mean * share, call.steps, back=True)
        spread = _over_steps(d_deviation * share, call.steps, back=True)
        return {}, (through + spread * x) * kept

    def holds(self, _held: bool) -> bool:
        """See `DeviceLayer.holds`: padding changes no sum."""
        return True

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {}

    def flop(self, _trained: frozenset[str], down: bool) -> Flop:
        """See `DeviceLayer.flop`."""
        product = 2 * int(self.spec.options["window"]) * (2 * self.spec.inputs + 1)
        return Flop(product, product * down)


def _over_steps(x: tf.Tensor, steps: int, back: bool = False) -> tf.Tensor:
    """Sums (T * B, I) over the steps up to each, or from each on, of time-major rows (T * B, I)."""
    triangle = np.tril(np.ones((steps, steps), np.float32))
    rows, size = x.shape
    by_step = tf.reshape(x, [steps, rows // steps * size])
    return tf.reshape(tf.matmul(tf.constant(triangle.T if back else triangle), by_step), [rows, size])
