# SPDX-License-Identifier: Apache-2.0
"""Keras layers of backbone ``sasrec``, registered, so that a saved model loads."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pocketrec.cloud.backbones.attention import NEVER
from pocketrec.cloud.backbones.keras_layers import activation


@keras.saving.register_keras_serializable(package="pocketrec")
class Positions(keras.layers.Layer):
    """A factor, and a learned vector for each place in the window, counted from its start: (B, T, E) -> (B, T, E).

    Args:
        window: largest T.
        scale: of the inputs.
        seed: of the initial values.

    Raises:
        ValueError: a row is longer than `window`.
    """

    def __init__(self, window: int, scale: float, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window, self.scale, self.seed = window, scale, seed
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the table, float32 [window, E]."""
        start = keras.initializers.RandomNormal(stddev=0.02, seed=self.seed)
        self.embeddings = self.add_weight(shape=(self.window, input_shape[-1]), name="embeddings", initializer=start)

    def call(self, inputs: Any) -> Any:
        """See the class."""
        steps = inputs.shape[1]
        if steps is not None and steps > self.window:
            raise ValueError(f"a row has {steps} events, and the model has positions for {self.window}")
        return inputs * self.scale + self.embeddings[: ops.shape(inputs)[1]]

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        return {**super().get_config(), "window": self.window, "scale": self.scale, "seed": self.seed}


@keras.saving.register_keras_serializable(package="pocketrec")
class SelfAttention(keras.layers.Layer):
    """Causal multi-head attention (Vaswani et al. 2017): (B, T, E) -> (B, T, E); step t sees steps 0..t.

    Args:
        heads: that divide E.
        seed: of the initial values.
    """

    def __init__(self, heads: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.seed = heads, seed
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the kernels: E -> 3E for queries, keys and values, each head by head, and E -> E after them.

        The first has no bias: the softmax does not see that of keys, and that of values adds what `out_bias` can add.
        """
        size = input_shape[-1]
        start = [keras.initializers.GlorotUniform(seed=self.seed + place) for place in range(2)]
        self.qkv_kernel = self.add_weight(shape=(size, 3 * size), name="qkv_kernel", initializer=start[0])
        self.out_kernel = self.add_weight(shape=(size, size), name="out_kernel", initializer=start[1])
        self.out_bias = self.add_weight(shape=(size,), name="out_bias", initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """See the class."""
        steps, size = ops.shape(inputs)[1], inputs.shape[-1]
        shape = (-1, steps, self.heads, size // self.heads)
        projected = ops.matmul(inputs, self.qkv_kernel)  # (B, T, 3E)
        queries, keys, values = (ops.reshape(part, shape) for part in ops.split(projected, 3, axis=-1))
        scores = ops.einsum("bthd,bshd->bhts", queries, keys) * (size // self.heads) ** -0.5
        place = ops.arange(steps)
        later = ops.cast(place[None, :] > place[:, None], "float32")  # (T, T)
        scores += later * NEVER
        weights = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))  # (B, heads, T, T)
        shares = weights / ops.sum(weights, axis=-1, keepdims=True)
        mixed = ops.reshape(ops.einsum("bhts,bshd->bthd", shares, values), (-1, steps, size))
        return ops.matmul(mixed, self.out_kernel) + self.out_bias

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        return {**super().get_config(), "heads": self.heads, "seed": self.seed}


@keras.saving.register_keras_serializable(package="pocketrec")
class FeedForward(keras.layers.Layer):
    """Two linear layers with GELU (tanh form) between them, of each step: (B, T, E) -> (B, T, E).

    Args:
        units: between the two.
        seed: of the initial values.
    """

    def __init__(self, units: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.seed = units, seed
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the kernels."""
        size = input_shape[-1]
        start = [keras.initializers.GlorotUniform(seed=self.seed + place) for place in range(2)]
        self.in_kernel = self.add_weight(shape=(size, self.units), name="in_kernel", initializer=start[0])
        self.in_bias = self.add_weight(shape=(self.units,), name="in_bias", initializer="zeros")
        self.out_kernel = self.add_weight(shape=(self.units, size), name="out_kernel", initializer=start[1])
        self.out_bias = self.add_weight(shape=(size,), name="out_bias", initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """See the class."""
        wide = activation(ops.matmul(inputs, self.in_kernel) + self.in_bias, "gelu")
        return ops.matmul(wide, self.out_kernel) + self.out_bias

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        return {**super().get_config(), "units": self.units, "seed": self.seed}
