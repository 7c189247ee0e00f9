# SPDX-License-Identifier: Apache-2.0
"""The train step of a task's patch: one target for each window, among rows that are not in the graph.

The task's head, and the origin that the proximal pull goes to, come as inputs, so that one graph serves every task of a
backbone, and none is pulled to untrained constants. Ops have builtins, as in the rest of the graph.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from pocketrec.device.contract import names as contract


def task_inputs(
    trained: Mapping[str, tf.Variable], windows: tuple[int, int], head: tuple[int, int]
) -> dict[str, tf.TensorSpec]:
    """The inputs of ``train_task``: names and forms, of `windows` (B, T) and `head` (S, E)."""
    scalar = tf.TensorSpec([], tf.float32)
    return {
        contract.ITEMS: tf.TensorSpec(windows, tf.int32),
        contract.WANTED: tf.TensorSpec([windows[0], head[0]], tf.float32),
        contract.HEAD: tf.TensorSpec(head, tf.float32),
        contract.BIASES: tf.TensorSpec(head[:1], tf.float32),
        contract.LEARNING_RATE: scalar,
        contract.PROXIMAL: scalar,
        **{contract.ORIGIN + name: tf.TensorSpec(variable.shape, tf.float32) for name, variable in trained.items()},
    }


def last_steps(padding: tf.Tensor, batch: int) -> tf.Tensor:
    """Where each window's last event is: float32 (T, B, 1), 1 there, else 0; all 0 for a window without events.

    Args:
        padding: float32 (T * B, 1), time-major, 1 where a step is padding.
        batch: B.
    """
    real = tf.reshape(1.0 - padding, [padding.shape[0] // batch, batch, 1])
    following = tf.concat([real[1:], tf.zeros([1, batch, 1])], axis=0)
    return real - following


def task_loss(
    users: tf.Tensor, last: tf.Tensor | None, wanted: tf.Tensor, head: tf.Tensor, biases: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross-entropy of each window's target among the compared rows, a mean over windows that count.

    Args:
        users: float32 (T * B, E), time-major, or (B, E) of a model that is not causal.
        last: from `last_steps`; None of a model that is not causal.
        wanted: float32 (B, S), see `contract.WANTED`.
        head: float32 (S, E).
        biases: float32 (S,).

    Returns:
        The loss, and its gradient by `users`, of the same shape.
    """
    rows = users
    if last is not None:
        steps, batch, _ = last.shape
        rows = tf.reduce_sum(tf.reshape(users, [steps, batch, users.shape[1]]) * last, axis=0)  # (B, E)
    logits = tf.matmul(rows, head, transpose_b=True) + biases  # (B, S)
    peak = tf.reduce_max(logits, axis=1, keepdims=True)
    powers = tf.exp(logits - peak)
    total = tf.reduce_sum(powers, axis=1, keepdims=True)  # (B, 1)
    counted = tf.reduce_sum(wanted, axis=1, keepdims=True)  # (B, 1)
    share = counted / tf.maximum(tf.reduce_sum(counted), 1.0)
    own = tf.reduce_sum(wanted * logits, axis=1, keepdims=True)
    loss = tf.reduce_sum((tf.math.log(total) + peak - own) * share)
    by_rows = tf.matmul((powers / total - wanted) * share, head)  # (B, E)
    if last is None:
        return loss, by_rows
    return loss, tf.reshape(by_rows[None] * last, users.shape)
