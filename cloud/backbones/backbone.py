# SPDX-License-Identifier: Apache-2.0
"""What a backbone is: the seam between the shape of the model and everything that trains, scores or exports it.

This module knows nothing about losses, optimisers or files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

import keras
import tensorflow as tf

from pocketrec.cloud.backbones.item_net import content_embedding
from pocketrec.cloud.backbones.item_table import BlockEmbedding, ItemTable, block_sizes, table_of
from pocketrec.cloud.config.fit import no_state
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.device.contract.layers import LayerSpec

#: Names of layers that the exporter relies on.
ITEM_EMBEDDING: Final = "item_embedding"
OUTPUT_EMBEDDING: Final = "output_embedding"
FC: Final = "fc"
MODEL_NAME: Final = "next_item"


class Backbone(Protocol):
    """Makes the Keras model, and runs it fast in training.

    The Keras model is the truth: it maps items int32 [B, T] (right-padded with 0) to user embeddings float32
    [B, T, E]; position t sees items 0..t of its row only; a padded position repeats the embedding of the last item. Of
    a backbone that is not causal (`pocketrec.cloud.config.model.BackboneChoice`) all positions of a row have one
    embedding, made of all its items.
    """

    def layers(self, config: ModelConfig) -> tuple[LayerSpec, ...]:
        """What the model is made of between item embedding and user embedding, for exporter, ways and reports.

        The tensors are named ``<keras layer>_<variable>``; all weights of the Keras model but item tables are there.
        """
        ...

    def build(self, config: ModelConfig, items: int, seed: int) -> keras.Model:
        """A new model over `items` items; equal seeds give equal weights. Touches no global random state."""
        ...

    def train_embeddings(
        self,
        model: keras.Model,
        config: ModelConfig,
        items: tf.Tensor,
        keep: tf.Tensor,
        seed: tf.Tensor,
        state: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """User embeddings in training, with dropout, of rows that hold several windows one after the other.

        Args:
            model: from `build`.
            config: its configuration, from `resolved`.
            items: int32 [B, T]; of a backbone that is not causal, with `pocketrec.cloud.config.training.MASKED` in
                place of items that are to be said, and then an embedding follows from both sides of its position.
            keep: float32 [B, T]; 0 where a window starts (nothing before it may be seen), else 1. Where the
                configuration `packs` not, there is one window a row, every row starts afresh, and it is not looked at.
            seed: int32 [2]; equal seeds give equal dropout.
            state: what an earlier call with rows that continue here returned, or zeros; None = every row starts afresh.

        Returns:
            float32 [B, T, E], equal to the Keras model's output on each window alone where dropout is 0 (values at
            padded positions mean nothing); and the state after the last step, `state_shape`.
        """
        ...

    def state_shape(self, config: ModelConfig, rows: int) -> tuple[int, ...]:
        """Shape of the state of `rows` rows."""
        ...

    def resolved(self, config: ModelConfig, *, sessions: bool) -> ModelConfig:
        """The configuration with all chosen that depends on the machine.

        Args:
            config: of the model.
            sessions: whether training carries the state on from step to step (``train.batching = "sessions"``).

        Raises:
            ConfigError: it cannot carry the state on.
        """
        ...

    def packs(self, config: ModelConfig) -> bool:
        """Whether a row may hold several windows one after the other; the configuration is from `resolved`."""
        ...


class Stateless:
    """What backbones have in common that carry nothing from step to step, but whose rows may hold several windows."""

    def state_shape(self, _config: ModelConfig, _rows: int) -> tuple[int, ...]:
        """See `Backbone.state_shape`: there is none."""
        return (0,)

    def resolved(self, config: ModelConfig, *, sessions: bool) -> ModelConfig:
        """See `Backbone.resolved`."""
        if sessions:
            raise no_state(config.backbone)
        return config

    def packs(self, _config: ModelConfig) -> bool:
        """See `Backbone.packs`."""
        return True


@keras.saving.register_keras_serializable(package="pocketrec")
class OutputEmbedding(keras.layers.Layer):
    """A second item table, for scores only: the layer hands its input on and keeps the table, float32 [N + 1, E].

    Args:
        rows: N + 1; row 0 is padding, and zero.
        size: E.
        seed: of the initial values.
    """

    def __init__(self, rows: int, size: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows, self.size, self.seed = rows, size, seed
        self.supports_masking = True

    def build(self, _input_shape: Any) -> None:
        """Make the table."""
        initializer = keras.initializers.RandomNormal(stddev=self.size**-0.5, seed=self.seed)
        self.embeddings = self.add_weight(shape=(self.rows, self.size), name="embeddings", initializer=initializer)

    def call(self, inputs: Any) -> Any:
        """The inputs."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        return {**super().get_config(), "rows": self.rows, "size": self.size, "seed": self.seed}


