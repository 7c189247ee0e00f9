# SPDX-License-Identifier: Apache-2.0
"""A backbone with a task's head and, where there is one, a patch: forward, one step of training, scores.

The layers are those of the exported graph (`pocketrec.export.layers`), with their backward passes: what is tuned here
is what a device runs, and gradients stop where nothing below trains. Only the loss is taped. This module knows nothing
about tasks' files, users or rates' choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pocketrec.cloud.transfer.methods import Plan
from pocketrec.device.contract.layers import LayerSpec, tensors_of
from pocketrec.export.layers.layer import Call
from pocketrec.export.layers.stack import Stack

Arrays = Mapping[str, NDArray[Any]]
Loss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

#: Names of the tensors beside the layers': source items (N + 1, E), the head (M + 1, E) and its biases (M + 1,).
SOURCE_ITEMS: Final = "source_items"
HEAD_ROWS: Final = "head_rows"
HEAD_BIASES: Final = "head_biases"
HEAD: Final = (HEAD_ROWS, HEAD_BIASES)
_ROWS: Final = 256  # windows of a call that trains nothing
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-7  # of Adam


class Network:
    """The model of a task.

    Args:
        plan: layers, and which of their tensors train.
        values: start of all tensors by name, those of an untrained patch left out.
        trained: names of what trains beside the plan's, of `SOURCE_ITEMS`, `HEAD_ROWS` and `HEAD_BIASES`.
        loss: a line of `pocketrec.cloud.config.transfer.TASK_LOSSES`.
        window: T.
        dropout: of the item embeddings, in training.
    """

    def __init__(
        self, plan: Plan, values: Arrays, trained: tuple[str, ...], loss: Loss, window: int, dropout: float = 0.0
    ) -> None:
        self.loss, self.window, self.dropout = loss, window, dropout
        self.stack = Stack(LayerSpec("stack", "body", inner=plan.layers))
        names = (*tensors_of(plan.layers), SOURCE_ITEMS, *HEAD)
        self.start = {**self.stack.untrained(), **values}
        self.variables = {name: tf.Variable(self.start[name], dtype=tf.float32, name=name) for name in names}
        self.trained = (*plan.trained, *trained)
        self._slots = [{name: tf.Variable(tf.zeros_like(self.variables[name])) for name in self.trained}
                       for _ in range(2)]  # fmt: skip
        self._steps = tf.Variable(0.0)
        self._train = tf.function(self._step)
        self._embed = tf.function(lambda items: self._users(items, None)[0])

    def restart(self, values: Arrays | None = None) -> None:
        """All tensors at their start, or at `values` where those have them, and the optimiser afresh."""
        for name, variable in self.variables.items():
            variable.assign((values or {}).get(name, self.start[name]))
        for slot in self._slots:
            for variable in slot.values():
                variable.assign(tf.zeros_like(variable))
        self._steps.assign(0.0)

    def values(self) -> dict[str, NDArray[Any]]:
        """The trained tensors as they are now."""
        return {name: self.variables[name].numpy() for name in self.trained}

    def train(
        self, windows: NDArray[Any], targets: NDArray[Any], negatives: NDArray[Any], rates: tuple[float, float],
        seed: tuple[int, int] = (0, 0),
    ) -> float:  # fmt: skip
        """One step of Adam; the mean loss before it.

        Args:
            windows: int32 (B, T).
            targets: int32 (B,); 0 = does not count.
            negatives: int32 (B,).
            rates: of the head, and of all else.
            seed: of the dropout.
        """
        return float(self._train(tf.constant(windows), tf.constant(targets), tf.constant(negatives),
                                 tf.constant(rates, tf.float32), tf.constant(seed, tf.int32)))  # fmt: skip

    def embed(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        """User embeddings float32 (n, E) after windows int32 (n, T)."""
        found = []
        for begin in range(0, len(windows), _ROWS):
            part = windows[begin : begin + _ROWS]
            padded = np.zeros((_ROWS, self.window), np.int32)
            padded[: len(part)] = part
            found.append(self._embed(tf.constant(padded)).numpy()[: len(part)])
        return np.concatenate(found)

    def scores(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        """Scores float32 (n, M + 1) of all targets; column 0 means nothing."""
        rows, biases = (self.variables[name].numpy() for name in HEAD)
        scores: NDArray[np.float32] = self.embed(windows) @ rows.T + biases
        return scores

    def _call(self, items: tf.Tensor) -> Call:
        padding = tf.cast(tf.reshape(tf.transpose(items), [-1, 1]) == 0, tf.float32)  # (T * B, 1)
        return Call(lambda name: self.variables[name].value(), self.window, padding, frozenset(self.trained))

    def _users(self, items: tf.Tensor, seed: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor, Any, tf.Tensor]:
        """User embeddings (B, E) after the last event; their places (B,) among all rows; what `_step` goes back with:
        the stack's trace, and the factors of the dropout."""
        batch = items.shape[0]
        x = tf.gather(self.variables[SOURCE_ITEMS].value(), tf.reshape(tf.transpose(items), [-1]))  # (T * B, E)
        kept = tf.ones([])
        if seed is not None and self.dropout:
            drawn = tf.random.stateless_uniform(tf.shape(x), seed)
            kept = tf.cast(drawn >= self.dropout, tf.float32) / (1.0 - self.dropout)
            x *= kept
        y, trace = self.stack.forward(tf.ensure_shape(x, [self.window * batch, x.shape[1]]), self._call(items))
        last = tf.maximum(tf.reduce_sum(tf.cast(items > 0, tf.int32), 1) - 1, 0)
        place = last * batch + tf.range(batch)  # (B,)
        return tf.gather(y, place), place, trace, kept

    def _step(
        self, items: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor, rates: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        users, place, trace, kept = self._users(items, seed)
        rows, biases = (self.variables[name].value() for name in HEAD)
        counts = tf.cast(targets > 0, tf.float32)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([users, rows, biases])
            losses = self.loss(users, rows, biases, targets, negatives) * counts
            mean = tf.reduce_sum(losses) / tf.maximum(tf.reduce_sum(counts), 1.0)
        by_users, by_rows, by_biases = tape.gradient(mean, [users, rows, biases])
        gradients = {name: tf.convert_to_tensor(gradient) for name, gradient in ((HEAD_ROWS, by_rows),
                     (HEAD_BIASES, by_biases)) if gradient is not None and name in self.trained}  # fmt: skip
        below = SOURCE_ITEMS in self.trained
        if below or any(name in self.trained for name in self.stack.tensors):
            size = users.shape[1]
            by_all = tf.scatter_nd(place[:, None], by_users, [self.window * items.shape[0], size])
            found, by_items = self.stack.backward(trace, by_all, self._call(items), below)
            gradients |= {name: value for name, value in found.items() if name in self.trained}
            if below:
                table = self.variables[SOURCE_ITEMS]
                by_table = tf.math.unsorted_segment_sum(
                    by_items * kept, tf.reshape(tf.transpose(items), [-1]), table.shape[0]
                )
                gradients[SOURCE_ITEMS] = by_table * _not_padding(table.shape[0])
        self._adam(gradients, rates)
        return mean

    def _adam(self, gradients: Mapping[str, tf.Tensor], rates: tf.Tensor) -> None:
        """One update (Kingma and Ba 2015, algorithm 1); row 0 of the head, padding, has no gradient that matters."""
        self._steps.assign_add(1.0)
        correction = tf.sqrt(1.0 - _BETA2**self._steps) / (1.0 - _BETA1**self._steps)
        first, second = self._slots
        for name, gradient in gradients.items():
            mean = first[name].assign(_BETA1 * first[name] + (1.0 - _BETA1) * gradient)
            square = second[name].assign(_BETA2 * second[name] + (1.0 - _BETA2) * gradient * gradient)
            rate = rates[0] if name in HEAD else rates[1]
            self.variables[name].assign_sub(rate * correction * mean / (tf.sqrt(square) + _EPSILON))


def _not_padding(rows: int) -> tf.Tensor:
    """0 for row 0, else 1: float32 (rows, 1)."""
    return tf.cast(tf.range(rows) > 0, tf.float32)[:, None]
