# SPDX-License-Identifier: Apache-2.0
"""Keras layers that several backbones have, registered, so that a saved model loads without asking its backbone."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pocketrec.cloud.backbones.specs import GELU_CUBE, GELU_ROOT, NORM_EPSILON


@keras.saving.register_keras_serializable(package="pocketrec")
class Activation(keras.layers.Layer):
    """An element-wise function that the exporter knows.

    Args:
        function: ``gelu``, in the form with tanh (Hendrycks and Gimpel 2016), whose gradient TensorFlow Lite can
            compute; or ``relu``.
    """

    def __init__(self, function: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """The function of each number."""
        return activation(inputs, self.function)

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        return {**super().get_config(), "function": self.function}


@keras.saving.register_keras_serializable(package="pocketrec")
class RepeatLast(keras.layers.Layer):
    """Outputs at padded positions become those of the last item: x (B, T, H) and item rows (B, T) -> (B, T, H).

    For layers that, unlike a GRU, do not carry a state over padding. A row of padding alone stays as it is.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """See the class."""
        x, items = inputs
        last = ops.maximum(ops.sum(ops.cast(items > 0, "int32"), axis=1, keepdims=True) - 1, 0)  # (B, 1)
        steps = ops.cumsum(ops.ones_like(items), axis=1) - 1  # (B, T)
        return ops.take_along_axis(x, ops.minimum(steps, last)[:, :, None], axis=1)

    def compute_mask(self, _inputs: Any, mask: Any = None) -> Any:
        """That of x."""
        return mask[0] if isinstance(mask, list | tuple) else mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of x."""
        return input_shape[0]


def activation(x: Any, function: str) -> Any:
    """``gelu`` (tanh form) or ``relu`` of each number."""
    if function == "relu":
        return ops.maximum(x, 0.0)
    return 0.5 * x * (1.0 + ops.tanh(GELU_ROOT * (x + GELU_CUBE * x * x * x)))


def norm(name: str) -> Any:
    """A layer normalisation with the epsilon that the exporter takes."""
    return keras.layers.LayerNormalization(epsilon=NORM_EPSILON, name=name)
