# SPDX-License-Identifier: Apache-2.0
"""The backbone mean: the user embedding is a linear layer of the mean of the item embeddings so far."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones.backbone import FC, item_inputs, item_table, next_item_model
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.device.contract.layers import HEAD, LayerSpec, dense_spec


@keras.saving.register_keras_serializable(package="ours")
class CausalMean(keras.layers.Layer):
    """Mean of the steps so far, (B, T, E) -> (B, T, E); padding is left out, and repeats the last mean."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """The means."""
        kept = keras.ops.ones_like(inputs[..., :1]) if mask is None else keras.ops.cast(mask, "float32")[..., None]
        count = keras.ops.maximum(keras.ops.cumsum(kept, axis=1), 1.0)
        return keras.ops.cumsum(inputs * kept, axis=1) / count


class Mean:
    """``item_embedding`` -> ``mean`` -> ``fc``. See `pocketrec.cloud.backbones.backbone.Backbone`."""

    def layers(self, config: ModelConfig) -> tuple[LayerSpec, ...]:
        """See `Backbone.layers`."""
        size = config.embedding
        mean = LayerSpec("mean", "mean", (), size, size, {"window": config.window})
        return mean, dense_spec(FC, size, size, HEAD)

    def build(self, config: ModelConfig, items: int, seed: int) -> keras.Model:
        """See `Backbone.build`."""
        seeds = iter(np.random.SeedSequence(seed).generate_state(4).tolist())
        inputs, x = item_inputs(config, items, seeds)
        return next_item_model(inputs, CausalMean(name="mean")(x), config, items, seeds)

    def train_embeddings(
        self,
        model: keras.Model,
        config: ModelConfig,
        items: tf.Tensor,
        keep: tf.Tensor,
        seed: tf.Tensor,
        state: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Backbone.train_embeddings`; the state of a row is the sum of its window so far, and its count."""
        x = item_table(model).gather(items)  # (B, T, E)
        if config.dropout:
            x = tf.nn.experimental.stateless_dropout(x, config.dropout, seed)
        known = tf.cast(items > 0, tf.float32)[..., tf.newaxis]
        x = tf.concat([x * known, known], -1)  # (B, T, E + 1)
        window = tf.cumsum(1.0 - keep, 1)  # (B, T): number of the window that a step is of; 0 = goes on from before
        steps = tf.range(tf.shape(items)[1])
        same = (window[:, :, tf.newaxis] == window[:, tf.newaxis]) & (steps[:, tf.newaxis] >= steps)  # (B, T, T)
        sums = tf.matmul(tf.cast(same, tf.float32), x)  # (B, T, E + 1)
        if state is not None:
            sums += tf.cast(window == 0, tf.float32)[..., tf.newaxis] * state[:, tf.newaxis]
        fc = model.get_layer(FC)
        mean = sums[..., :-1] / tf.maximum(sums[..., -1:], 1.0)
        return tf.einsum("bti,io->bto", mean, fc.kernel.value) + fc.bias.value, sums[:, -1]

    def state_shape(self, config: ModelConfig, rows: int) -> tuple[int, ...]:
        """See `Backbone.state_shape`."""
        return rows, config.embedding + 1

    def resolved(self, config: ModelConfig, *, sessions: bool) -> ModelConfig:
        """See `Backbone.resolved`."""
        return config

    def packs(self, config: ModelConfig) -> bool:
        """See `Backbone.packs`."""
        return True
