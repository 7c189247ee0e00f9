# SPDX-License-Identifier: Apache-2.0
"""The mask of backbones that are not causal: a trained vector in place of an item that is to be said.

In training masked events have the row `MASKED`. To say what comes next, the model puts the mask after the last event,
and the output at that place is the user embedding (Devlin et al. 2019; Sun et al., CIKM 2019). This module knows
nothing about what lies between.
"""

from __future__ import annotations

from typing import Any, Final

import keras
import tensorflow as tf
from keras import ops

from pocketrec.cloud.backbones.backbone import item_table
from pocketrec.cloud.backbones.parts import dropout
from pocketrec.cloud.config.training import MASKED
from pocketrec.device.contract.layers import LayerSpec, TensorSpec

#: Names of the layers, a contract with the exporter.
MASK: Final = "mask"
AT_MASK: Final = "at_mask"


@keras.saving.register_keras_serializable(package="pocketrec")
class AppendMask(keras.layers.Layer):
    """x (B, T, E) and item rows (B, T), padded at their end -> (B, T + 1, E) with the mask vector after the last item.

    Args:
        std: standard deviation of the vector's numbers at the start.
        seed: of the initial values.
    """

    def __init__(self, std: float, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.std, self.seed = std, seed
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the vector (E,)."""
        start = keras.initializers.RandomNormal(stddev=self.std, seed=self.seed)
        self.vector = self.add_weight(shape=(input_shape[0][-1],), name="vector", initializer=start)

    def call(self, inputs: Any) -> Any:
        """See the class."""
        x, items = inputs
        steps, count = _steps(items)
        here = ops.cast(steps == count, x.dtype)[:, :, None]  # (B, T + 1, 1)
        events = ops.cast(items > 0, x.dtype)[:, :, None]
        return ops.pad(x * events, [[0, 0], [0, 1], [0, 0]]) + here * self.vector

    def compute_mask(self, inputs: Any, _mask: Any = None) -> Any:
        """True at events and at the mask."""
        steps, count = _steps(inputs[1])
        return ops.less_equal(steps, count)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(B, T, E) -> (B, T + 1, E)."""
        rows, steps, size = input_shape[0]
        return rows, None if steps is None else steps + 1, size

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        return {**super().get_config(), "std": self.std, "seed": self.seed}


@keras.saving.register_keras_serializable(package="pocketrec")
class AtMask(keras.layers.Layer):
    """x (B, T + 1, E) and item rows (B, T) -> (B, T, E): everywhere the row at the place of the mask."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """See the class."""
        x, items = inputs
        _, count = _steps(items)
        return ops.take_along_axis(x, (count + ops.zeros_like(items))[:, :, None], axis=1)

    def compute_mask(self, _inputs: Any, _mask: Any = None) -> Any:
        """None: every position has an output."""
        return None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(B, T + 1, E) -> (B, T, E)."""
        return (*input_shape[1], input_shape[0][-1])


def mask_spec(size: int) -> LayerSpec:
    """An `AppendMask` as a layer on the device."""
    return LayerSpec("append_mask", MASK, (TensorSpec(f"{MASK}_vector", (size,)),), size, size)


def at_mask_spec(size: int) -> LayerSpec:
    """An `AtMask` as a layer on the device."""
    return LayerSpec("at_mask", AT_MASK, (), size, size)


def masked_embeddings(model: keras.Model, items: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Embeddings of rows in training, float32 [B, T, E]: those of items, with dropout of this rate, and the mask's
    vector where int32 [B, T] has `MASKED`."""
    x = dropout(item_table(model).gather(tf.maximum(items, 0)), rate, seed, 0)
    return tf.where((items == MASKED)[:, :, tf.newaxis], model.get_layer(MASK).vector.value, x)


def _steps(items: Any) -> tuple[Any, Any]:
    """The number of each step (B, T + 1), and that of the mask's, (B, 1), of item rows (B, T)."""
    steps = ops.cumsum(ops.pad(ops.ones_like(items), [[0, 0], [1, 0]]), axis=1)
    return steps, ops.sum(ops.cast(items > 0, "int32"), axis=1, keepdims=True)
