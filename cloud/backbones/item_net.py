# SPDX-License-Identifier: Apache-2.0
"""ItemNet: an item's embedding is a row of its own plus what a small network makes of its content.

    e_i = r_i + W2 elu(W1 x_i + b)

with x_i the item's categories as a set and its normalised numbers (`pocketrec.cloud.data.item_features`). In training
rows r_i are dropped whole at random (id dropout), so that the content alone must carry an item that nobody had yet.
The device sees the sum, a table as any other; scores need no more than the inner product. This module knows nothing
about users, losses or files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pocketrec.cloud.data.item_features import ItemFeatures
from pocketrec.device.base.errors import ConfigError

_CONTENT: ContextVar[ItemFeatures | None] = ContextVar("content", default=None)
_IDS: Final = 900  # part of the seed of dropped rows; dropout layers' lie below, negatives' above


@keras.saving.register_keras_serializable(package="pocketrec")
class ContentEmbedding(keras.layers.Layer):
    """An item table with content, as a Keras layer and as an `pocketrec.cloud.backbones.item_table.ItemTable`.

    Args:
        rows: N + 1.
        size: E.
        shape: V, M and F of the content: different values, values of an item at most, numbers with their flags.
        hidden: units of the network.
        std: standard deviation of an entry of the rows at the start; the content starts as large.
        seed: of the initial values.
    """

    def __init__(
        self, rows: int, size: int, shape: tuple[int, int, int], hidden: int, std: float, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rows, self.size, self.shape, self.hidden, self.std = rows, size, tuple(shape), hidden, std
        self.seed = seed
        self._kept: tf.Tensor | None = None
        self._start = _CONTENT.get()

    def build(self, _input_shape: Any) -> None:
        """Make the rows, the network and the content; content is zero until it is given or loaded."""
        values, width, numbers = self.shape
        seeds = iter(np.random.SeedSequence(self.seed).generate_state(4).tolist())

        def normal(shape: tuple[int, int], name: str, deviation: float) -> Any:
            start = keras.initializers.RandomNormal(stddev=deviation, seed=next(seeds))
            return self.add_weight(shape=shape, name=name, initializer=start)

        self.embeddings = normal((self.rows, self.size), "embeddings", self.std)
        self.value_kernel = normal((values + 1, self.hidden), "value_kernel", 1.0)
        self.number_kernel = normal((max(numbers, 1), self.hidden), "number_kernel", 1.0)
        self.hidden_bias = self.add_weight(shape=(self.hidden,), name="hidden_bias", initializer="zeros")
        self.content_kernel = normal((self.hidden, self.size), "content_kernel", self.std * self.hidden**-0.5)
        self.item_values = self.add_weight(
            shape=(self.rows, width), name="item_values", initializer="zeros", dtype="int32", trainable=False
        )
        self.item_numbers = self.add_weight(
            shape=(self.rows, max(numbers, 1)), name="item_numbers", initializer="zeros", trainable=False
        )
        if self._start is not None:
            self.item_values.assign(self._start.values)
            if numbers:
                self.item_numbers.assign(self._start.numbers)

    @property
    def tables(self) -> list[tf.Variable]:
        """See `ItemTable.tables`."""
        return [self.embeddings.value]

    def call(self, inputs: Any) -> Any:
        """Embeddings of item rows, int32 (B, T) -> float32 (B, T, E)."""
        return self.gather(inputs)

    def compute_mask(self, inputs: Any, _mask: Any = None) -> Any:
        """False where a row is padding."""
        return keras.ops.not_equal(inputs, 0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(B, T) -> (B, T, E)."""
        return (*input_shape, self.size)

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """See `ItemTable.gather`."""
        own = tf.gather(self.embeddings.value, rows)
        if self._kept is not None:
            own *= tf.gather(self._kept, rows)[..., tf.newaxis]
        content = self.content(tf.gather(self.item_values.value, rows), tf.gather(self.item_numbers.value, rows))
        return own + content * tf.cast(rows > 0, tf.float32)[..., tf.newaxis]

    def whole(self) -> tf.Tensor:
        """See `ItemTable.whole`."""
        own = self.embeddings.value if self._kept is None else self.embeddings.value * self._kept[:, tf.newaxis]
        content = self.content(self.item_values.value, self.item_numbers.value)
        return own + tf.concat([tf.zeros_like(content[:1]), content[1:]], 0)

    def content(self, values: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """What the network makes of content: values int32 [..., M] (0 = none), numbers float32 [..., F] -> [..., E]."""
        known = tf.cast(values > 0, tf.float32)[..., tf.newaxis]
        hidden = tf.reduce_sum(tf.gather(self.value_kernel.value, values) * known, -2)  # (..., hidden)
        hidden += tf.tensordot(numbers, self.number_kernel.value, 1) + self.hidden_bias.value
        return tf.tensordot(tf.nn.elu(hidden), self.content_kernel.value, 1)

    def clear_padding(self) -> None:
        """See `ItemTable.clear_padding`."""
        self.embeddings.value[0].assign(tf.zeros([self.size]))

    def add(self, factors: NDArray[np.float32]) -> None:
        """See `ItemTable.add`: to the rows."""
        self.embeddings.value.assign_add(factors)

    @contextlib.contextmanager
    def dropping(self, rate: float, seed: tf.Tensor) -> Iterator[None]:
        """Within it the rows of some items are zero, the same ones everywhere: the seed, int32 [2], says which."""
        draw = tf.random.stateless_uniform([self.rows], seed + tf.constant([0, _IDS]))
        self._kept = tf.cast(draw >= rate, tf.float32)
        try:
            yield
        finally:
            self._kept = None

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        own = {"rows": self.rows, "size": self.size, "shape": list(self.shape), "hidden": self.hidden, "std": self.std}
        return {**super().get_config(), **own, "seed": self.seed}


def content_embedding(rows: int, size: int, hidden: int, std: float, seed: int, name: str) -> ContentEmbedding:
    """The table of a model over the content that `content_given` gives.

    Raises:
        ConfigError: none is given, or it is of another number of items.
    """
    content = _CONTENT.get()
    if content is None or len(content) != rows:
        raise ConfigError("[model] content = true wants a table of items: name it with items.path")
    shape = (len(content.space.values), content.values.shape[1], content.numbers.shape[1])
    return ContentEmbedding(rows, size, shape, hidden, std, seed, name=name)


@contextlib.contextmanager
def content_given(content: ItemFeatures | None) -> Iterator[None]:
    """Within it models are built over this content; backbones, which ask for a table, need not hand it on."""
    token = _CONTENT.set(content)
    try:
        yield
    finally:
        _CONTENT.reset(token)


@contextlib.contextmanager
def id_dropout(table: Any, rate: float, seed: tf.Tensor) -> Iterator[None]:
    """Within it, where the table has content, rows are dropped with this rate."""
    if not rate or not isinstance(table, ContentEmbedding):
        yield
        return
    with table.dropping(rate, seed):
        yield
