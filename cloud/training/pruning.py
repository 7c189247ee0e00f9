# SPDX-License-Identifier: Apache-2.0
"""Automated gradual pruning (Zhu and Gupta 2017): the smallest weights of kernels become zero, a few at a time.

Sparsity follows s_f + (s_i - s_f) (1 - t)^3 between two points of the training; after every step the weights that are
pruned are put back to zero, so that they are exactly zero in the end and the mask is where the saved weights are not.
`Pruner` serves the training graph. This module knows nothing about files or losses.
"""

from __future__ import annotations

from collections.abc import Iterable

import keras
import tensorflow as tf

from pocketrec.cloud.backbones import FC
from pocketrec.cloud.config.training import PruneConfig
from pocketrec.device.contract.layers import HEAD, LayerSpec, walk


def sparsity(config: PruneConfig, done: float) -> float:
    """The share of a tensor's weights that is zero at a point of the training; 0 before `begin`.

    Args:
        config: the schedule.
        done: share of the training that is behind, in [0, 1].
    """
    if done < config.begin:
        return 0.0
    left = 1 - min(1.0, (done - config.begin) / (config.end - config.begin))
    return config.final + (config.initial - config.final) * left**3


def is_due(config: PruneConfig, step: int, done: float) -> bool:
    """Whether step number `step` sets new masks."""
    return done >= config.begin and step % config.every == 0


def pruned_tensors(model: keras.Model, layers: Iterable[LayerSpec], config: PruneConfig) -> list[tf.Variable]:
    """The tensors that `PruneConfig.tensors` names, lowest layer first.

    Args:
        model: the next-item model.
        layers: what it is made of (`Backbone.layers`).
        config: ``fc`` names the kernel of the head, ``kernel`` and ``recurrent_kernel`` those of all other layers.
    """
    variables = {f"{layer.name}_{variable.name}": variable for layer in model.layers for variable in layer.weights}
    wanted = {
        tensor.name: None
        for layer in walk(layers)
        for tensor in layer.tensors
        if ((FC if layer.role == HEAD else tensor.name.removeprefix(f"{layer.name}_")) in config.tensors)
        and tensor.name.endswith("kernel")
    }
    return [variables[name].value for name in wanted]


class Pruner:
    """The masks of some tensors.

    Args:
        tensors: float32; never more than one of each.
    """

    def __init__(self, tensors: list[tf.Variable]) -> None:
        self.tensors = tensors
        self.masks = [tf.Variable(tf.fill(tensor.shape, True), trainable=False) for tensor in tensors]

    def reset(self) -> None:
        """Nothing is pruned."""
        for mask in self.masks:
            mask.assign(tf.fill(mask.shape, True))

    def update(self, share: tf.Tensor) -> None:
        """Masks that leave out the `share` float32 [] of each tensor with the smallest absolute values.

        What is zero already is smallest, so it stays zero as the share grows.
        """
        for tensor, mask in zip(self.tensors, self.masks, strict=True):
            sizes = tf.abs(tensor)
            count = tf.cast(tf.round(share * tf.cast(tf.size(sizes), tf.float32)), tf.int32)
            ends = tf.concat([[-1.0], tf.sort(tf.reshape(sizes, [-1]))], 0)
            mask.assign(sizes > ends[count])

    def apply(self) -> None:
        """Put what is masked to zero."""
        for tensor, mask in zip(self.tensors, self.masks, strict=True):
            tensor.assign(tf.where(mask, tensor, 0.0))

    def after_step(self, share: tf.Tensor) -> None:
        """New masks where `share` float32 [] is not negative, and `apply`."""
        if self.tensors:
            tf.cond(share >= 0, lambda: self.update(share), lambda: None)
            self.apply()
