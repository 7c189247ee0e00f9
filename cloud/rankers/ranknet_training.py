# SPDX-License-Identifier: Apache-2.0
"""RankNet in training: its tensors as a Keras layer, and its scores with gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pocketrec.cloud.rankers.ranker import RANKER_LAYER
from pocketrec.cloud.rankers.ranknet import INNER, TENSORS
from pocketrec.cloud.rankers.training import TrainingRanker


@keras.saving.register_keras_serializable(package="pocketrec")
class RankNetTensors(keras.layers.Layer):
    """Hands user embeddings on, and keeps the tensors of RankNet, so that they are trained and saved with the model.

    Args:
        hidden: units H1 and H2.
        inner: whether scores have the inner product in them; where they have, w3 starts at 0.
        seed: of the initial values.
    """

    def __init__(self, hidden: Sequence[int], inner: bool = True, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden, self.inner, self.seed = list(hidden), inner, seed
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the tensors."""
        for name, value in initial_tensors(int(input_shape[-1]), self.hidden, self.inner, self.seed).items():
            start = keras.initializers.Constant(value)
            setattr(self, name, self.add_weight(shape=value.shape, name=name, initializer=start))
        start = keras.initializers.Constant(float(self.inner))
        self.inner_weight = self.add_weight(shape=(), name=INNER, initializer=start, trainable=False)

    def call(self, inputs: Any) -> Any:
        """The inputs."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        return {**super().get_config(), "hidden": self.hidden, "inner": self.inner, "seed": self.seed}


def initial_tensors(size: int, hidden: Sequence[int], inner: bool, seed: int) -> dict[str, NDArray[np.float32]]:
    """Tensors at the start: He's normal, biases 0; w3 = 0 where the score has the inner product in it."""
    rng, (one, two) = np.random.default_rng([seed, 5]), hidden
    found = {
        "A": rng.normal(0, size**-0.5, (size, one)), "B": rng.normal(0, size**-0.5, (size, one)), "b1": np.zeros(one),
        "C": rng.normal(0, (2 / one) ** 0.5, (one, two)), "b2": np.zeros(two),
        "w3": np.zeros(two) if inner else rng.normal(0, two**-0.5, two),
    }  # fmt: skip
    return {name: value.astype(np.float32) for name, value in found.items()}


def network(users: tf.Tensor, by_item: tf.Tensor, tensors: Mapping[str, Any]) -> tf.Tensor:
    """w3 . elu(C elu(A e_u + B e_i + b1) + b2), of shapes that broadcast: users [..., E], B e_i [..., H1] -> [...]."""
    by_user = tf.tensordot(users, tensors["A"], 1) + tensors["b1"]
    hidden = tf.nn.elu(by_user + by_item)
    last = tf.nn.elu(tf.tensordot(hidden, tensors["C"], 1) + tensors["b2"])
    return tf.tensordot(last, tensors["w3"], 1)


class RankNetTraining(TrainingRanker):
    """See `TrainingRanker`; the model has a layer `RankNetTensors`."""

    def __init__(self, model: Any = None) -> None:
        super().__init__(model)
        layer = model.get_layer(RANKER_LAYER)
        self.tensors = {name: getattr(layer, name).value for name in TENSORS}
        self.inner = float(layer.inner)

    def grid(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """See `TrainingRanker.grid`."""
        by_item = tf.tensordot(items, self.tensors["B"], 1)[..., tf.newaxis, :, :]  # (.., 1, C, H1)
        found = network(users[..., tf.newaxis, :], by_item, self.tensors)  # (.., P, C)
        if not self.inner:
            return found
        if len(items.shape) < len(users.shape):
            return found + tf.einsum("gpe,se->gps", users, items)
        return found + tf.matmul(users, items, transpose_b=True)

    def pairs(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """See `TrainingRanker.pairs`."""
        found = network(users, tf.tensordot(items, self.tensors["B"], 1), self.tensors)
        return found + self.inner * tf.reduce_sum(users * items, -1)


def with_ranknet(model: keras.Model, hidden: Sequence[int], inner: bool, seed: int) -> keras.Model:
    """The model with RankNet's tensors in it."""
    layer = RankNetTensors(hidden, inner, seed, name=RANKER_LAYER)
    return keras.Model(model.inputs[0], layer(model.outputs[0]), name=model.name)


def without_ranknet(model: keras.Model) -> keras.Model:
    """The model without RankNet's tensors, which say nothing of user embeddings."""
    return keras.Model(model.inputs[0], model.get_layer(RANKER_LAYER).input, name=model.name)
