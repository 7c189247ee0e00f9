# SPDX-License-Identifier: Apache-2.0
"""GRec's encoder: NextItNet's blocks with convolutions that see both sides, trained by cloze.

Yuan et al., WWW 2020, and PeterRec's form that is not causal (Yuan et al., SIGIR 2020).

Differences to the original: no decoder; the mask stands after the last event when the next item is asked for; a linear
layer that starts as the identity comes before the scores, whose table is the items' own.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones.backbone import FC, Stateless, item_inputs, next_item_model
from pocketrec.cloud.backbones.cloze import (
    AT_MASK,
    MASK,
    AppendMask,
    AtMask,
    at_mask_spec,
    mask_spec,
    masked_embeddings,
)
from pocketrec.cloud.backbones.fused import linear
from pocketrec.cloud.backbones.nextitnet import block_specs, blocks, train_blocks
from pocketrec.cloud.backbones.parts import window_numbers
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.nextitnet import GrecOptions
from pocketrec.device.contract.layers import HEAD, LayerSpec, dense_spec


class GrecBackbone(Stateless):
    """``item_embedding`` -> ``mask`` -> ``block_1`` .. ``block_n`` -> ``at_mask`` -> ``fc``; the Keras layers of blocks
    are those of `pocketrec.cloud.backbones.nextitnet.NextItNetBackbone`."""

    def layers(self, config: ModelConfig) -> tuple[LayerSpec, ...]:
        """See `Backbone.layers`; last block and ``at_mask`` are one layer, so that the way partial trains the block."""
        size = config.embedding
        *below, last = block_specs(config.options, size, config.share)
        last = LayerSpec("stack", f"{last.name}_at_mask", (), size, size, {}, (last, at_mask_spec(size)))
        return mask_spec(size), *below, last, dense_spec(FC, size, size, HEAD)

    def build(self, config: ModelConfig, items: int, seed: int) -> keras.Model:
        """See `Backbone.build`."""
        options: GrecOptions = config.options
        seeds = iter(np.random.SeedSequence(seed).generate_state(3 * len(options.dilations) + 5).tolist())
        inputs, x = item_inputs(config, items, seeds)
        std = config.embedding_std or config.embedding**-0.5
        x = AppendMask(std, next(seeds), name=MASK)([x, inputs])  # (B, T + 1, E)
        x = AtMask(name=AT_MASK)([blocks(x, options, seeds, config.share), inputs])  # (B, T, E)
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
        """See `Backbone.train_embeddings`."""
        x = masked_embeddings(model, items, config.dropout, seed)  # (B, T, E)
        windows = tf.where(items == 0, 0, window_numbers(keep) + 1)  # padding has one of its own, which no event sees
        x = train_blocks(model, config, x, windows, seed)
        out = linear(tf.reshape(x, [-1, config.embedding]), model.get_layer(FC))
        return tf.reshape(out, tf.shape(x)), tf.zeros([0])
