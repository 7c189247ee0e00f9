# SPDX-License-Identifier: Apache-2.0
"""The tensors of RankNet as a layer of a model, for tests that need no training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


class Tensors(keras.layers.Layer):
    """The layer `ranker` of a model, as the cloud leaves it: user embeddings pass through it."""

    def __init__(self, zero: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.zero, self.supports_masking = zero, True

    def build(self, input_shape: Any) -> None:
        rng = np.random.default_rng(4)
        size = int(input_shape[-1])
        shapes = {"A": (size, 6), "B": (size, 6), "b1": (6,), "C": (6, 4), "b2": (4,), "w3": (4,)}
        for name, shape in shapes.items():
            value = np.zeros(shape) if name == "w3" and self.zero else rng.normal(0, 0.5, shape)
            setattr(self, name, self.add_weight(shape=shape, name=name, initializer=keras.initializers.Constant(value)))
        self.inner = self.add_weight(shape=(), name="inner", initializer="ones", trainable=False)

    def call(self, inputs: Any) -> Any:
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "zero": self.zero}
