# SPDX-License-Identifier: Apache-2.0
"""Items that a trained model has not seen: their embeddings from content, and the model over another table of items."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pocketrec.cloud.backbones import ITEM_EMBEDDING, build_model, item_table
from pocketrec.cloud.backbones.item_net import ContentEmbedding
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.data.item_features import ItemFeatures
from pocketrec.device.base.errors import ConfigError


def content_rows(model: keras.Model, features: ItemFeatures) -> NDArray[np.float32]:
    """Embeddings of items by their content alone, float32 [n, E]: what training with id dropout made it good for.

    Raises:
        ConfigError: the model has no content.
    """
    table = item_table(model)
    if not isinstance(table, ContentEmbedding):
        raise ConfigError("the model knows nothing of content, so a new item has no embedding: train it with [items] "
                          "and model.content = true")  # fmt: skip
    numbers = features.numbers if features.numbers.shape[1] else np.zeros((len(features), 1), np.float32)
    found: NDArray[np.float32] = table.content(tf.constant(features.values), tf.constant(numbers)).numpy()
    return found


def over_table(model: keras.Model, config: ModelConfig, table: NDArray[np.float32]) -> tuple[keras.Model, ModelConfig]:
    """The same model over these item embeddings, float32 [N + 1, E], as a plain table; and its configuration."""
    plain = dataclasses.replace(config, item_blocks=[], content=False, id_dropout=0.0)
    made = build_model(plain, len(table) - 1, 0)
    for layer in made.layers:
        if layer.name == ITEM_EMBEDDING:
            layer.set_weights([table])
        elif layer.get_weights():
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return made, plain
