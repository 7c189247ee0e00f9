# SPDX-License-Identifier: Apache-2.0
"""Backbone ``sasrec``: causal self-attention (Kang and McAuley, ICDM 2018), here with the loss that the training names.

Item embeddings plus learned positions, then blocks with the norm before each part (as in GPT-2, Radford et al. 2019):
x + attention(norm x), x + feed-forward(norm x); a last norm, and a linear layer that starts as the identity.
Positions count from a window's start, so that an event's position is known when it happens and no later event changes
it; a row of the model may therefore not be longer than the window.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones.attention import attend, layout
from pocketrec.cloud.backbones.backbone import FC, Stateless, item_inputs, item_table, next_item_model
from pocketrec.cloud.backbones.fused import gelu, linear, normal, thinned
from pocketrec.cloud.backbones.keras_layers import RepeatLast, norm
from pocketrec.cloud.backbones.parts import window_numbers
from pocketrec.cloud.backbones.sasrec_layers import FeedForward, Positions, SelfAttention
from pocketrec.cloud.backbones.sharing import once, owners, shared
from pocketrec.cloud.backbones.specs import activation_spec, norm_spec, residual_spec
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.sasrec import SasrecOptions
from pocketrec.device.contract.layers import ADAPTER, HEAD, TRAINED, LayerSpec, TensorSpec, dense_spec

POSITIONS = "positions"
LAST_NORM = "last_norm"


class SasrecBackbone(Stateless):
    """``item_embedding`` -> ``positions`` -> blocks -> ``last_norm`` -> ``fc``."""

    def layers(self, config: ModelConfig) -> tuple[LayerSpec, ...]:
        """See `Backbone.layers`; last block and last norm are one layer, so that the way partial trains both."""
        size = config.embedding
        names = [f"block_{place}" for place in range(1, config.options.layers + 1)]
        blocks = [LayerSpec("stack", name, (), size, size, {}, _parts(name, config)) for name in names]
        *below, last = shared(blocks, config.share)
        last = dataclasses.replace(last, inner=(*last.inner, norm_spec(LAST_NORM, size, TRAINED)))
        return _positions(config), *below, last, dense_spec(FC, size, size, HEAD)

    def build(self, config: ModelConfig, items: int, seed: int) -> keras.Model:
        """See `Backbone.build`."""
        options: SasrecOptions = config.options
        seeds = iter(np.random.SeedSequence(seed).generate_state(2 * options.layers + 5).tolist())
        inputs, x = item_inputs(config, items, seeds)
        wide = options.feed_forward * config.embedding
        x = Positions(config.window, _scale(config), next(seeds), name=POSITIONS)(x)
        made: dict[str, Any] = {}
        for place, owner in enumerate(owners(options.layers, config.share), 1):
            name, own = f"block_{place}", f"block_{owner}"
            y = once(made, f"{own}_attention_norm", norm)(x)
            y = once(made, f"{own}_attention", lambda of: SelfAttention(options.heads, next(seeds), name=of))(y)
            x = keras.layers.Add(name=f"{name}_attention_add")([x, y])
            y = once(made, f"{own}_ffn_norm", norm)(x)
            y = once(made, f"{own}_ffn", lambda of: FeedForward(wide, next(seeds), name=of))(y)
            x = keras.layers.Add(name=f"{name}_ffn_add")([x, y])
        x = RepeatLast(name="repeat_last")([norm(LAST_NORM)(x), inputs])
        return next_item_model(inputs, x, config, items, seeds, identity=True)

    def train_embeddings(
        self,
        model: keras.Model,
        config: ModelConfig,
        items: tf.Tensor,
        keep: tf.Tensor,
        seed: tf.Tensor,
        state: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Backbone.train_embeddings`; there is no state, and an empty one is returned."""
        options: SasrecOptions = config.options
        hidden, places = layout(window_numbers(keep))  # (B, 1, T, T), (B, T)
        x = item_table(model).gather(tf.reshape(items, [-1]))  # (B * T, E)
        x = thinned(x, config.dropout, seed, 0) * _scale(config)
        x += tf.gather(model.get_layer(POSITIONS).embeddings.value, tf.reshape(places, [-1]))
        for place, owner in enumerate(owners(options.layers, config.share), 1):
            name, number = f"block_{owner}", 3 * place
            attention, ffn = model.get_layer(f"{name}_attention"), model.get_layer(f"{name}_ffn")
            y = normal(x, model.get_layer(f"{name}_attention_norm"))
            y = tf.matmul(y, attention.qkv_kernel.value)  # (B * T, 3E)
            y = attend(y, hidden, options.heads, (options.attention_dropout, seed, number - 2))
            y = tf.matmul(y, attention.out_kernel.value) + attention.out_bias.value
            x += thinned(y, options.block_dropout, seed, number - 1)
            y = normal(x, model.get_layer(f"{name}_ffn_norm"))
            y = gelu(tf.matmul(y, ffn.in_kernel.value) + ffn.in_bias.value)
            x += thinned(tf.matmul(y, ffn.out_kernel.value) + ffn.out_bias.value, options.block_dropout, seed, number)
        x = linear(normal(x, model.get_layer(LAST_NORM)), model.get_layer(FC))
        return tf.reshape(x, [-1, items.shape[1], config.embedding]), tf.zeros([0])


def _scale(config: ModelConfig) -> float:
    """Of the item embeddings that enter the first block, as in the paper's code: they then weigh as much as what the
    blocks add."""
    return float(np.sqrt(np.float32(config.embedding)))


def _positions(config: ModelConfig) -> LayerSpec:
    size = config.embedding
    table = TensorSpec(f"{POSITIONS}_embeddings", (config.window, size))
    return LayerSpec("positions", POSITIONS, (table,), size, size, {"scale": _scale(config)})


def _parts(name: str, config: ModelConfig) -> tuple[LayerSpec, LayerSpec]:
    """The two parts of a block; a patch puts an adapter after (or beside) the attention and the feed-forward layers."""
    options: SasrecOptions = config.options
    size, wide = config.embedding, options.feed_forward * config.embedding
    core = LayerSpec("attention", f"{name}_attention_core", (), 3 * size, size,
                     {"heads": options.heads, "window": config.window})  # fmt: skip
    into, out = dense_spec(f"{name}_attention_qkv", size, 3 * size), dense_spec(f"{name}_attention_out", size, size)
    into = dataclasses.replace(into, tensors=into.tensors[:1])  # no bias
    attention = LayerSpec("stack", f"{name}_attention", (), size, size, {}, (into, core, out), patch=ADAPTER)
    into, out = dense_spec(f"{name}_ffn_in", size, wide), dense_spec(f"{name}_ffn_out", wide, size)
    bent = activation_spec(f"{name}_ffn_gelu", wide, "gelu")
    ffn = LayerSpec("stack", f"{name}_ffn", (), size, size, {}, (into, bent, out), patch=ADAPTER)
    return (
        residual_spec(f"{name}_attention_add", size, (norm_spec(f"{name}_attention_norm", size), attention)),
        residual_spec(f"{name}_ffn_add", size, (norm_spec(f"{name}_ffn_norm", size), ffn)),
    )
