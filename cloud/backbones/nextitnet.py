# SPDX-License-Identifier: Apache-2.0
"""NextItNet: residual blocks of two dilated causal convolutions (Yuan et al., WSDM 2019, figure 3 b and section 3.3).

A block is conv(d) -> layer norm -> ReLU -> conv(2 d) -> layer norm -> ReLU, added to its input. Differences to the
original: a linear layer that starts as the identity comes before the scores, whose table is the items' own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones.backbone import FC, Stateless, item_inputs, item_table, next_item_model
from pocketrec.cloud.backbones.conv import DilatedConvolution, convolution, shifts
from pocketrec.cloud.backbones.fused import linear
from pocketrec.cloud.backbones.keras_layers import Activation, RepeatLast, norm
from pocketrec.cloud.backbones.parts import dropout, window_numbers
from pocketrec.cloud.backbones.sharing import once, owners, shared
from pocketrec.cloud.backbones.specs import activation_spec, conv_spec, norm_spec, residual_spec
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.nextitnet import NextItNetOptions
from pocketrec.device.contract.layers import ADAPTER, HEAD, TRAINED, LayerSpec, dense_spec


class NextItNetBackbone(Stateless):
    """``item_embedding`` -> ``block_1`` .. ``block_n`` -> ``fc``; of block i the Keras layers are ``conv_i_1``,
    ``norm_i_1``, ``relu_i_1`` and the same with 2."""

    def layers(self, config: ModelConfig) -> tuple[LayerSpec, ...]:
        """See `Backbone.layers`."""
        size = config.embedding
        return *block_specs(config.options, size, config.share), dense_spec(FC, size, size, HEAD)

    def build(self, config: ModelConfig, items: int, seed: int) -> keras.Model:
        """See `Backbone.build`."""
        options: NextItNetOptions = config.options
        seeds = iter(np.random.SeedSequence(seed).generate_state(3 * len(options.dilations) + 4).tolist())
        inputs, x = item_inputs(config, items, seeds)
        x = RepeatLast(name="last")([blocks(x, options, seeds, config.share), inputs])  # (B, T, E)
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
        x = dropout(item_table(model).gather(items), config.dropout, seed, 0)  # (B, T, E)
        x = train_blocks(model, config, x, window_numbers(keep), seed)
        out = linear(tf.reshape(x, [-1, config.embedding]), model.get_layer(FC))
        return tf.reshape(out, tf.shape(x)), tf.zeros([0])


def block_specs(options: NextItNetOptions, size: int, share: str = "none") -> tuple[LayerSpec, ...]:
    """The blocks as layers; a patch puts an adapter after (or beside) each convolution and trains the second norm
    (PeterRec, Yuan et al., SIGIR 2020)."""
    found = []
    for place, dilation in enumerate(options.dilations, 1):
        inner: list[LayerSpec] = []
        for half, patch in ((1, ""), (2, TRAINED)):
            name = f"{place}_{half}"
            inner += [
                conv_spec(f"conv_{name}", size, options.kernel, half * dilation, ADAPTER, causal=options.CAUSAL),
                norm_spec(f"norm_{name}", size, patch),
                activation_spec(f"relu_{name}", size, "relu"),
            ]
        found.append(residual_spec(f"block_{place}", size, tuple(inner)))
    return tuple(shared(found, share))


def blocks(x: Any, options: NextItNetOptions, seeds: Iterator[int], share: str = "none") -> Any:
    """The blocks as Keras layers on x (B, T, E). Takes two of `seeds` for each that does not have another's tensors,
    and with dropout one for each."""
    made: dict[str, Any] = {}

    def convolution_of(dilation: int) -> Callable[[str], Any]:
        return lambda name: DilatedConvolution(
            options.kernel, dilation, causal=options.CAUSAL, seed=next(seeds), name=name
        )

    owned = owners(len(options.dilations), share)
    for place, (dilation, owner) in enumerate(zip(options.dilations, owned, strict=True), 1):
        y = x
        for half in (1, 2):
            conv = once(made, f"conv_{owner}_{half}", convolution_of(half * dilation))
            other = {} if conv.dilation == half * dilation else {"dilation": half * dilation}
            y = once(made, f"norm_{owner}_{half}", norm)(conv(y, **other))
            y = Activation("relu", name=f"relu_{place}_{half}")(y)  # (B, T, E)
        if options.block_dropout:
            y = keras.layers.Dropout(options.block_dropout, seed=next(seeds), name=f"dropout_{place}")(y)
        x = keras.layers.Add(name=f"block_{place}")([x, y])
    return x


def train_blocks(
    model: keras.Model, config: ModelConfig, x: tf.Tensor, windows: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """The blocks of a model in training, on x float32 [B, T, E] whose positions lie in `windows` int32 [B, T]."""
    options: NextItNetOptions = config.options
    owned = owners(len(options.dilations), config.share)
    for place, (dilation, owner) in enumerate(zip(options.dilations, owned, strict=True), 1):
        y = x
        for half in (1, 2):
            layer = model.get_layer(f"conv_{owner}_{half}")
            back = shifts(options.kernel, half * dilation, causal=options.CAUSAL)
            y = convolution(y, layer.kernel.value, layer.bias.value, back, windows)
            y = tf.nn.relu(model.get_layer(f"norm_{owner}_{half}")(y))
        x += dropout(y, options.block_dropout, seed, place)
    return x
