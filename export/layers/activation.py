# SPDX-License-Identifier: Apache-2.0
"""Element-wise functions without tensors: GELU in its tanh form, ReLU and tanh.

ReLU's own gradient (ReluGrad) and GELU's are no builtins of TensorFlow Lite; these are written with products, maximum
and tanh.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec
from pocketrec.export.layers.layer import Call, Flop, Gradients

_ROOT: Final = 0.7978845608028654  # sqrt(2 / pi)
_CUBE: Final = 0.044715
_TINY: Final = 1e-30  # below the rounding of any y that matters


class Activation:
    """A function of each number.

    Args:
        spec: without tensors; option ``function``: gelu or relu.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.tensors: tuple[str, ...] = ()
        self._forward, self._slope = FUNCTIONS[spec.options["function"]]

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`."""
        return self._forward(x)

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        return {}, dy * self._slope(trace) if down else None

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`: each row separately."""
        return held

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {}

    def flop(self, _trained: frozenset[str], _down: bool) -> Flop:
        """See `DeviceLayer.flop`: no matrix product."""
        return Flop(0, 0)


def gelu(x: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + .044715 x^3) (Hendrycks and Gimpel 2016), as x sigmoid(2 u), which
    takes two ops less; the square of x, the sigmoid and the output."""
    square = x * x
    half = tf.sigmoid(x * (square * (2.0 * _ROOT * _CUBE) + 2.0 * _ROOT))
    y = x * half
    return y, (square, half, y)


def gelu_slope(trace: Any) -> tf.Tensor:
    """Derivative of `gelu` from what it left: s + x s (1 - s) 2 u' with s the sigmoid."""
    square, half, y = trace
    return (y - y * half) * (square * (6.0 * _ROOT * _CUBE) + 2.0 * _ROOT) + half


def relu(x: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """max(x, 0), and the same for the derivative."""
    y = tf.nn.relu(x)
    return y, y


def relu_slope(y: tf.Tensor) -> tf.Tensor:
    """1 where y > 0, else 0, without a cast of a comparison, which takes 16 times as long on tflite-runtime 2.14, and
    without a maximum with a scalar, which takes 4 times as long."""
    return y / (y + _TINY)


def tanh(x: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """tanh(x), and the same for the derivative."""
    y = tf.tanh(x)
    return y, y


def tanh_slope(y: tf.Tensor) -> tf.Tensor:
    """1 - y^2."""
    return y * y * -1.0 + 1.0  # without SUB: tflite-runtime is slow where that has a scalar


FUNCTIONS: Final[dict[str, tuple[Callable[[tf.Tensor], tuple[tf.Tensor, Any]], Callable[[Any], tf.Tensor]]]] = {
    "gelu": (gelu, gelu_slope),
    "relu": (relu, relu_slope),
    "tanh": (tanh, tanh_slope),
}
