# SPDX-License-Identifier: Apache-2.0
"""Blocks of a minimal GRU: a recurrent net whose gates do not look at the state (Feng et al. 2024).

A block adds to its input what a minimal GRU makes of the normalised input, then, where it has one, what a
feed-forward part makes of the normalised sum; a normalisation ends the body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones.backbone import FC, item_inputs, item_table, next_item_model
from pocketrec.cloud.backbones.fused import gelu, linear, normal, thinned
from pocketrec.cloud.backbones.keras_layers import Activation, RepeatLast, norm
from pocketrec.cloud.backbones.mingru_layer import MinGru, recurrence
from pocketrec.cloud.backbones.mingru_specs import FINAL_NORM, mingru_specs
from pocketrec.cloud.backbones.parts import dropout
from pocketrec.cloud.backbones.sharing import once, owners
from pocketrec.cloud.config.mingru import MINGRU_STARTS, MinGruOptions
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.device.contract.layers import LayerSpec


class MinGruBackbone:
    """``item_embedding`` -> blocks -> ``norm`` -> ``fc``; layer names are a contract with the exporter."""

    def layers(self, config: ModelConfig) -> tuple[LayerSpec, ...]:
        """See `Backbone.layers`."""
        return mingru_specs(config.embedding, config.options, FC, config.share)

    def build(self, config: ModelConfig, items: int, seed: int) -> keras.Model:
        """See `Backbone.build`."""
        options: MinGruOptions = config.options
        seeds = iter(np.random.SeedSequence(seed).generate_state(6 * options.layers + 4).tolist())
        inputs, x = item_inputs(config, items, seeds)
        made: dict[str, Any] = {}
        narrow, wide = (_dense(times * config.embedding, seeds) for times in (1, options.feed_forward))
        for place, owner in enumerate(owners(options.layers, config.share), 1):
            y = once(made, f"norm_{owner}", norm)(x)
            y = once(made, f"mingru_{owner}", lambda of: MinGru(options.hidden, next(seeds), name=of))(y)  # (B, T, H)
            x = _added(x, once(made, f"out_{owner}", narrow)(y), f"out_{place}", options, seeds)
            if options.feed_forward:
                y = once(made, f"ffn_norm_{owner}", norm)(x)
                y = once(made, f"ffn_in_{owner}", wide)(y)
                y = Activation("gelu", name=f"ffn_gelu_{place}")(y)
                x = _added(x, once(made, f"ffn_out_{owner}", narrow)(y), f"ffn_out_{place}", options, seeds)
        x = RepeatLast(name="repeat_last")([norm(FINAL_NORM)(x), inputs])  # (B, T, E)
        model = next_item_model(inputs, x, config, items, seeds, identity=True)
        MINGRU_STARTS.load(options.start)(_blocks(model, config), config, seed)
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
        """See `Backbone.train_embeddings`. Rows of all steps lie in one matrix, time first: (T * B, E)."""
        options: MinGruOptions = config.options
        (rows, steps), size = items.shape, config.embedding
        x = item_table(model).gather(tf.transpose(items))  # (T, B, E)
        x = tf.reshape(dropout(x, config.dropout, seed, 0), [-1, size])
        carry = tf.transpose(keep)[:, :, tf.newaxis]  # (T, B, 1)
        layer = _layers(model)
        after = []
        for place, owner in enumerate(owners(options.layers, config.share), 1):
            before = tf.zeros([rows, options.hidden]) if state is None else state[place - 1]
            y = linear(normal(x, layer(f"norm_{owner}")), layer(f"mingru_{owner}"))  # (T * B, 2H)
            y = recurrence(tf.reshape(y, [steps, rows, 2 * options.hidden]), carry, before)  # (T, B, H)
            after.append(y[-1])
            y = linear(tf.reshape(y, [-1, options.hidden]), layer(f"out_{owner}"))
            x += thinned(y, options.block_dropout, seed, 2 * place - 1)
            if options.feed_forward:
                y = linear(normal(x, layer(f"ffn_norm_{owner}")), layer(f"ffn_in_{owner}"))
                y = linear(gelu(y), layer(f"ffn_out_{owner}"))
                x += thinned(y, options.block_dropout, seed, 2 * place)
        x = linear(normal(x, layer(FINAL_NORM)), layer(FC))
        return tf.transpose(tf.reshape(x, [steps, rows, size]), [1, 0, 2]), tf.stack(after)  # (B, T, E)

    def state_shape(self, config: ModelConfig, rows: int) -> tuple[int, ...]:
        """See `Backbone.state_shape`."""
        return config.options.layers, rows, config.options.hidden

    def resolved(self, config: ModelConfig, *, sessions: bool) -> ModelConfig:
        """See `Backbone.resolved`: the same everywhere, and it carries its state."""
        return config

    def packs(self, config: ModelConfig) -> bool:
        """See `Backbone.packs`."""
        return True


def _dense(units: int, seeds: Iterator[int]) -> Callable[[str], Any]:
    """Makes linear layers of so many units by their names."""
    start = keras.initializers.GlorotUniform
    return lambda name: keras.layers.Dense(units, kernel_initializer=start(seed=next(seeds)), name=name)


def _added(x: Any, y: Any, name: str, options: MinGruOptions, seeds: Iterator[int]) -> Any:
    """x, and y with dropout."""
    if options.block_dropout:
        y = keras.layers.Dropout(options.block_dropout, seed=next(seeds), name=f"{name}_dropout")(y)
    return keras.layers.Add(name=f"{name}_sum")([x, y])


def _blocks(model: keras.Model, config: ModelConfig) -> list[tuple[Any, Any, Any]]:
    """Of each block with tensors of its own the recurrent layer, the linear one after it, and the last of the
    feed-forward part or None."""
    layer, options = _layers(model), config.options
    return [
        (layer(f"mingru_{i}"), layer(f"out_{i}"), layer(f"ffn_out_{i}") if options.feed_forward else None)
        for i in dict.fromkeys(owners(options.layers, config.share))
    ]


def _layers(model: keras.Model) -> Callable[[str], Any]:
    return {layer.name: layer for layer in model.layers}.__getitem__
