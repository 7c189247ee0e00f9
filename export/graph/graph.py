# SPDX-License-Identifier: Apache-2.0
"""The exported graph: one `tf.Module` with the signatures of `pocketrec.device.contract.names`.

Frozen layers are constants, trained tensors and optimiser slots are the only variables, shapes are static and every
op has a TensorFlow Lite builtin. The module knows nothing about files or conversion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pocketrec.cloud.config.personalise import DEVICE_OPTIMIZERS
from pocketrec.device.base.array import Array
from pocketrec.device.contract import names as contract
from pocketrec.device.contract.layers import BODY, HEAD, LayerSpec
from pocketrec.export.graph.retrieve import best_rows
from pocketrec.export.graph.softmax import Softmax
from pocketrec.export.graph.task import last_steps, task_inputs, task_loss
from pocketrec.export.layers.layer import Call, Flop, Gradients, merge
from pocketrec.export.layers.stack import Stack
from pocketrec.export.rankers.inner_product import InnerProduct
from pocketrec.export.rankers.ranker import GraphRanker
from pocketrec.export.rankers.ranknet import RankNet
from pocketrec.export.tables.table import GraphTable, ItemTable


@dataclass(frozen=True)
class GraphShape:
    """Static sizes of the signatures.

    Attributes:
        batch: windows B of a train step.
        window: events T of a window.
        candidates: items C that one `infer` call scores.
        negatives: shared negatives S of a train step; 0 = full softmax.
        compared: rows of a task's head that a step of its patch compares; 0 = no patch is trained.
        retrieve: items K that `retrieve` finds; 0 = no such signature.
        rank: items that one `rank` call scores, where there is a second ranker.
        positions: targets P of a train step that takes user embeddings (`pocketrec.export.graph.positions`); 0 = steps
            take windows.
        small: windows of `train_small` and `evaluate_small`, fewer than `batch`; 0 = no such signatures.
    """

    batch: int
    window: int
    candidates: int
    negatives: int = 0
    compared: int = 0
    retrieve: int = 0
    rank: int = 0
    positions: int = 0
    small: int = 0


@dataclass(frozen=True)
class GraphModel:
    """What a device computes with, and what it trains.

    Attributes:
        layers: from item embedding to user embedding.
        weights: every tensor of the layers by name, float32.
        trained: names of the tensors that train.
        pruned: tensors whose zeros stay zero in training (`pocketrec.export.graph.weights.pruned_names`).
        causal: whether a position sees the items up to there alone. Else a window has one target, which comes after
            its last event, and one step more, for the mask that stands there.
    """

    layers: tuple[LayerSpec, ...]
    weights: dict[str, Array]
    trained: tuple[str, ...]
    pruned: frozenset[str] = frozenset()
    causal: bool = True


class PersonalGraph(tf.Module):
    """A next-item model that the device can run and partly train.

    Args:
        model: layers, weights and what trains.
        table: item embeddings.
        optimizer: sgd, adagrad or adam.
        shape: static sizes.
        ranker: scores; None = the inner product.
        second: the ranker of the signature `rank`, which orders what the first one has found; None = no such signature.
            Where its tensors train, losses and ranks of training are its own.
    """

    def __init__(
        self,
        model: GraphModel,
        table: GraphTable,
        optimizer: str,
        shape: GraphShape,
        ranker: GraphRanker | None = None,
        second: RankNet | None = None,
    ) -> None:
        super().__init__()
        self.model, self.shape, self.table = model, shape, table
        self.body = Stack(LayerSpec("stack", "body", inner=model.layers))
        self.targets = shape.window if model.causal else 1
        self.trainable = {name: tf.Variable(model.weights[name], name=name) for name in model.trained}
        self.optimizer = DEVICE_OPTIMIZERS.load(optimizer)(self.trainable)
        self.state = {**self.trainable, **self.optimizer.slots}
        self.ranker, self.second = ranker or InnerProduct(), second
        trains_second = second is not None and not set(contract.RANKER_TENSORS).isdisjoint(model.trained)
        self.softmax = Softmax(table, second if second and trains_second else self.ranker, self._value)

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The concrete functions to convert, by signature name."""
        batch, window = self.shape.batch, self.shape.window
        one = tf.TensorSpec([1, window], tf.int32)
        scalar = tf.TensorSpec([], tf.float32)
        sampled = {}
        if self.shape.negatives:
            sampled = {contract.NEGATIVES: tf.TensorSpec([self.shape.negatives], tf.int32)}

        def step(windows: int) -> tuple[dict[str, tf.TensorSpec], dict[str, tf.TensorSpec]]:
            pair = {contract.ITEMS: tf.TensorSpec([windows, window], tf.int32),
                    contract.TARGETS: tf.TensorSpec([windows, self.targets], tf.int32)}  # fmt: skip
            rates = {contract.LEARNING_RATE: scalar, contract.PROXIMAL: scalar}
            return {**pair, **rates, **sampled}, {**pair, **sampled}

        specs: dict[str, dict[str, tf.TensorSpec]] = {
            **dict(zip((contract.TRAIN, contract.EVALUATE), step(batch), strict=True)),
            contract.EMBED: {contract.ITEMS: one},
            contract.INFER: {
                contract.ITEMS: one,
                contract.CANDIDATES: tf.TensorSpec([self.shape.candidates], tf.int32),
            },
            contract.LOOKUP: {contract.CANDIDATES: tf.TensorSpec([self.shape.candidates], tf.int32)},
            contract.EXPORT_WEIGHTS: {contract.UNUSED: scalar},
            contract.IMPORT_WEIGHTS: {
                name: tf.TensorSpec(variable.shape, tf.float32) for name, variable in self.state.items()
            },
        }
        if self.shape.small:
            small = contract.TRAIN_SMALL, contract.EVALUATE_SMALL
            specs |= dict(zip(small, step(self.shape.small), strict=True))
        if self.shape.compared:
            specs[contract.TRAIN_TASK] = task_inputs(
                self.trainable, (batch, window), (self.shape.compared, self.table.size)
            )
        if self.shape.retrieve:
            specs[contract.RETRIEVE] = {contract.ITEMS: one}
        if self.second:
            specs[contract.RANK_CANDIDATES] = {
                contract.ITEMS: one, contract.CANDIDATES: tf.TensorSpec([self.shape.rank], tf.int32)
            }  # fmt: skip
        specs |= self.own_inputs()
        return {
            name: tf.function(self.function_of(name), autograph=False).get_concrete_function(
                **{key: tf.TensorSpec(spec.shape, spec.dtype, name=key) for key, spec in inputs.items()}
            )
            for name, inputs in specs.items()
        }

    def own_inputs(self) -> dict[str, dict[str, tf.TensorSpec]]:
        """Inputs of signatures that a subclass adds, or has in another form, by signature name."""
        return {}

    def function_of(self, name: str) -> Callable[..., dict[str, tf.Tensor]]:
        """What a signature computes."""
        found: Callable[..., dict[str, tf.Tensor]] = getattr(self, name)
        return found

    def flop(self) -> dict[str, int]:
        """Multiplications and additions of the matrix products of a train step, of ``embed`` and of ``infer``.

        Element-wise work, softmax, lookups and the optimiser are not counted. A train step has the logits of M items
        (all, or the negatives) and their gradient by the user embeddings, 4 B T E M, beside the layers' own; with one
        target of a window 4 B E M.
        """
        batch, window, embedding = self.shape.batch, self.shape.window, self.table.size
        one = self._flop_of_window()
        negatives, candidates = self.shape.negatives, self.shape.candidates
        compared, targets = negatives or self.table.items, batch * self.targets
        looked_up = batch * window + targets + negatives  # inputs, targets and what is compared
        return {
            contract.TRAIN: batch * (one.forward + one.backward) + targets * 4 * embedding * compared
            + self.table.flop(looked_up, whole=not negatives),
            contract.EMBED: one.forward + self.table.flop(window, whole=False),
            contract.INFER: one.forward + 2 * candidates * embedding
            + self.table.flop(window + candidates, whole=False),
            **({contract.RETRIEVE: one.forward + 2 * self.table.items * embedding} if self.shape.retrieve else {}),
        }

    def _flop_of_window(self) -> Flop:
        """The layers' work for one window; a head behind the mask has one row."""
        trained, layers = frozenset(self.trainable), self.model.layers
        if self.model.causal:
            row = self.body.flop(trained, down=False)
            return Flop(self.shape.window * row.forward, self.shape.window * row.backward)
        parts = [Stack(LayerSpec("stack", role, inner=tuple(layer for layer in layers if layer.role == role)))
                 for role in (BODY, HEAD)]  # fmt: skip
        row, once = parts[0].flop(trained, down=False), parts[1].flop(trained, not trained.isdisjoint(parts[0].tensors))
        steps = self.shape.window + 1
        return Flop(steps * row.forward, steps * row.backward) + once

    def train(
        self,
        items: tf.Tensor,
        targets: tf.Tensor,
        learning_rate: tf.Tensor,
        proximal: tf.Tensor,
        negatives: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """One step; see `contract.TRAIN`. The loss is that before the step, without the proximal term."""
        users, trace, call = self._forward(items)
        flat = tf.reshape(tf.transpose(targets), [-1])  # (T * B,)
        counted = tf.cast(flat > 0, tf.float32)
        share = counted / tf.maximum(tf.reduce_sum(counted), 1.0)  # (T * B,), weight of each target in the mean
        loss, by_users, own = self.softmax.loss(users, flat, negatives, share)
        gradients = merge(self.body.backward(trace, by_users, call, down=False)[0], own)
        self._update(gradients, learning_rate, proximal, lambda name: tf.constant(self.model.weights[name]))
        return {contract.LOSS: tf.reduce_sum(loss * share)}

    def train_task(
        self,
        items: tf.Tensor,
        wanted: tf.Tensor,
        head: tf.Tensor,
        biases: tf.Tensor,
        learning_rate: tf.Tensor,
        proximal: tf.Tensor,
        **origin: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """One step of a task's patch, whose head and origin come from outside; see `contract.TRAIN_TASK`."""
        users, trace, call = self._forward(items)
        last = last_steps(call.padding, self.shape.batch) if self.model.causal else None
        loss, by_users = task_loss(users, last, wanted, head, biases)
        gradients = self.body.backward(trace, by_users, call, down=False)[0]
        self._update(gradients, learning_rate, proximal, lambda name: origin[contract.ORIGIN + name])
        return {contract.LOSS: loss}

    def _update(
        self, gradients: Gradients, learning_rate: tf.Tensor, proximal: tf.Tensor, origin: Callable[[str], tf.Tensor]
    ) -> None:
        """One step of the optimiser, with the pull to the origin of each trained tensor."""
        self.optimizer.begin_step()
        for name, variable in self.trainable.items():
            value = variable.read_value()
            gradient = gradients[name] + proximal * (value - origin(name))
            if name in self.model.pruned:  # read off the variable: a mask of its own would be as large as the tensor
                gradient *= tf.cast(tf.not_equal(value, 0.0), tf.float32)
            variable.assign(self.optimizer.apply(name, value, gradient, learning_rate))

    def evaluate(
        self, items: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Loss and rank of every target; see `contract.EVALUATE`."""
        users, _, _ = self._forward(items)
        flat = tf.reshape(tf.transpose(targets), [-1])
        counted = tf.cast(flat > 0, tf.float32)
        loss, rank = self.softmax.judge(users, flat, negatives)
        return {contract.LOSS: self._by_window(loss * counted), contract.RANK: self._by_window(rank * counted)}

    train_small, evaluate_small = train, evaluate  # of fewer windows

    def embed(self, items: tf.Tensor) -> dict[str, tf.Tensor]:
        """User embedding after the last event; see `contract.EMBED`."""
        return {contract.USER_EMBEDDING: self._embed(items)}

    def infer(self, items: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores of candidates; see `contract.INFER`."""
        return {contract.SCORES: self.ranker.scores(self._embed(items), self.table.gather(candidates), self._value)}

    def retrieve(self, items: tf.Tensor) -> dict[str, tf.Tensor]:
        """The best items of the catalogue; see `contract.RETRIEVE`."""
        assert isinstance(self.table, ItemTable)
        rows, scores = best_rows(self.table, self._embed(items), self.shape.retrieve, tf.minimum(items[0, 0], 0))
        return {contract.CANDIDATES: rows, contract.SCORES: scores}

    def rank(self, items: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores of candidates by the second ranker; see `contract.RANK_CANDIDATES`."""
        assert self.second is not None
        rows = self.table.gather(candidates)
        return {contract.SCORES: self.second.rank(self._embed(items), rows, self._value, items, candidates)}

    def lookup(self, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        """Item embeddings of candidates, as the file holds them; see `contract.LOOKUP`."""
        return {contract.ITEM_EMBEDDINGS: self.table.gather(candidates)}

    def export_weights(self, unused: tf.Tensor) -> dict[str, tf.Tensor]:
        """Trained tensors and optimiser slots by name."""
        # The input takes part so that the converter keeps it; 0 * unused would be folded away.
        zero = tf.minimum(tf.abs(unused), 0.0)
        return {name: variable.read_value() + zero for name, variable in self.state.items()}

    def import_weights(self, **tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Set trained tensors and optimiser slots."""
        for name, variable in self.state.items():
            variable.assign(tensors[name])
        return {contract.OK: tf.constant(1.0)}

    def _value(self, name: str) -> tf.Tensor:
        if name in self.trainable:
            return self.trainable[name].read_value()
        return tf.constant(self.model.weights[name])

    def _forward(self, items: tf.Tensor, kept: tf.Tensor | None = None) -> tuple[tf.Tensor, Any, Call]:
        """User embeddings after every step, float32 (T * B, E), time-major, or of a model that is not causal one of
        each window, (B, E); and what the backward pass takes. The items' embeddings are multiplied by `kept` (T * B,
        E) where it is given."""
        # Not a transpose: for a batch of 1 the converter would make another op of it, and the signatures could not
        # share their operators in the file (`pocketrec.export.file.shrink`).
        batch, window = items.shape
        time_major = np.arange(batch * window, dtype=np.int32).reshape(batch, window).T.reshape(-1)
        flat = tf.gather(tf.reshape(items, [-1]), time_major)  # (T * B,)
        padding, mask, steps = tf.cast(tf.equal(flat, contract.PADDING), tf.float32)[:, None], None, window
        if not self.model.causal:
            no_event = tf.concat([padding, tf.ones([batch, 1])], axis=0)
            padding, steps = tf.concat([tf.zeros([batch, 1]), padding], axis=0), window + 1
            mask = no_event + padding * -1.0
        call = Call(self._value, steps, padding, frozenset(self.trainable), mask)
        embedded = self.table.gather(flat)
        users, trace = self.body.forward(embedded if kept is None else embedded * kept, call)
        return users, trace, call

    def _embed(self, items: tf.Tensor) -> tf.Tensor:
        """User embedding after the last event of one window, float32 (1, E)."""
        users, _, _ = self._forward(items)
        if self.body.holds(held=False):
            return users[-1:]
        with tf.control_dependencies([users]):
            events = tf.reduce_sum(tf.minimum(items, 1), axis=1)  # (1,)
        return tf.gather(users, tf.maximum(events - 1, 0))

    def _by_window(self, flat: tf.Tensor) -> tf.Tensor:
        return tf.transpose(tf.reshape(flat, [self.targets, flat.shape[0] // self.targets]))  # (B, T)
