"""Bottleneck adapters beside frozen layers: a patch of a few thousand numbers that makes a frozen backbone personal.

A layer with input x and output y gives y + tanh(s W_down + b_down) W_up + b_up instead of y, where s is

- y for a **serial** adapter (Houlsby et al., ICML 2019; PeterRec, Yuan et al., SIGIR 2020, figure 3 b),
- x for a **parallel** one (PeterRec, figure 3 d; He et al., ICLR 2022).

W_up and b_up start at zero, so an untrained patch is the backbone; W_down starts as in LoRA (Hu et al.,
ICLR 2022) at small random values, else nothing would ever move. The papers take ReLU or GELU; tanh has a gradient that
is smooth, so that losses can be compared with Keras' step by step. Rows of tensors are time-major, as in
`pocketrec.export.layers.gru`. This module knows nothing about which layers get an adapter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.export.layers.products import transposed

#: Ways to personalise that train adapters -> what their adapters read.
SERIAL: Final = "patch"
PARALLEL: Final = "patch_parallel"
FORMS: Final = (SERIAL, PARALLEL)

ADAPTER_TENSORS: Final = ("down_kernel", "down_bias", "up_kernel", "up_bias")
_SEED: Final = 20190209  # of W_down; fixed, so that equal models give equal files


def new_adapter(layer: str, inputs: int, outputs: int, width: int, number: int) -> dict[str, Array]:
    """Tensors of an untrained adapter by name, float32.

    Args:
        layer: name of the layer that it stands beside, such as ``gru_1``.
        inputs: size S of what it reads.
        outputs: size O of the layer's output.
        width: size W of the bottleneck.
        number: place of the layer in the model, for the seed.
    """
    down = np.random.default_rng((_SEED, number)).normal(0.0, inputs**-0.5, (inputs, width))
    values = (down, np.zeros(width), np.zeros((width, outputs)), np.zeros(outputs))
    return {
        f"{layer}_adapter_{tensor}": value.astype(np.float32)
        for tensor, value in zip(ADAPTER_TENSORS, values, strict=True)
    }


@dataclass(frozen=True)
class AdapterWeights:
    """Tensors of one adapter."""

    down_kernel: tf.Tensor
    """float32 (S, W)."""
    down_bias: tf.Tensor
    """float32 (W,)."""
    up_kernel: tf.Tensor
    """float32 (W, O)."""
    up_bias: tf.Tensor
    """float32 (O,)."""


@dataclass(frozen=True)
class AdapterTrace:
    """What the forward pass leaves for the backward pass."""

    inputs: tf.Tensor
    """float32 (T * B, S)."""
    activation: tf.Tensor
    """float32 (T * B, W), after the tanh."""


def forward(weights: AdapterWeights, inputs: tf.Tensor) -> tuple[tf.Tensor, AdapterTrace]:
    """What is added to the layer's output, float32 (T * B, O), for inputs (T * B, S)."""
    activation = tf.tanh(tf.matmul(inputs, weights.down_kernel) + weights.down_bias)  # (T * B, W)
    return tf.matmul(activation, weights.up_kernel) + weights.up_bias, AdapterTrace(inputs, activation)


def backward(weights: AdapterWeights, trace: AdapterTrace, gradient: tf.Tensor) -> tuple[AdapterWeights, tf.Tensor]:
    """Gradients of the tensors, and of the inputs (T * B, S), from that of the output (T * B, O)."""
    inner = tf.matmul(gradient, transposed(weights.up_kernel))  # (T * B, W)
    inner *= 1.0 - trace.activation * trace.activation
    gradients = AdapterWeights(
        down_kernel=tf.matmul(trace.inputs, inner, transpose_a=True),
        down_bias=tf.reduce_sum(inner, axis=0),
        up_kernel=tf.matmul(trace.activation, gradient, transpose_a=True),
        up_bias=tf.reduce_sum(gradient, axis=0),
    )
    return gradients, tf.matmul(inner, transposed(weights.down_kernel))
