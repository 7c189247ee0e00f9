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

import tensorflow as tf

# Added to the update gate's input where a step is padding: sigmoid then gives exactly 1 in float32, so the state is
# carried (Keras' mask semantics) and every gradient of the step is exactly 0, at no cost inside the unrolled loop.
_CARRY = 1e4


@dataclass(frozen=True)
class GRUWeights:
    """Tensors of one layer, as Keras lays them out.

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
    gates: tf.Tensor  # (T * B, 2H), z and r after the sigmoid
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
    # One transpose for all steps: FULLY_CONNECTED wants its weights as (out, in).
    recurrent = tf.transpose(weights.recurrent_kernel)  # (3H, H)
    projected = tf.matmul(inputs, weights.kernel) + weights.bias[0]  # (T * B, 3H)
    z, r, n = tf.split(projected, 3, axis=1)
    zr = tf.concat([z + padding * _CARRY, r], axis=1)
    zr_steps = tf.unstack(tf.reshape(zr, [steps, batch, 2 * hidden]))
    n_steps = tf.unstack(tf.reshape(n, [steps, batch, hidden]))

    state = tf.zeros([batch, hidden])
    states, gates, recurrents, candidates = [], [], [], []
    for step, (zr_input, n_input) in enumerate(zip(zr_steps, n_steps, strict=True)):
        if step == 0:  # the product with the zero state left out; the converter would fold it into a constant a batch
            zr_state, n_state = tf.split(weights.bias[1:], [2 * hidden, hidden], axis=1)  # (1, 2H), (1, H)
            recurrents.append(n_state + state)  # (B, H)
        else:
            from_state = tf.matmul(state, recurrent, transpose_b=True) + weights.bias[1]  # (B, 3H)
            zr_state, n_state = tf.split(from_state, [2 * hidden, hidden], axis=1)
            recurrents.append(n_state)
        gate = tf.sigmoid(zr_input + zr_state)  # (B, 2H)
        z, r = tf.split(gate, 2, axis=1)
        candidate = tf.tanh(n_input + r * n_state)
        state = candidate + z * (state - candidate)
        states.append(state)
        gates.append(gate)
        candidates.append(candidate)
    outputs = tf.concat(states, axis=0)
    previous = tf.concat([tf.zeros([batch, hidden]), *states[:-1]], axis=0)
    trace = GRUTrace(inputs, previous, tf.concat(gates, 0), tf.concat(recurrents, 0), tf.concat(candidates, 0))
    return outputs, trace


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
    hidden = trace.previous.shape[1]
    batch = trace.inputs.shape[0] // steps
    z, r = tf.split(trace.gates, 2, axis=1)
    # d state / d pre-activation of each gate, for all steps at once.
    to_z = (trace.previous - trace.candidate) * z * (1.0 - z)
    to_n = (1.0 - z) * (1.0 - trace.candidate * trace.candidate)
    to_r = to_n * trace.recurrent * r * (1.0 - r)
    to_recurrent = tf.concat([to_z, to_r, to_n * r], axis=1)  # (T * B, 3H), order z, r, n

    factor_steps = tf.unstack(tf.reshape(to_recurrent, [steps, batch, 3 * hidden]))
    carry_steps = tf.unstack(tf.reshape(z, [steps, batch, hidden]))
    gradient_steps = tf.unstack(tf.reshape(gradient, [steps, batch, hidden]))
    total = gradient_steps[-1]  # d loss / d state after the step
    totals = [total]
    for step in range(steps - 1, 0, -1):
        gate_gradient = tf.concat([total, total, total], axis=1) * factor_steps[step]  # (B, 3H)
        through_gates = tf.matmul(gate_gradient, weights.recurrent_kernel, transpose_b=True)  # (B, H)
        total = gradient_steps[step - 1] + total * carry_steps[step] + through_gates
        totals.append(total)
    state_gradient = tf.concat(totals[::-1], axis=0)  # (T * B, H)

    z_gradient = state_gradient * to_z
    r_gradient = state_gradient * to_r
    n_gradient = state_gradient * to_n
    projection_gradient = tf.concat([z_gradient, r_gradient, n_gradient], axis=1)  # (T * B, 3H)
    recurrent_gradient = tf.concat([z_gradient, r_gradient, n_gradient * r], axis=1)  # (T * B, 3H)
    gradients = GRUWeights(
        kernel=tf.matmul(trace.inputs, projection_gradient, transpose_a=True),
        recurrent_kernel=tf.matmul(trace.previous, recurrent_gradient, transpose_a=True),
        bias=tf.stack([tf.reduce_sum(projection_gradient, 0), tf.reduce_sum(recurrent_gradient, 0)]),
    )
    return gradients, projection_gradient


def input_gradient(weights: GRUWeights, projection_gradient: tf.Tensor) -> tf.Tensor:
    """Gradient of the layer's inputs, float32 (T * B, I), from `backward`'s second result."""
    return tf.matmul(projection_gradient, weights.kernel, transpose_b=True)
