# SPDX-License-Identifier: Apache-2.0
"""The graph of a contribution file: gradients of every layer, and of the item table, at weights that are set.

All tensors are variables that start at zero, so that the file holds no weights: a round's weights come apart from it.
Layers and their backward passes are those of the shipped file (`pocketrec.export.layers`); what comes here is the
gradient of the item table, on its output side (softmax) and its input side. The module knows nothing about files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract import names as contract
from pocketrec.device.contract.federated import COUNT, GRADIENT, KEPT
from pocketrec.device.contract.packed import Quantised
from pocketrec.export.graph.graph import GraphModel, GraphShape, PersonalGraph
from pocketrec.export.graph.softmax import CHUNK_LOGITS, TINY, Softmax
from pocketrec.export.layers.layer import merge
from pocketrec.export.layers.products import transposed
from pocketrec.export.rankers.ranker import GraphRanker
from pocketrec.export.tables.table import GraphTable


@dataclass(frozen=True)
class VariableTable:
    """The item table as a variable, (N, E): row i is item row i + 1. There is none for padding, which has no gradient.

    See `pocketrec.export.tables.table.GraphTable`.
    """

    rows: tf.Variable

    @property
    def items(self) -> int:
        """See `GraphTable.items`."""
        return int(self.rows.shape[0])

    @property
    def size(self) -> int:
        """See `GraphTable.size`."""
        return int(self.rows.shape[1])

    def quantised(self, name: str) -> dict[str, Quantised]:
        """See `GraphTable.quantised`."""
        return {}

    def facts(self) -> dict[str, Any]:
        """See `GraphTable.facts`."""
        return {}

    def flop(self, rows: int, whole: bool) -> int:
        """See `GraphTable.flop`."""
        return 0

    def embeddings(self) -> Array:
        """See `GraphTable.embeddings`."""
        padded: Array = np.concatenate([np.zeros((1, self.size), np.float32), self.rows.numpy()])
        return padded

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """See `GraphTable.gather`; zeros for padding."""
        found = tf.gather(self.rows.read_value(), tf.maximum(rows - 1, 0))
        return found * tf.cast(rows > 0, tf.float32)[:, None]

    def catalogue(self, zero: tf.Tensor) -> tf.Tensor:
        """See `GraphTable.catalogue`."""
        return self.rows.read_value()

    def scattered(self, rows: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Float32 (N, E): the sum of `values` (n, E) at each item's `rows` (n,); those at padding are left out.

        One op, SCATTER_ND, which adds up what has the same index; `pocketrec.export.federated.check` proves that of
        each runtime with every file.
        """
        kept = values * tf.cast(rows > 0, tf.float32)[:, None]
        return tf.scatter_nd(tf.maximum(rows - 1, 0)[:, None], kept, [self.items, self.size])


