# SPDX-License-Identifier: Apache-2.0
"""One GRU layer, unrolled over a fixed number of steps, with a backward pass written by hand.

A ``keras.layers.GRU`` does not convert to a trainable TensorFlow Lite graph: the gradient of its slicing and of its
loop needs ops that the runtime lacks. Here the same arithmetic (Cho et al. 2014 with ``reset_after``, as Keras and
cuDNN compute it) is written with matmul, split, unstack, sigmoid and tanh alone. The backward pass is written out
rather than taped: gate derivatives are formed for all steps at once and each weight gradient is one matmul over all
steps, which halves the number of ops.

Everything is time-major: row t * B + b of a (T * B, ...) tensor is step t of window b. Gates are in Keras order:
z, r, n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec
from pocketrec.export.layers.layer import Call, Flop, Gradients, by_step
from pocketrec.export.layers.products import transposed

# Added to the update gate's input where a step is padding: sigmoid then gives exactly 1 in float32, so the state is
# carried (Keras' mask semantics) and every gradient of the step is exactly 0, at no cost inside the unrolled loop.
_CARRY = 1e4


@dataclass(frozen=True)
class GRUWeights:
    """Tensors of one layer, as Keras lays them out; a spec's tensors are in this order.

    Attributes:
        kernel: float32, (I, 3H).
        recurrent_kernel: float32, (H, 3H).
        bias: float32, (2, 3H); row 0 for the input, row 1 for the recurrent part.
    """

    kernel: tf.Tensor
    recurrent_kernel: tf.Tensor
    bias: tf.Tensor


@dataclass(frozen=True)
class GRUTrace:
    """What the forward pass leaves for the backward pass; float32, each (T * B, ...)."""

    inputs: tf.Tensor  # (T * B, I)
    previous: tf.Tensor  # (T * B, H), state before the step
    update: tf.Tensor  # (T * B, H), z after the sigmoid
    reset: tf.Tensor  # (T * B, H), r after the sigmoid
    recurrent: tf.Tensor  # (T * B, H), recurrent part of the candidate before the reset gate
    candidate: tf.Tensor  # (T * B, H), after the tanh


def forward(weights: GRUWeights, inputs: tf.Tensor, padding: tf.Tensor, steps: int) -> tuple[tf.Tensor, GRUTrace]:
    """Run the layer from the zero state.

    Args:
        weights: the layer.
        inputs: float32, (T * B, I).
        padding: float32, (T * B, 1); 1 where the step is padding, else 0.
        steps: number T of steps.

    Returns:
        The state after every step, float32 (T * B, H), and the trace for `backward`.
    """
    hidden = weights.recurrent_kernel.shape[0]
    batch = inputs.shape[0] // steps
    projected = tf.matmul(inputs, weights.kernel) + weights.bias[0]  # (T * B, 3H)
    z_input, r_input, n_input = tf.split(projected, 3, axis=1)
    by_gate = (by_step(values, steps) for values in (z_input + padding * _CARRY, r_input, n_input))

    state = tf.zeros([batch, hidden])
    states, done = [], []
    for step, (z, r, n) in enumerate(zip(*by_gate, strict=True)):
        previous = state
        # At first without the product with the zero state, which the converter would fold into a constant a batch.
        from_state = weights.bias[1:]  # (1, 3H), afterwards (B, 3H)
        if step > 0:
            from_state = tf.matmul(state, weights.recurrent_kernel) + weights.bias[1]
        # In equal parts: XNNPACK has no other split.
        z_state, r_state, recurrent = tf.split(from_state, 3, axis=1)
        z, r = tf.sigmoid(z + z_state), tf.sigmoid(r + r_state)  # (B, H)
        candidate = tf.tanh(n + r * recurrent)
        state = candidate + z * (state - candidate)
        states.append(state)
        done.append((previous, z, r, recurrent + previous if step == 0 else recurrent, candidate))
    trace = GRUTrace(inputs, *(tf.concat(values, axis=0) for values in zip(*done, strict=True)))
    return tf.concat(states, axis=0), trace


def backward(weights: GRUWeights, trace: GRUTrace, gradient: tf.Tensor, steps: int) -> tuple[GRUWeights, tf.Tensor]:
    """Gradients of the layer's tensors, and of the input projection, by back-propagation through time.

    Args:
        weights: the layer.
        trace: from `forward`.
        gradient: float32, (T * B, H), of the loss with respect to every output state.
        steps: number T of steps.

    Returns:
        Gradients in the shape of `weights`, and d loss / d (input projection), float32 (T * B, 3H), from which
        `input_gradient` gets the gradient of the inputs where a lower layer trains too.
    """
    z, r = trace.update, trace.reset
    # d state / d pre-activation of each gate, for all steps at once.
    rest = _one_minus(z)
    to_z = (trace.previous - trace.candidate) * (z * rest)
    to_n = rest * _one_minus(trace.candidate * trace.candidate)
    to_r = to_n * trace.recurrent * (r * _one_minus(r))
    to_recurrent = tf.concat([to_z, to_r, to_n * r], axis=1)  # (T * B, 3H), order z, r, n

    factor_steps = by_step(to_recurrent, steps)
    carry_steps = by_step(z, steps)
    gradient_steps = by_step(gradient, steps)
    recurrent = transposed(weights.recurrent_kernel)  # (3H, H), once for all steps
    total = gradient_steps[-1]  # (B, H), d loss / d state after the step
    totals, gates = [], []
    for step in range(steps - 1, -1, -1):
        gate_gradient = tf.concat([total, total, total], axis=1) * factor_steps[step]  # (B, 3H)
        totals.append(total)
        gates.append(gate_gradient)
        if step:
            total = gradient_steps[step - 1] + total * carry_steps[step] + tf.matmul(gate_gradient, recurrent)
    recurrent_gradient = tf.concat(gates[::-1], axis=0)  # (T * B, 3H)
    z_gradient, r_gradient, _ = tf.split(recurrent_gradient, 3, axis=1)
    n_gradient = tf.concat(totals[::-1], axis=0) * to_n  # without the reset gate
    projection_gradient = tf.concat([z_gradient, r_gradient, n_gradient], axis=1)  # (T * B, 3H)
    gradients = GRUWeights(
        kernel=tf.matmul(trace.inputs, projection_gradient, transpose_a=True),
        recurrent_kernel=tf.matmul(trace.previous, recurrent_gradient, transpose_a=True),
        bias=tf.stack([tf.reduce_sum(projection_gradient, 0), tf.reduce_sum(recurrent_gradient, 0)]),
    )
    return gradients, projection_gradient


def input_gradient(weights: GRUWeights, projection_gradient: tf.Tensor) -> tf.Tensor:
    """Gradient of the layer's inputs, float32 (T * B, I), from `backward`'s second result."""
    return tf.matmul(projection_gradient, transposed(weights.kernel))


def _one_minus(values: tf.Tensor) -> tf.Tensor:
    """1 - values, without SUB: tflite-runtime is slow where that has a scalar."""
    return values * -1.0 + 1.0


class Gru:
    """``keras.layers.GRU`` with ``reset_after``, over windows that each start from the zero state.

    Args:
        spec: its tensors are those of `GRUWeights`.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.tensors = tuple(tensor.name for tensor in spec.tensors)

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`."""
        return forward(self._weights(call), x, call.padding, call.steps)

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        weights = self._weights(call)
        own, projection = backward(weights, trace, dy, call.steps)
        gradients = dict(zip(self.tensors, (own.kernel, own.recurrent_kernel, own.bias), strict=True))
        return gradients, input_gradient(weights, projection) if down else None

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`: the state is carried over padding."""
        return True

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {}

    def flop(self, trained: frozenset[str], down: bool) -> Flop:
        """See `DeviceLayer.flop`."""
        inputs, units = self.spec.inputs, self.spec.outputs
        into, recurrent = 6 * inputs * units, 6 * units * units
        learns = not trained.isdisjoint(self.tensors)
        return Flop(into + recurrent, recurrent + (into + recurrent) * learns + into * down)

    def _weights(self, call: Call) -> GRUWeights:
        return GRUWeights(*(call.value(name) for name in self.tensors))
