# SPDX-License-Identifier: Apache-2.0
"""Layers one after the other, as one layer; and with their input added to their output."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec, tensors_of
from pocketrec.export.layers.layer import Call, Flop, Gradients, make_layer, merge


class Stack:
    """The spec's inner layers, each on what the one before it gives.

    Args:
        spec: without tensors of its own.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.layers = tuple(make_layer(inner) for inner in spec.inner)
        self.tensors = tuple(tensors_of(spec.inner))

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`."""
        traces = []
        for layer in self.layers:
            x, trace = layer.forward(x, call)
            traces.append(trace)
        return x, traces

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`: down through frozen layers as far as there is something to train below them."""
        gradients: Gradients = {}
        lowest = self._lowest(call.trained, down)
        for place in range(len(self.layers) - 1, lowest - 1, -1):
            found, dy = self.layers[place].backward(trace[place], dy, call, down or place > lowest)
            gradients = merge(gradients, found)
        return gradients, dy if down else None

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`."""
        for layer in self.layers:
            held = layer.holds(held)
        return held

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {name: value for layer in self.layers for name, value in layer.untrained().items()}

    def flop(self, trained: frozenset[str], down: bool) -> Flop:
        """See `DeviceLayer.flop`."""
        total, lowest = Flop(0, 0), self._lowest(trained, down)
        for place, layer in enumerate(self.layers):
            work = layer.flop(trained, down or place > lowest)
            total += work if place >= lowest else Flop(work.forward, 0)
        return total

    def _lowest(self, trained: frozenset[str], down: bool) -> int:
        """Place of the lowest layer that a gradient has to reach; the number of layers where it is none."""
        if down:
            return 0
        reached = (place for place, layer in enumerate(self.layers) if not trained.isdisjoint(layer.tensors))
        return next(reached, len(self.layers))


class Residual(Stack):
    """Inner layers whose output is added to their input, of the same size."""

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`."""
        y, trace = super().forward(x, call)
        return x + y, trace

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        gradients, through = super().backward(trace, dy, call, down)
        return gradients, dy + through if down else None

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`."""
        return held and super().holds(held)
