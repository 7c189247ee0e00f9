# SPDX-License-Identifier: Apache-2.0
"""What a device does, in TensorFlow, so that a starting point and rates can be learned for it.

The graph is the very one that is exported (`pocketrec.export.graph.graph`), the windows are the device's, and a user is
judged as in the rehearsal. Added are a rate for each tensor, a starting point that is not in the file, and a note of
the last gradient. This module does not know how anything is learned (`meta_learning.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones import backbone
from pocketrec.cloud.config.personalise import DEVICE_OPTIMIZERS
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.fleet.device import DeviceUser, known_positions
from pocketrec.cloud.metrics.metrics import ranks, reciprocal
from pocketrec.cloud.rehearsal.trials import POSITIONS, spread
from pocketrec.cloud.ways.way import apply
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.personal.windows import context, training_windows
from pocketrec.export.graph.graph import GraphModel, GraphShape, PersonalGraph
from pocketrec.export.tables.quantise import quantise_weights
from pocketrec.export.tables.table import ItemTable

Array = np.ndarray[Any, Any]
Weights = dict[str, Array]
Step = tuple[Array, Array]
"""Items and targets of one train step, int32 (B, T) each."""

_MOST_ROWS = 8  # windows of a query; of more, the latest


@dataclass(frozen=True)
class Adaptation:
    """How a device makes the model personal."""

    optimizer: str
    """sgd, adagrad or adam."""
    rate: float
    """Learning rate; a learned one is a multiple of it."""
    passes: int
    """Passes over the user's windows."""
    pull: float
    """Strength of the pull to the starting point."""


@dataclass(frozen=True)
class Task:
    """One user: what the device learns from, and what follows."""

    support: list[Step]
    """Train steps of one pass, as the device makes them; empty where there is nothing to learn from."""
    query: Step
    """The events that follow."""
    windows: Array
    """int32 (P, T), the events before each judged one."""
    rows: Array
    """int32 (n,), all known events."""
    places: Array
    """int64 (P,), places of the judged ones in `rows`."""

    @property
    def all_steps(self) -> list[Step]:
        """Support and query, for those who do not tell them apart."""
        return [*self.support, self.query]


def task_of(user: DeviceUser, window: int, batch: int) -> Task:
    """A user's task for a device that trains `batch` windows of `window` events a step."""
    rows, places = known_positions(user)
    places = places[spread(len(places), POSITIONS)]
    items, targets = training_windows(user.history, user.known_before, window, batch)  # (S, B, T)
    support = [_without_empty(*step) for step in zip(items, targets, strict=True)]
    after, following = training_windows(rows, len(user.history), window, 1)  # (n, 1, T)
    query = _without_empty(after[-_MOST_ROWS:, 0], following[-_MOST_ROWS:, 0])
    return Task(support, query, np.concatenate([context(rows[:place], window) for place in places]), rows, places)


def _without_empty(items: Array, targets: Array) -> Step:
    """The windows that have targets, made up with empty ones to 1, 2, 4 or 8 so that few graphs are traced."""
    kept = targets.any(axis=1)
    rows = _power_of_two(int(kept.sum()))
    made = np.zeros((2, rows, items.shape[1]), np.int32)
    made[0, : kept.sum()], made[1, : kept.sum()] = items[kept], targets[kept]
    return made[0], made[1]


def _power_of_two(count: int) -> int:
    return 1 << max(0, count - 1).bit_length()


class _Rule:
    """An optimiser of the export with a factor on the rate of each tensor and a pull to any starting point."""

    def __init__(self, variables: Mapping[str, tf.Variable], how: Adaptation) -> None:
        self.how, self.rule = how, DEVICE_OPTIMIZERS.load(how.optimizer)(dict(variables))
        self.slots = self.rule.slots
        self.start = {name: tf.Variable(variable) for name, variable in variables.items()}
        self.factors = {name: tf.Variable(1.0) for name in variables}
        self.gradients = {name: tf.Variable(tf.zeros_like(variable)) for name, variable in variables.items()}

    def begin_step(self) -> None:
        self.rule.begin_step()

    def apply(self, name: str, variable: tf.Tensor, gradient: tf.Tensor, learning_rate: tf.Tensor) -> tf.Tensor:
        self.gradients[name].assign(gradient)
        pulled = gradient + self.how.pull * (variable - self.start[name])
        return self.rule.apply(name, variable, pulled, learning_rate * self.factors[name])