def item_inputs(config: ModelConfig, items: int, seeds: Iterator[int]) -> tuple[Any, Any]:
    """How every model begins: input of item rows (B, T), and their embeddings (B, T, E) after the dropout.

    Takes one of `seeds`, and where there is dropout another.
    """
    inputs = keras.Input((None,), dtype="int32", name="items")  # (B, T)
    std = config.embedding_std or config.embedding**-0.5
    seed = next(seeds)
    if config.item_blocks:
        sizes = block_sizes(config.item_blocks, items)
        x = BlockEmbedding(sizes, config.embedding, std, seed, name=ITEM_EMBEDDING)(inputs)  # (B, T, E)
    elif config.content:
        layer = content_embedding(items + 1, config.embedding, config.content_hidden, std, seed, ITEM_EMBEDDING)
        x = layer(inputs)  # (B, T, E)
    else:
        x = keras.layers.Embedding(
            items + 1,
            config.embedding,
            mask_zero=True,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=std, seed=seed),
            name=ITEM_EMBEDDING,
        )(inputs)  # (B, T, E)
    if config.dropout:
        x = keras.layers.Dropout(config.dropout, seed=next(seeds), name="item_dropout")(x)
    return inputs, x


def next_item_model(
    inputs: Any, x: Any, config: ModelConfig, items: int, seeds: Iterator[int], *, identity: bool = False
) -> keras.Model:
    """How every model ends: a linear layer from `x` (B, T, H) to user embeddings, and the item tables' padding rows.

    Takes one of `seeds`, and where the tables are not tied another.

    Args:
        inputs: from `item_inputs`.
        x: the last layer of the body.
        config: of the model.
        items: N.
        seeds: of the start.
        identity: the linear layer starts as the identity (H = E); else at random.
    """
    random = keras.initializers.GlorotUniform(seed=next(seeds))
    kernel = keras.initializers.Identity() if identity else random
    x = keras.layers.Dense(config.embedding, kernel_initializer=kernel, name=FC)(x)  # (B, T, E)
    if not config.tied:
        x = OutputEmbedding(items + 1, config.embedding, next(seeds), name=OUTPUT_EMBEDDING)(x)
    model = keras.Model(inputs, x, name=MODEL_NAME)
    item_table(model).clear_padding()
    score_table(model).clear_padding()
    return model


def item_table(model: keras.Model) -> ItemTable:
    """The table of the items that enter the model."""
    return table_of(model.get_layer(ITEM_EMBEDDING))


def score_table(model: keras.Model) -> ItemTable:
    """The table that scores are made with: that of the items that enter, where tied."""
    return item_table(model) if is_tied(model) else table_of(model.get_layer(OUTPUT_EMBEDDING))


def input_table(model: keras.Model) -> tf.Tensor | tf.Variable:
    """The embeddings of the items that enter the model, float32 [N + 1, E]; row 0 is padding."""
    return item_table(model).whole()


def output_table(model: keras.Model) -> tf.Tensor | tf.Variable:
    """The embeddings that scores are made with, float32 [N + 1, E]; row 0 is padding. The input table where tied."""
    return score_table(model).whole()


def is_tied(model: keras.Model) -> bool:
    """Whether one table serves inputs and scores."""
    return all(layer.name != OUTPUT_EMBEDDING for layer in model.layers)
