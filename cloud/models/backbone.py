"""What a backbone is: the seam between the shape of the model and everything that trains, scores or exports it.

This module knows nothing about losses, optimisers or files.
"""

from __future__ import annotations

from typing import Final, Protocol

import keras
import tensorflow as tf

from pocketrec.cloud.config import ModelConfig

#: Names of layers that the exporter relies on.
ITEM_EMBEDDING: Final = "item_embedding"
FC: Final = "fc"
MODEL_NAME: Final = "next_item"


class Backbone(Protocol):
    """Makes the Keras model, and runs it fast in training.

    The Keras model is the truth: it maps items int32 [B, T] (right-padded with 0) to user embeddings float32
    [B, T, E]; position t sees items 0..t of its row only; a padded position repeats the embedding of the last item.
    """

    name: str

    def build(self, config: ModelConfig, items: int, seed: int) -> keras.Model:
        """A new model over `items` items; equal seeds give equal weights. Touches no global random state."""
        ...

    def train_embeddings(
        self, model: keras.Model, config: ModelConfig, items: tf.Tensor, keep: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        """User embeddings in training, with dropout, of rows that hold several windows one after the other.

        Args:
            model: from `build`.
            config: its configuration.
            items: int32 [B, T].
            keep: float32 [B, T]; 0 where a window starts (nothing before it may be seen), else 1.
            seed: int32 [2]; equal seeds give equal dropout.

        Returns:
            float32 [B, T, E], equal to the Keras model's output on each window alone where dropout is 0. Values
            at padded positions mean nothing.
        """
        ...


def item_table(model: keras.Model) -> tf.Variable:
    """The tied item embeddings, float32 [N + 1, E]; row 0 is padding."""
    return model.get_layer(ITEM_EMBEDDING).embeddings.value