class Device(PersonalGraph):
    """The exported graph of the way `partial`, started anywhere.

    Args:
        weights: tensors of the layers by name, float32.
        embeddings: float32 (N + 1, E).
        config: of the run; its export settings shape tensors and table as the file would hold them.
        how: the adaptation.
    """

    def __init__(self, weights: Weights, embeddings: Array, config: RunConfig, how: Adaptation) -> None:
        export, self.mask_seen = config.export, config.evaluate.mask_seen
        self.bits, self.ties, self.how = export.weight_bits, config.evaluate.ties, how
        table = ItemTable.quantise(embeddings, export.item_table, export.item_bits)
        shape = GraphShape(export.batch, config.model.window, 1)
        applied = apply("partial", backbone(config.model.backbone).layers(config.model), export)
        model = GraphModel(applied.layers, self.as_shipped(weights), applied.trained)
        super().__init__(model, table, how.optimizer, shape)
        self.rule = _Rule(self.trainable, how)
        self.optimizer, self.items = self.rule, table.embeddings()
        self._step = tf.function(self.train, autograph=False)
        self._users = tf.function(self._embed_all, autograph=False)

    def as_shipped(self, weights: Weights) -> Weights:
        """Weights as the model file holds them, quantised and back."""
        return {name: tensor.values for name, tensor in quantise_weights(weights, self.bits).items()}

    @property
    def weights(self) -> Weights:
        """The trained tensors as they are now."""
        return {name: variable.numpy() for name, variable in self.trainable.items()}

    def begin(self, start: Weights, factors: Mapping[str, float] | None = None) -> None:
        """Start from these trained tensors, with empty slots."""
        for name, variable in self.trainable.items():
            variable.assign(start[name])
            self.rule.start[name].assign(start[name])
            self.rule.factors[name].assign((factors or {}).get(name, 1.0))
        for slot in self.rule.slots.values():
            slot.assign(tf.zeros_like(slot))

    def adapt(self, steps: Sequence[Step]) -> None:
        """Train on the steps of one pass, as often as there are passes."""
        for _ in range(self.how.passes):
            for step in steps:
                self._run(step, self.how.rate)

    def gradient(self, step: Step) -> tuple[Weights, float]:
        """Gradient of the mean loss at the present weights, which stay, and that loss. The slots do not stay."""
        loss = self._run(step, 0.0)
        return {name: gradient.numpy() for name, gradient in self.rule.gradients.items()}, loss

    def judge(self, task: Task, bonuses: Sequence[Repeats]) -> list[list[float]]:
        """Mean reciprocal rank and mean loss (nats) of the judged events under the present weights, by bonus."""
        count = len(task.places)
        windows = np.zeros((_power_of_two(count), task.windows.shape[1]), np.int32)
        windows[:count] = task.windows
        plain = self._users(tf.constant(windows)).numpy()[:count] @ self.items.T  # (P, N + 1)
        targets = task.rows[task.places]
        masked = np.zeros(plain.shape, bool) if self.mask_seen else None
        found = []
        for bonus in bonuses:
            scores = plain.copy()
            for index, place in enumerate(task.places):
                bonus.add_to_catalogue(scores[index], task.rows[:place])
                if masked is not None:
                    masked[index, task.rows[:place]] = True
            rank = ranks(scores, targets, self.ties, masked)
            loss = np.logaddexp.reduce(scores[:, 1:], axis=1) - scores[np.arange(count), targets]
            found.append([float(reciprocal(rank, 20).mean()), float(loss.mean())])
        return found

    def _run(self, step: Step, rate: float) -> float:
        items, targets = map(tf.constant, step)
        return float(self._step(items, targets, tf.constant(rate), tf.constant(0.0))["loss"])

    def _embed_all(self, items: tf.Tensor) -> tf.Tensor:
        return self._forward(items)[0][-items.shape[0] :]  # of (T * P, E), time-major
