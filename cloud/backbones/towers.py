# SPDX-License-Identifier: Apache-2.0
"""Backbone ``towers``: UserNet from the window, ItemNet beside it (Two-stage recommendation, K1 and K3).

The user embedding is a network of one hidden layer over the profile of the window (`profile`), which sees past events
alone; the item embeddings are the model's table, with content where `model.content` says so. Order within a window
does not matter: what somebody likes is foretold, not what comes next.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones.backbone import FC, Stateless, item_inputs, item_table, next_item_model
from pocketrec.cloud.backbones.fused import gelu, linear
from pocketrec.cloud.backbones.keras_layers import Activation
from pocketrec.cloud.backbones.parts import dropout, window_numbers
from pocketrec.cloud.backbones.profile import Profile, profile_spec, window_profiles
from pocketrec.cloud.backbones.specs import activation_spec
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.towers import TowersOptions
from pocketrec.device.contract.layers import ADAPTER, HEAD, LayerSpec, dense_spec

PROFILE = "profile"
HIDDEN = "user"


class TowersBackbone(Stateless):
    """``item_embedding`` -> ``profile`` -> ``user`` -> GELU -> ``fc``."""

    def layers(self, config: ModelConfig) -> tuple[LayerSpec, ...]:
        """See `Backbone.layers`; hidden layer and GELU are one layer, so that the way partial trains it. A patch comes
        before GELU, as PeterRec's before a convolution's activation."""
        size, hidden = config.embedding, config.options.hidden
        dense = dense_spec(HIDDEN, 2 * size + 1, hidden, patch=ADAPTER)
        inner = (dense, activation_spec(f"{HIDDEN}_gelu", hidden, "gelu"))
        user = LayerSpec("stack", f"{HIDDEN}_net", (), 2 * size + 1, hidden, {}, inner)
        return profile_spec(PROFILE, size, config.window), user, dense_spec(FC, hidden, size, HEAD)

    def build(self, config: ModelConfig, items: int, seed: int) -> keras.Model:
        """See `Backbone.build`."""
        options: TowersOptions = config.options
        seeds = iter(np.random.SeedSequence(seed).generate_state(6).tolist())
        inputs, x = item_inputs(config, items, seeds)
        start = keras.initializers.GlorotUniform(seed=next(seeds))
        x = keras.layers.Dense(options.hidden, kernel_initializer=start, name=HIDDEN)(Profile(name=PROFILE)(x))
        x = Activation("gelu", name=f"{HIDDEN}_gelu")(x)
        if options.hidden_dropout:
            x = keras.layers.Dropout(options.hidden_dropout, seed=next(seeds), name="user_dropout")(x)
        return next_item_model(inputs, x, config, items, seeds)

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
        number, steps = window_numbers(keep), tf.range(tf.shape(items)[1])
        before = steps[:, tf.newaxis] >= steps  # (T, T)
        same = tf.cast((number[:, :, tf.newaxis] == number[:, tf.newaxis]) & before, tf.float32)  # (B, T, T)
        known = tf.cast(items > 0, tf.float32)
        x = dropout(item_table(model).gather(items), config.dropout, seed, 0)  # (B, T, E)
        x = linear(window_profiles(x, same, known), model.get_layer(HIDDEN))  # (B, T, H)
        x = dropout(gelu(x), config.options.hidden_dropout, seed, 1)
        return linear(x, model.get_layer(FC)), tf.zeros([0])
