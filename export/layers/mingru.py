# SPDX-License-Identifier: Apache-2.0
"""One minimal GRU layer (Feng et al. 2024), unrolled over a fixed number of steps, with its backward pass by hand.

h_t = (1 - z_t) h_(t-1) + z_t c_t: gates and candidates of all steps are one product, and a step of the loop is one
multiplication and one addition of (B, H). Everything is time-major: row t * B + b of a (T * B, ...) tensor is step t
of window b. Padding needs no care: it lies behind the events of its window, nothing reads its outputs, and no gradient
comes from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec
from pocketrec.export.layers.layer import Call, Flop, Gradients, by_step
from pocketrec.export.layers.norm import Norm
from pocketrec.export.layers.products import turned


@dataclass(frozen=True)
class MinGruTrace:
    """What the forward pass leaves for the backward pass; float32, each (T * B, ...)."""

    inputs: tf.Tensor
    """(T * B, I), of the product."""
    normal: Any
    """What the normalisation left; None where there is none."""
    gate: tf.Tensor
    """(T * B, H), z after the sigmoid."""
    kept: tf.Tensor
    """(T * B, H), 1 - z."""
    candidate: tf.Tensor
    """(T * B, H), after the tanh."""
    states: tuple[tf.Tensor, ...]
    """T x (B, H), the state after each step."""


class MinGru:
    """``pocketrec.cloud.backbones.mingru_layer.MinGru``, over windows that each start from the zero state.

    Args:
        spec: its tensors are kernel (I, 2H) and bias (2H,); gate z, then candidate c. An inner layer, where there is
            one, is the normalisation of its inputs: one layer with it, for its gradients then take no product.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.norm = Norm(spec.inner[0]) if spec.inner else None
        own = tuple(tensor.name for tensor in spec.tensors)
        self._kernel, self._bias = own
        self.tensors = (*self.norm.tensors, *own) if self.norm else own

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, MinGruTrace]:
        """See `DeviceLayer.forward`."""
        normal = None
        if self.norm:
            x, normal = self.norm.forward(x, call)
        projected = tf.matmul(x, call.value(self._kernel)) + call.value(self._bias)  # (T * B, 2H)
        gate, candidate = tf.split(projected, 2, axis=1)  # in equal parts: XNNPACK has no other split
        gate, candidate = tf.sigmoid(gate), tf.tanh(candidate)
        kept = gate * -1.0 + 1.0  # without SUB: tflite-runtime is slow where that has a scalar
        factors, taken = (by_step(values, call.steps) for values in (kept, gate * candidate))
        states = [taken[0]]
        for factor, part in zip(factors[1:], taken[1:], strict=True):
            states.append(factor * states[-1] + part)  # (B, H)
        return tf.concat(states, 0), MinGruTrace(x, normal, gate, kept, candidate, tuple(states))

    def backward(
        self, trace: MinGruTrace, dy: tf.Tensor, call: Call, down: bool
    ) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        factors, outer = (by_step(values, call.steps) for values in (trace.kept, dy))
        by_steps = [outer[-1]]
        for step in range(call.steps - 2, -1, -1):
            by_steps.append(by_steps[-1] * factors[step + 1] + outer[step])  # (B, H), by the state after the step
        before = tf.concat([tf.zeros_like(trace.states[0]), *trace.states[:-1]], 0)
        by_state = tf.concat(by_steps[::-1], 0) * trace.gate
        by_gate = by_state * (trace.candidate - before) * trace.kept
        by_candidate = by_state * (trace.candidate * trace.candidate * -1.0 + 1.0)
        projected = tf.concat([by_gate, by_candidate], 1)  # (T * B, 2H)
        by_bias = tf.reduce_sum(projected, 0)
        if self.norm and not down:
            return self._at_the_end(trace, projected, by_bias, call), None
        gradients = {self._kernel: tf.matmul(trace.inputs, projected, transpose_a=True), self._bias: by_bias}
        if not down:
            return gradients, None
        kernel = turned(call.value(self._kernel), call.padding, call.trains([self._kernel]))
        dx = tf.matmul(projected, kernel)
        if self.norm is None:
            return gradients, dx
        of_norm, below = self.norm.backward(trace.normal, dx, call, down)
        return gradients | of_norm, below

    def _at_the_end(self, trace: MinGruTrace, projected: tf.Tensor, by_bias: tf.Tensor, call: Call) -> Gradients:
        """Gradients where nothing below is trained, without the gradient of the inputs.

        With x = gamma n + beta before the product, G = n^T P for the gradient P after it: that of the kernel W is
        gamma G + beta sum(P), that of gamma is the sum of G W over the units, that of beta W sum(P).
        """
        assert self.norm is not None
        gamma, beta = (call.value(name)[:, None] for name in self.norm.tensors)  # (I, 1)
        kernel, normal = call.value(self._kernel), trace.normal[0]
        by_kernel = tf.matmul(normal, projected, transpose_a=True)  # (I, 2H)
        by_gamma, by_beta = (tf.reduce_sum(values, 1) for values in (by_kernel * kernel, kernel * by_bias))
        by_kernel = by_kernel * gamma + by_bias * beta
        names = (*self.norm.tensors, self._kernel, self._bias)
        return dict(zip(names, (by_gamma, by_beta, by_kernel, by_bias), strict=True))

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`: padding moves the state."""
        return False

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {}

    def flop(self, trained: frozenset[str], down: bool) -> Flop:
        """See `DeviceLayer.flop`."""
        product = 4 * self.spec.inputs * self.spec.outputs
        return Flop(product, product * ((not trained.isdisjoint(self.tensors)) + down))
