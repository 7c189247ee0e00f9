# SPDX-License-Identifier: Apache-2.0
"""Optimiser rules for item tables whose gradient has few rows: only those rows, and their slots, are read and written.

A Keras optimizer makes such a gradient dense: with Adam and 4 million items of 64 that is 3 GB of traffic a step. Here
a row that no position and no negative of the batch touches keeps its value and its slots: Adam's moments and the
averages of RMSProp and Adadelta do not fade, and momentum does not move it ("lazy Adam"). Where every row is touched
at every step, the result equals Keras's (its defaults are ours); Adagrad and SGD equal it always.
This module knows nothing about schedules, clipping or losses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import tensorflow as tf

#: gradient [n, E], its slots [n, E] each, rate [], number of the step from 1, float32 [] -> what is taken off the rows,
#: and the new slots.
Rule = Callable[[tf.Tensor, list[tf.Tensor], tf.Tensor, tf.Tensor], tuple[tf.Tensor, list[tf.Tensor]]]

_EPSILON = 1e-7


def _sgd(gradient: tf.Tensor, _slots: list[tf.Tensor], rate: tf.Tensor, _step: tf.Tensor) -> tuple[tf.Tensor, list]:
    return rate * gradient, []


def _adagrad(gradient: tf.Tensor, slots: list[tf.Tensor], rate: tf.Tensor, _step: tf.Tensor) -> tuple[tf.Tensor, list]:
    total = slots[0] + gradient * gradient
    return rate * gradient * tf.math.rsqrt(total + _EPSILON), [total]


def _rmsprop(gradient: tf.Tensor, slots: list[tf.Tensor], rate: tf.Tensor, _step: tf.Tensor) -> tuple[tf.Tensor, list]:
    square = 0.9 * slots[0] + 0.1 * gradient * gradient
    return rate * gradient * tf.math.rsqrt(square + _EPSILON), [square]


def _adadelta(gradient: tf.Tensor, slots: list[tf.Tensor], rate: tf.Tensor, _step: tf.Tensor) -> tuple[tf.Tensor, list]:
    square = 0.95 * slots[0] + 0.05 * gradient * gradient
    change = gradient * tf.sqrt(slots[1] + _EPSILON) * tf.math.rsqrt(square + _EPSILON)
    return rate * change, [square, 0.95 * slots[1] + 0.05 * change * change]


def _adam(gradient: tf.Tensor, slots: list[tf.Tensor], rate: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, list]:
    mean = slots[0] + (gradient - slots[0]) * 0.1
    square = slots[1] + (gradient * gradient - slots[1]) * 0.001
    alpha = rate * tf.sqrt(1 - tf.pow(0.999, step)) / (1 - tf.pow(0.9, step))
    return alpha * mean / (tf.sqrt(square) + _EPSILON), [mean, square]


@dataclass(frozen=True)
class RowRule:
    """A rule, and the value that each of its slots starts from."""

    rule: Rule
    initial: tuple[float, ...] = ()


SGD: Final = RowRule(_sgd)
ADAGRAD: Final = RowRule(_adagrad, (0.1,))
RMSPROP: Final = RowRule(_rmsprop, (0.0,))
ADADELTA: Final = RowRule(_adadelta, (0.0, 0.0))
ADAM: Final = RowRule(_adam, (0.0, 0.0))


class RowOptimizer:
    """One rule over some tables.

    Args:
        rule: of the optimizer that ``[train] optimizer`` names.
        tables: float32 [rows, E] each.
    """

    def __init__(self, rule: RowRule, tables: list[tf.Variable]) -> None:
        self.rule, self.initial = rule.rule, rule.initial
        self.tables = tables
        self.slots = [[tf.Variable(tf.fill(t.shape, value)) for value in self.initial] for t in tables]

    @property
    def variables(self) -> list[tf.Variable]:
        """All slots, table by table."""
        return [slot for slots in self.slots for slot in slots]

    def reset(self) -> None:
        """Slots as at the start."""
        for slots in self.slots:
            for slot, value in zip(slots, self.initial, strict=True):
                slot.assign(tf.fill(slot.shape, value))

    def apply(self, gradients: list[tf.IndexedSlices], rate: tf.Tensor, step: tf.Tensor) -> None:
        """Update the rows of each gradient.

        Args:
            gradients: one for each table, each row at most once (`summed`).
            rate: float32 [].
            step: float32 [], from 1.
        """
        for table, slots, gradient in zip(self.tables, self.slots, gradients, strict=True):
            rows = gradient.indices
            change, new = self.rule(gradient.values, [tf.gather(slot, rows) for slot in slots], rate, step)
            for slot, value in zip(slots, new, strict=True):
                slot.scatter_update(tf.IndexedSlices(value, rows))
            table.scatter_sub(tf.IndexedSlices(change, rows))


def summed(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """The same gradient with every row once."""
    rows, place = tf.unique(tf.reshape(gradient.indices, [-1]))
    values = tf.reshape(gradient.values, [-1, gradient.values.shape[-1]])
    return tf.IndexedSlices(tf.math.unsorted_segment_sum(values, place, tf.size(rows)), rows, gradient.dense_shape)