@dataclass(frozen=True)
class TableSoftmax(Softmax):
    """The full softmax by the inner product, whose gradient by the item table is wanted too."""

    def with_table(
        self, users: tf.Tensor, targets: tf.Tensor, counted: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Loss and gradients, each summed over the counted steps.

        Args:
            users: user embeddings, float32 (n, E).
            targets: item rows, int32 (n,); 0 = none.
            counted: float32 (n,), 1 where a step counts, else 0.

        Returns:
            The loss, float32 []; its gradients by the users (n, E), and by the catalogue (N, E) but for the part of
            the targets' own rows, which is -counted * users.
        """
        catalogue = self.table.catalogue(tf.constant(0))  # (N, E)
        by_size = transposed(catalogue)  # (E, N)
        sizes = self._sizes(targets.shape[0], CHUNK_LOGITS)
        losses, by_users = [], []
        by_items = tf.zeros_like(catalogue)
        parts = zip(*self._chunks(users, targets, sizes), tf.split(counted, sizes), strict=True)
        for part, places, weight in parts:
            probabilities = tf.nn.softmax(tf.matmul(part, by_size))  # (chunk, N)
            losses.append(-tf.math.log(tf.maximum(tf.gather_nd(probabilities, places), TINY)))
            by_users.append(tf.matmul(probabilities, catalogue))
            by_items += tf.matmul(probabilities, part * weight[:, None], transpose_a=True)
        total = tf.reduce_sum(tf.concat(losses, 0) * counted)
        return total, (tf.concat(by_users, 0) - self.table.gather(targets)) * counted[:, None], by_items


class ContributionGraph(PersonalGraph):
    """Gradients at weights that are set, summed over the counted targets of a batch.

    Args:
        model: layers; every tensor trains, and its values count for nothing but their shapes.
        table: item embeddings: a `VariableTable`, whose gradient is then one of the outputs, or a frozen table.
        shape: static sizes.
        ranker: scores; with a `VariableTable` the inner product, which None stands for.
        table_name: name of the table's tensor.
    """

    def __init__(
        self, model: GraphModel, table: GraphTable, shape: GraphShape, ranker: GraphRanker | None, table_name: str
    ) -> None:
        super().__init__(model, table, "sgd", shape, ranker)
        self.rows = table.rows if isinstance(table, VariableTable) else None  # so that it is saved with the module
        self.table_name = table_name
        self.federated = dict(self.trainable) if self.rows is None else {**self.trainable, table_name: self.rows}
        self.with_table = TableSoftmax(table, self.ranker, self._value)

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """`gradient` and `import_weights`."""
        inputs = {
            contract.ITEMS: [self.shape.batch, self.shape.window],
            contract.TARGETS: [self.shape.batch, self.targets],
            **({contract.NEGATIVES: [self.shape.negatives]} if self.shape.negatives else {}),
        }
        gradient = {name: tf.TensorSpec(shape, tf.int32, name=name) for name, shape in inputs.items()}
        size = [self.shape.batch, self.shape.window, self.table.size]
        gradient[KEPT] = tf.TensorSpec(size, tf.float32, name=KEPT)
        weights = {name: tf.TensorSpec(v.shape, tf.float32, name=name) for name, v in self.federated.items()}
        return {
            GRADIENT: tf.function(self.gradient, autograph=False).get_concrete_function(**gradient),
            contract.IMPORT_WEIGHTS: tf.function(self.import_weights, autograph=False).get_concrete_function(**weights),
        }

    def gradient(
        self, items: tf.Tensor, targets: tf.Tensor, kept: tf.Tensor, negatives: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """See `pocketrec.device.contract.federated.GRADIENT`."""
        kept = tf.reshape(tf.transpose(kept, [1, 0, 2]), [-1, self.table.size])  # (T * B, E)
        users, trace, call = self._forward(items, kept)
        flat = tf.reshape(tf.transpose(targets), [-1])  # (T * B,)
        counted = tf.cast(flat > 0, tf.float32)
        if isinstance(self.table, VariableTable):
            loss, by_users, by_items = self.with_table.with_table(users, flat, counted)
            own, by_inputs = self.body.backward(trace, by_users, call, down=True)
            rows = tf.concat([tf.reshape(tf.transpose(items), [-1]), flat], axis=0)  # (2 T * B,)
            values = tf.concat([by_inputs * kept, users * -counted[:, None]], axis=0)
            gradients = {**own, self.table_name: by_items + self.table.scattered(rows, values)}
        else:
            losses, by_users, of_ranker = self.softmax.loss(users, flat, negatives, counted)
            loss = tf.reduce_sum(losses * counted)
            gradients = merge(self.body.backward(trace, by_users, call, down=False)[0], of_ranker)
        found = {name: gradients[name] for name in self.federated}
        return {contract.LOSS: loss, COUNT: tf.reduce_sum(counted), **found}

    def import_weights(self, **tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Set the weights at which gradients are taken."""
        for name, variable in self.federated.items():
            variable.assign(tensors[name])
        return {contract.OK: tf.constant(1.0)}
