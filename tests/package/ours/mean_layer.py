# SPDX-License-Identifier: Apache-2.0
"""The layer mean on a device: row t of a window becomes the mean of its rows 0 to t, padding left out."""

from typing import Any

import numpy as np
import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec
from pocketrec.export.layers.layer import Call, Flop, Gradients


class MeanLayer:
    """See `pocketrec.export.layers.layer.DeviceLayer`.

    Args:
        spec: without tensors; its option ``window`` is the number T of steps.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.tensors: tuple[str, ...] = ()

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`; sums over the steps so far are products with a triangle of ones (T, T)."""
        kept = 1.0 - call.padding  # (T * B, 1)
        share = 1.0 / tf.maximum(self._over_steps(kept, call.steps), 1.0)  # (T * B, 1)
        return self._over_steps(x * kept, call.steps) * share, (kept, share)

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        kept, share = trace
        return {}, self._over_steps(dy * share, call.steps, back=True) * kept if down else None

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`: padding changes no sum."""
        return True

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {}

    def flop(self, trained: frozenset[str], down: bool) -> Flop:
        """See `DeviceLayer.flop`."""
        product = 2 * int(self.spec.options["window"]) * self.spec.inputs
        return Flop(product, product * down)

    @staticmethod
    def _over_steps(x: tf.Tensor, steps: int, back: bool = False) -> tf.Tensor:
        """Sums (T * B, I) over the steps up to each, or from each on, of time-major rows (T * B, I)."""
        triangle = np.tril(np.ones((steps, steps), np.float32))
        rows, size = x.shape
        by_step = tf.reshape(x, [steps, rows // steps * size])
        return tf.reshape(tf.matmul(tf.constant(triangle.T if back else triangle), by_step), [rows, size])
