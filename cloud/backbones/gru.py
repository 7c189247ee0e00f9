"""The DeepRec backbone: item embedding, GRU layers, a linear layer to the embedding size (Han et al., WWW 2021)."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones.backbone import (
    FC,
    ITEM_EMBEDDING,
    MODEL_NAME,
    OUTPUT_EMBEDDING,
    OutputEmbedding,
    input_table,
    output_table,
)
from pocketrec.cloud.backbones.gru_layer import gru
from pocketrec.cloud.backbones.gru_start import start_by_copying
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.device.contract.layers import HEAD, LayerSpec, dense_spec, gru_spec


class GruBackbone:
    """``item_embedding`` -> ``gru_1`` .. ``gru_n`` -> ``fc``; layer names are a contract with the exporter."""

    def layers(self, config: ModelConfig) -> tuple[LayerSpec, ...]:
        """See `Backbone.layers`."""
        sizes = [config.embedding, *[config.hidden] * (config.layers - 1)]
        body = [gru_spec(f"gru_{place}", size, config.hidden) for place, size in enumerate(sizes, 1)]
        return *body, dense_spec(FC, config.hidden, config.embedding, HEAD)

    def build(self, config: ModelConfig, items: int, seed: int) -> keras.Model:
        """See `Backbone.build`."""
        seeds = iter(np.random.SeedSequence(seed).generate_state(3 * config.layers + 4).tolist())
        inputs = keras.Input((None,), dtype="int32", name="items")  # (B, T)
        std = config.embedding_std or config.embedding**-0.5
        x = keras.layers.Embedding(
            items + 1,
            config.embedding,
            mask_zero=True,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=std, seed=next(seeds)),
            name=ITEM_EMBEDDING,
        )(inputs)  # (B, T, E)
        if config.dropout:
            x = keras.layers.Dropout(config.dropout, seed=next(seeds), name="item_dropout")(x)
        for layer in range(1, config.layers + 1):
            x = keras.layers.GRU(
                config.hidden,
                return_sequences=True,
                reset_after=True,
                kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
                recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)),
                name=f"gru_{layer}",
            )(x)  # (B, T, H)
            if config.hidden_dropout:
                x = keras.layers.Dropout(config.hidden_dropout, seed=next(seeds), name=f"dropout_{layer}")(x)
        x = keras.layers.Dense(
            config.embedding, kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)), name=FC
        )(x)  # (B, T, E)
        if not config.tied:
            x = OutputEmbedding(items + 1, config.embedding, next(seeds), name=OUTPUT_EMBEDDING)(x)
        model = keras.Model(inputs, x, name=MODEL_NAME)
        if config.start == "copy":
            layers = [model.get_layer(f"gru_{layer}") for layer in range(1, config.layers + 1)]
            start_by_copying(layers, model.get_layer(FC), config, seed)
        for table in (input_table(model), output_table(model)):
            table[0].assign(tf.zeros([config.embedding]))  # row 0 is padding
        return model

    def train_embeddings(
        self,
        model: keras.Model,
        config: ModelConfig,
        items: tf.Tensor,
        keep: tf.Tensor,
        seed: tf.Tensor,
        state: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Backbone.train_embeddings`."""
        if config.implementation == "keras":
            return self._keras_embeddings(model, config, items, seed)
        x = tf.gather(input_table(model), tf.transpose(items))  # (T, B, E)
        carry = tf.transpose(keep)[:, :, tf.newaxis]  # (T, B, 1)
        x = _dropout(x, config.dropout, seed, 0)
        after = []
        for layer in range(1, config.layers + 1):
            cell = model.get_layer(f"gru_{layer}").cell
            before = None if state is None else state[layer - 1]
            x = gru(x, carry, cell.kernel.value, cell.recurrent_kernel.value, cell.bias.value, before)  # (T, B, H)
            after.append(x[-1])
            x = _dropout(x, config.hidden_dropout, seed, layer)
        fc = model.get_layer(FC)
        return tf.transpose(tf.matmul(x, fc.kernel.value) + fc.bias.value, [1, 0, 2]), tf.stack(after)  # (B, T, E)

    def _keras_embeddings(
        self, model: keras.Model, config: ModelConfig, items: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The same with Keras's own layers, without masks: what comes after a window's end is not looked at."""
        x = _dropout(tf.gather(input_table(model), items), config.dropout, seed, 0)  # (B, T, E)
        after = []
        for layer in range(1, config.layers + 1):
            x = model.get_layer(f"gru_{layer}")(x, training=True)  # (B, T, H)
            after.append(x[:, -1])
            x = _dropout(x, config.hidden_dropout, seed, layer)
        return model.get_layer(FC)(x), tf.stack(after)  # (B, T, E)

    def state_shape(self, config: ModelConfig, rows: int) -> tuple[int, ...]:
        """See `Backbone.state_shape`."""
        return config.layers, rows, config.hidden


def _dropout(x: tf.Tensor, rate: float, seed: tf.Tensor, layer: int) -> tf.Tensor:
    """Inverted dropout whose mask follows from the seed int32 [2] and the layer alone."""
    if not rate:
        return x
    draw = tf.random.stateless_uniform(tf.shape(x), seed + tf.constant([0, layer]))
    return tf.where(draw < rate, tf.zeros((), x.dtype), x * (1 / (1 - rate)))
