# SPDX-License-Identifier: Apache-2.0
"""Bottleneck adapters beside frozen layers: a patch of a few thousand numbers that makes a frozen backbone personal.

A layer with input x and output y gives y + f(s W_down + b_down) W_up + b_up instead of y, where f is tanh or GELU and
s is

- y for a **serial** adapter (Houlsby et al., ICML 2019; PeterRec, Yuan et al., SIGIR 2020, figure 3 b),
- x for a **parallel** one (PeterRec, figure 3 d; He et al., ICLR 2022).

W_up and b_up start at zero, so an untrained patch is the backbone; W_down starts as in LoRA (Hu et al.,
ICLR 2022) at small random values, else nothing would ever move. PeterRec's code adds the layer's input to a parallel
adapter as well, which then is not the backbone where W_up is zero: that is left out here. With a cardinality of c, c
adapters of width W / c are added; their kernels lie side by side in W_down and below each other in W_up, so that one
product serves all, and b_up has a row for each. Rows of tensors are time-major, as in `pocketrec.export.layers.layer`.
This module knows nothing about which layers get an adapter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec
from pocketrec.export.layers.activation import FUNCTIONS
from pocketrec.export.layers.layer import Call, Flop, Gradients, make_layer, merge
from pocketrec.export.layers.products import transposed

ADAPTER_TENSORS: Final = ("down_kernel", "down_bias", "up_kernel", "up_bias")
SERIAL: Final = "serial"
_SEED: Final = 20190209  # of W_down; fixed, so that equal models give equal files


@dataclass(frozen=True)
class AdapterWeights:
    """Tensors of one adapter; a spec's tensors are in this order."""

    down_kernel: tf.Tensor
    """float32 (S, W)."""
    down_bias: tf.Tensor
    """float32 (W,)."""
    up_kernel: tf.Tensor
    """float32 (W, O)."""
    up_bias: tf.Tensor
    """float32 (O,), or (c, O) of c adapters that are added."""


@dataclass(frozen=True)
class AdapterTrace:
    """What the forward pass leaves for the backward pass."""

    inputs: tf.Tensor
    """float32 (T * B, S)."""
    activation: tf.Tensor
    """float32 (T * B, W), after the function."""
    of_function: Any
    """What the function left for its own."""


def forward(weights: AdapterWeights, inputs: tf.Tensor, function: str = "tanh") -> tuple[tf.Tensor, AdapterTrace]:
    """What is added to the layer's output, float32 (T * B, O), for inputs (T * B, S)."""
    narrow = tf.matmul(inputs, weights.down_kernel) + weights.down_bias  # (T * B, W)
    activation, trace = FUNCTIONS[function][0](narrow)
    bias = weights.up_bias if len(weights.up_bias.shape) == 1 else tf.reduce_sum(weights.up_bias, axis=0)
    return tf.matmul(activation, weights.up_kernel) + bias, AdapterTrace(inputs, activation, trace)


def backward(
    weights: AdapterWeights, trace: AdapterTrace, gradient: tf.Tensor, function: str = "tanh"
) -> tuple[AdapterWeights, tf.Tensor]:
    """Gradients of the tensors, and of the inputs (T * B, S), from that of the output (T * B, O)."""
    inner = tf.matmul(gradient, transposed(weights.up_kernel))  # (T * B, W)
    inner *= FUNCTIONS[function][1](trace.of_function)
    up_bias = tf.reduce_sum(gradient, axis=0)
    if len(weights.up_bias.shape) > 1:  # every adapter's is added once
        up_bias = tf.repeat(up_bias[None], weights.up_bias.shape[0], axis=0)
    gradients = AdapterWeights(
        down_kernel=tf.matmul(trace.inputs, inner, transpose_a=True),
        down_bias=tf.reduce_sum(inner, axis=0),
        up_kernel=tf.matmul(trace.activation, gradient, transpose_a=True),
        up_bias=up_bias,
    )
    return gradients, tf.matmul(inner, transposed(weights.down_kernel))


class Adapter:
    """A layer with an adapter.

    Args:
        spec: its tensors are those of `AdapterWeights`, its inner layer the one that is wrapped; options ``form``
            (serial or parallel), ``number`` (its place among the model's adapters, for the random start) and, where it
            is not tanh, ``function``.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        (inner,) = spec.inner
        self.inner = make_layer(inner)
        self.own = tuple(tensor.name for tensor in spec.tensors)
        self.tensors = (*self.inner.tensors, *self.own)
        self.serial = spec.options["form"] == SERIAL
        self.function = str(spec.options.get("function", "tanh"))

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`."""
        y, inner = self.inner.forward(x, call)
        added, own = forward(self._weights(call), y if self.serial else x, self.function)
        return y + added, (inner, own)

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        inner, own = trace
        found, through = backward(self._weights(call), own, dy, self.function)
        gradients = {name: getattr(found, tensor) for name, tensor in zip(self.own, ADAPTER_TENSORS, strict=True)}
        if self.serial:
            dy += through
        dx = None
        if down or call.trains(self.inner.tensors):
            below, dx = self.inner.backward(inner, dy, call, down)
            gradients = merge(gradients, below)
        if down and not self.serial:
            dx += through
        return gradients, dx

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`."""
        return self.inner.holds(held) and (self.serial or held)

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`: W_down random as in LoRA, all else zero."""
        start = {tensor.name: np.zeros(tensor.shape, np.float32) for tensor in self.spec.tensors}
        down, inputs = self.own[0], self.spec.tensors[0].shape[0]
        generator = np.random.default_rng((_SEED, int(self.spec.options["number"])))
        start[down] = generator.normal(0.0, inputs**-0.5, start[down].shape).astype(np.float32)
        return {**self.inner.untrained(), **start}

    def flop(self, trained: frozenset[str], down: bool) -> Flop:
        """See `DeviceLayer.flop`."""
        kernels = [tensor for tensor in self.spec.tensors if tensor.name.endswith("kernel")]
        products = 2 * sum(tensor.size for tensor in kernels)
        learnt = 2 * sum(tensor.size for tensor in kernels if tensor.name in trained)
        reaches = down or not trained.isdisjoint(self.inner.tensors)
        work = self.inner.flop(trained, down)
        inner = work if reaches else Flop(work.forward, 0)
        to_bottleneck = 2 * kernels[1].size
        passed_on = products if (reaches and self.serial) or down else to_bottleneck
        return inner + Flop(products, learnt + passed_on)

    def _weights(self, call: Call) -> AdapterWeights:
        return AdapterWeights(*(call.value(name) for name in self.own))
