"""SASRec: blocks of causal self-attention (Kang and McAuley, ICDM 2018), pre-norm, with GELU.

A block adds to its input a linear layer of the attention over the normalised input, then what a feed-forward part
makes of the normalised sum; a normalisation ends the body. Differences to the original: the softmax over all items is
the usual loss, GELU stands for ReLU, the normalised rows alone enter a part, and a linear layer that starts as the
identity comes before the scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones.attention import CausalAttention, Positions, attend, seen_in_packed, steps_of_windows
from pocketrec.cloud.backbones.backbone import FC, input_table, item_inputs, next_item_model
from pocketrec.cloud.backbones.fused import gelu, layer_norm, thinned
from pocketrec.cloud.backbones.keras_layers import Activation, RepeatLast, norm
from pocketrec.cloud.backbones.parts import dropout, window_numbers
from pocketrec.cloud.backbones.specs import activation_spec, norm_spec, residual_spec
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.sasrec import SasRecOptions
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract.layers import ADAPTER, HEAD, TRAINED, LayerSpec, TensorSpec, dense_spec

POSITIONS: Final = "positions"
FINAL_NORM: Final = "norm"


class SasRecBackbone:
    """``item_embedding`` -> ``positions`` -> blocks -> ``norm`` -> ``fc``; of block i the Keras layers are ``norm_i``,
    ``attention_i``, ``out_i``, ``ffn_norm_i``, ``ffn_in_i``, ``ffn_gelu_i`` and ``ffn_out_i``."""

    def layers(self, config: ModelConfig) -> tuple[LayerSpec, ...]:
        """See `Backbone.layers`. A patch puts an adapter on what each part of a block adds (Houlsby et al., ICML 2019),
        and trains the last normalisation."""
        options: SasRecOptions = config.options
        size, blocks = config.embedding, []
        for place in range(1, options.layers + 1):
            parts = list(_block(place, size, options, config.window))
            if place == options.layers:
                parts.append(norm_spec(FINAL_NORM, size, TRAINED))
            blocks.append(LayerSpec("stack", f"block_{place}", (), size, size, {}, tuple(parts)))
        return positions_spec(POSITIONS, config.window, size), *blocks, dense_spec(FC, size, size, HEAD)

    def build(self, config: ModelConfig, items: int, seed: int) -> keras.Model:
        """See `Backbone.build`."""
        options: SasRecOptions = config.options
        seeds = iter(np.random.SeedSequence(seed).generate_state(6 * options.layers + 5).tolist())
        inputs, x = item_inputs(config, items, seeds)
        x = Positions(config.window, next(seeds), name=POSITIONS)(x)
        for place in range(1, options.layers + 1):
            y = CausalAttention(options.heads, next(seeds), name=f"attention_{place}")(norm(f"norm_{place}")(x))
            x = _added(x, y, f"out_{place}", config, seeds)
            y = norm(f"ffn_norm_{place}")(x)
            y = _dense(options.feed_forward * config.embedding, f"ffn_in_{place}", seeds)(y)
            x = _added(x, Activation("gelu", name=f"ffn_gelu_{place}")(y), f"ffn_out_{place}", config, seeds)
        x = RepeatLast(name="repeat_last")([norm(FINAL_NORM)(x), inputs])  # (B, T, E)
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
        """See `Backbone.train_embeddings`. Between attentions, rows of all positions lie in one matrix (B * T, E)."""
        options: SasRecOptions = config.options
        layer = {layer.name: layer for layer in model.layers}
        rows, steps = items.shape
        seen = seen_in_packed(window_numbers(keep))  # (B, 1, T, T)
        x = dropout(tf.gather(input_table(model), items), config.dropout, seed, 0)  # (B, T, E)
        x += tf.gather(layer[POSITIONS].table.value, steps_of_windows(keep, config.window))
        x = tf.reshape(x, [-1, config.embedding])
        for place in range(1, options.layers + 1):
            y = _linear(_normal(x, layer[f"norm_{place}"]), layer[f"attention_{place}"])  # (B * T, 3E)
            y = attend(tf.reshape(y, [rows, steps, 3 * config.embedding]), seen, options.heads)
            y = _linear(tf.reshape(y, [-1, config.embedding]), layer[f"out_{place}"])
            x += thinned(y, options.block_dropout, seed, 2 * place - 1)
            y = gelu(_linear(_normal(x, layer[f"ffn_norm_{place}"]), layer[f"ffn_in_{place}"]))
            x += thinned(_linear(y, layer[f"ffn_out_{place}"]), options.block_dropout, seed, 2 * place)
        x = _linear(_normal(x, layer[FINAL_NORM]), layer[FC])
        return tf.reshape(x, [rows, steps, config.embedding]), tf.zeros([0])

    def state_shape(self, config: ModelConfig, rows: int) -> tuple[int, ...]:
        """See `Backbone.state_shape`: none."""
        return (0,)

    def resolved(self, config: ModelConfig, *, sessions: bool) -> ModelConfig:
        """See `Backbone.resolved`."""
        if sessions:
            raise ConfigError(f'model.backbone = "{config.backbone}" carries no state from step to step, which '
                              'train.batching = "sessions" wants: set train.batching = "windows"')  # fmt: skip
        return config

    def packs(self, config: ModelConfig) -> bool:
        """See `Backbone.packs`."""
        return True


def attention_spec(name: str, size: int, heads: int, window: int) -> LayerSpec:
    """A ``pocketrec.cloud.backbones.attention.CausalAttention(heads)`` over windows of so many steps."""
    tensors = (TensorSpec(f"{name}_kernel", (size, 3 * size)), TensorSpec(f"{name}_bias", (3 * size,)))
    return LayerSpec("attention", name, tensors, size, size, {"heads": heads, "window": window})


def positions_spec(name: str, window: int, size: int) -> LayerSpec:
    """A ``pocketrec.cloud.backbones.attention.Positions(window)``."""
    return LayerSpec("positions", name, (TensorSpec(f"{name}_table", (window, size)),), size, size)


def _block(place: int, size: int, options: SasRecOptions, window: int) -> tuple[LayerSpec, ...]:
    width = options.feed_forward * size
    attention = (
        norm_spec(f"norm_{place}", size),
        attention_spec(f"attention_{place}", size, options.heads, window),
        dense_spec(f"out_{place}", size, size, patch=ADAPTER),
    )
    feed_forward = (
        norm_spec(f"ffn_norm_{place}", size),
        dense_spec(f"ffn_in_{place}", size, width),
        activation_spec(f"ffn_gelu_{place}", width, "gelu"),
        dense_spec(f"ffn_out_{place}", width, size, patch=ADAPTER),
    )
    return residual_spec(f"attended_{place}", size, attention), residual_spec(f"fed_{place}", size, feed_forward)


def _dense(units: int, name: str, seeds: Iterator[int]) -> Any:
    return keras.layers.Dense(units, kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)), name=name)


def _added(x: Any, y: Any, name: str, config: ModelConfig, seeds: Iterator[int]) -> Any:
    """x, and a linear layer of y with dropout."""
    y = _dense(config.embedding, name, seeds)(y)
    if config.options.block_dropout:
        y = keras.layers.Dropout(config.options.block_dropout, seed=next(seeds), name=f"{name}_dropout")(y)
    return keras.layers.Add(name=f"{name}_sum")([x, y])


def _linear(x: tf.Tensor, layer: Any) -> tf.Tensor:
    return tf.matmul(x, layer.kernel.value) + layer.bias.value


def _normal(x: tf.Tensor, layer: Any) -> tf.Tensor:
    return layer_norm(x, layer.gamma.value, layer.beta.value)
