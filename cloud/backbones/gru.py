# SPDX-License-Identifier: Apache-2.0
"""The DeepRec backbone: item embedding, GRU layers, a linear layer to the embedding size (Han et al., WWW 2021)."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones.backbone import FC, item_inputs, item_table, next_item_model
from pocketrec.cloud.backbones.fused import linear
from pocketrec.cloud.backbones.gru_layer import gru
from pocketrec.cloud.backbones.parts import dropout
from pocketrec.cloud.backbones.sharing import owners, shared
from pocketrec.cloud.config.model import GRU_IMPLEMENTATIONS, GRU_STARTS, GruOptions, ModelConfig
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract.layers import HEAD, LayerSpec, dense_spec, gru_spec


class GruBackbone:
    """``item_embedding`` -> ``gru_1`` .. ``gru_n`` -> ``fc``; layer names are a contract with the exporter.

    Where `ModelConfig.share` has layers share, those that own their tensors are there alone, and run several times.
    """

    def layers(self, config: ModelConfig) -> tuple[LayerSpec, ...]:
        """See `Backbone.layers`."""
        options: GruOptions = config.options
        sizes = [config.embedding, *[options.hidden] * (options.layers - 1)]
        body = [gru_spec(f"gru_{place}", size, options.hidden) for place, size in enumerate(sizes, 1)]
        return *shared(body, config.share), dense_spec(FC, options.hidden, config.embedding, HEAD)

    def build(self, config: ModelConfig, items: int, seed: int) -> keras.Model:
        """See `Backbone.build`."""
        options: GruOptions = config.options
        seeds = iter(np.random.SeedSequence(seed).generate_state(3 * options.layers + 4).tolist())
        inputs, x = item_inputs(config, items, seeds)
        layers: dict[int, keras.layers.GRU] = {}
        for layer, owner in enumerate(owners(options.layers, config.share), 1):
            if owner not in layers:
                layers[owner] = keras.layers.GRU(
                    options.hidden,
                    return_sequences=True,
                    reset_after=True,
                    kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
                    recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)),
                    name=f"gru_{owner}",
                )
            x = layers[owner](x)  # (B, T, H)
            if options.hidden_dropout:
                x = keras.layers.Dropout(options.hidden_dropout, seed=next(seeds), name=f"dropout_{layer}")(x)
        model = next_item_model(inputs, x, config, items, seeds)
        GRU_STARTS.load(options.start)([*layers.values()], model.get_layer(FC), config, seed)
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
        found: tuple[tf.Tensor, tf.Tensor] = GRU_IMPLEMENTATIONS.load(config.options.implementation)(
            model, config, items, keep, seed, state
        )
        return found

    def state_shape(self, config: ModelConfig, rows: int) -> tuple[int, ...]:
        """See `Backbone.state_shape`."""
        return config.options.layers, rows, config.options.hidden

    def resolved(self, config: ModelConfig, *, sessions: bool) -> ModelConfig:
        """See `Backbone.resolved`."""
        named = config.options.implementation
        if named == "keras" and sessions:
            raise ConfigError('train.batching = "sessions" wants model.gru.implementation = "unrolled" (or "auto")')
        if named != "auto":
            return config
        return config.with_options("gru", implementation=GRU_IMPLEMENTATIONS.load(named)(sessions))

    def packs(self, config: ModelConfig) -> bool:
        """See `Backbone.packs`."""
        return bool(config.options.implementation != "keras")


def suited(sessions: bool) -> str:
    """The implementation for this machine: keras where there is a GPU and no state has to be carried on."""
    return "keras" if not sessions and tf.config.list_logical_devices("GPU") else "unrolled"


def unrolled(
    model: keras.Model,
    config: ModelConfig,
    items: tf.Tensor,
    keep: tf.Tensor,
    seed: tf.Tensor,
    state: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """`Backbone.train_embeddings` with `gru`, whose backward pass is written by hand."""
    options: GruOptions = config.options
    x = item_table(model).gather(tf.transpose(items))  # (T, B, E)
    carry = tf.transpose(keep)[:, :, tf.newaxis]  # (T, B, 1)
    x = dropout(x, config.dropout, seed, 0)
    after = []
    for layer, owner in enumerate(owners(options.layers, config.share), 1):
        cell = model.get_layer(f"gru_{owner}").cell
        before = None if state is None else state[layer - 1]
        x = gru(x, carry, cell.kernel.value, cell.recurrent_kernel.value, cell.bias.value, before)  # (T, B, H)
        after.append(x[-1])
        x = dropout(x, options.hidden_dropout, seed, layer)
    return tf.transpose(linear(x, model.get_layer(FC)), [1, 0, 2]), tf.stack(after)  # (B, T, E)


def layered(
    model: keras.Model,
    config: ModelConfig,
    items: tf.Tensor,
    _keep: tf.Tensor,
    seed: tf.Tensor,
    _state: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The same with Keras's own layers, without masks: what comes after a window's end is not looked at."""
    options: GruOptions = config.options
    x = dropout(item_table(model).gather(items), config.dropout, seed, 0)  # (B, T, E)
    after = []
    for layer, owner in enumerate(owners(options.layers, config.share), 1):
        x = model.get_layer(f"gru_{owner}")(x, training=True)  # (B, T, H)
        after.append(x[:, -1])
        x = dropout(x, options.hidden_dropout, seed, layer)
    return model.get_layer(FC)(x), tf.stack(after)  # (B, T, E)
