# SPDX-License-Identifier: Apache-2.0
"""What a layer of the exported graph is: a forward pass, and a backward pass written by hand.

TensorFlow Lite lacks the gradients of many ops, so nothing is taped. Rows are time-major everywhere: row t * B + b of a
(T * B, ...) tensor is step t of window b.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import tensorflow as tf

from pocketrec.cloud.config.layers import LAYERS
from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec

Gradients = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Call:
    """What all layers share in one call of a signature."""

    value: Callable[[str], tf.Tensor]
    """Gives the tensor of a name, as it is now."""
    steps: int
    """Number T of steps."""
    padding: tf.Tensor
    """float32 (T * B, 1); 1 where the step is padding, else 0. Windows are padded at their end."""
    trained: frozenset[str]
    """Names of the tensors that train."""
    mask: tf.Tensor | None = None
    """Of a model that is not causal, whose windows have a step more for the mask: float32 (T * B, 1), 1 at that step,
    which is the first after the events, else 0. It is no padding."""

    def trains(self, names: Iterable[str]) -> bool:
        """Whether one of these tensors trains."""
        return not self.trained.isdisjoint(names)


@dataclass(frozen=True)
class Flop:
    """Multiplications and additions of matrix products for one row, two for each multiply-add."""

    forward: int
    backward: int

    def __add__(self, other: Flop) -> Flop:
        return Flop(self.forward + other.forward, self.backward + other.backward)


class DeviceLayer(Protocol):
    """One kind of layer; its class takes the `LayerSpec`.

    Only ops with a TensorFlow Lite builtin, the backward pass included: no ReluGrad, no gradient of a loop.
    """

    spec: LayerSpec
    tensors: tuple[str, ...]
    """Names of its tensors, those of inner layers included."""

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """Outputs float32 (T * B, O) for inputs (T * B, I), and what the backward pass wants to know of them."""
        ...

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """Gradients from those of the outputs.

        Args:
            trace: from `forward`.
            dy: float32 (T * B, O).
            call: that of the forward pass.
            down: whether the gradient of the inputs is wanted.

        Returns:
            By name, the gradients of its trained tensors at least (the converter leaves out what nobody reads); and
            float32 (T * B, I), or None where it is not wanted.
        """
        ...

    def holds(self, held: bool) -> bool:
        """Whether padded rows repeat the output of the last event.

        Args:
            held: whether they repeat its input.
        """
        ...

    def untrained(self) -> Mapping[str, Array]:
        """Start of the tensors that the Keras model does not have, float32."""
        ...

    def flop(self, trained: frozenset[str], down: bool) -> Flop:
        """Its work, with these tensors trained and the gradient of the inputs wanted or not."""
        ...


def make_layer(spec: LayerSpec) -> DeviceLayer:
    """The layer of a spec.

    Raises:
        ConfigError: its kind is not known.
    """
    layer: DeviceLayer = LAYERS.load(spec.kind)(spec)
    return layer


def merge(gradients: Gradients, more: Gradients) -> Gradients:
    """Both; those of a tensor that two layers share add up."""
    return {
        **gradients,
        **{name: gradients[name] + value if name in gradients else value for name, value in more.items()},
    }


def by_step(values: tf.Tensor, steps: int) -> list[tf.Tensor]:
    """(T * B, X) as T tensors (B, X)."""
    unstacked: list[tf.Tensor] = tf.unstack(tf.reshape(values, [steps, values.shape[0] // steps, values.shape[1]]))
    return unstacked
