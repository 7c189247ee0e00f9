"""What the exported file should compute, by an independent route: Keras layers and a gradient tape.

Nothing of `pocketrec.export.graph.graph` is used here, so an error there cannot hide. Only the item table differs from
the trained model: the reference can hold the table as the file does (dequantised), so that what remains is rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones import FC, ITEM_EMBEDDING
from pocketrec.device.base.array import Array


class Reference:
    """A copy of a Keras next-item model that answers like a device.

    Args:
        model: maps items int32 [B, T] to user embeddings float32 [B, T, E].
        table: item embeddings to use, float32 (N + 1, E).
        trainable: names of the tensors that train, such as ``gru_2_kernel``.
        optimizer: sgd, adagrad (accumulator from 0) or adam, otherwise with Keras' defaults.
        weights: GRU and FC tensors to use, by name; None = the model's own.
        pruned: tensors whose zeros stay zero in training.
        way: as it was exported; a patch puts adapters beside the layers.
        adapter: width of their bottleneck.
    """

    def __init__(
        self,
        model: keras.Model,
        table: Array,
        trainable: list[str],
        optimizer: str,
        weights: Mapping[str, Array] | None = None,
        pruned: Sequence[str] = (),
        way: str = "partial",
        adapter: int = 0,
    ) -> None:
        self.model = keras.models.clone_model(model)
        self.model.set_weights(model.get_weights())
        self.model.get_layer(ITEM_EMBEDDING).set_weights([table])
        if adapter:
            self.model = _with_adapters(self.model, way == "patch", adapter)
        self.table = tf.constant(table)
        named = {f"{layer.name}_{variable.name}": variable for layer in self.model.layers for variable in layer.weights}
        for name, value in (weights or {}).items():
            named[name].assign(value)
        self.named = {name: named[name] for name in trainable}
        self.trainable = list(self.named.values())
        self.kept = [
            tf.constant((variable.numpy() != 0) | (name not in pruned), tf.float32)
            for name, variable in self.named.items()
        ]
        self.origin = [tf.constant(variable.numpy()) for variable in self.trainable]
        self.optimizer = {
            "sgd": lambda: keras.optimizers.SGD(),
            "adagrad": lambda: keras.optimizers.Adagrad(initial_accumulator_value=0.0),
            "adam": lambda: keras.optimizers.Adam(),
        }[optimizer]()
        self.optimizer.build(self.trainable)
        self._step = tf.function(self._train, reduce_retracing=True)

    def values(self) -> dict[str, Array]:
        """The trained tensors as they are now, by name."""
        return {name: variable.numpy() for name, variable in self.named.items()}

    def embed(self, contexts: Array) -> Array:
        """User embeddings float32 [M, E] after the events of each of M contexts, int32 [M, T], right-padded."""
        embeddings: Array = np.asarray(self.model(contexts, training=False))[:, -1]
        return embeddings

    def score(self, contexts: Array, candidates: Array) -> Array:
        """Scores float32 [M, C] of candidate rows int32 [C]."""
        scores: Array = self.embed(contexts) @ self.table.numpy()[candidates].T
        return scores

    def losses(self, items: Array, targets: Array, negatives: Array | None = None) -> Array:
        """Cross-entropy of every target, float32 [B, T], 0 where it does not count."""
        losses: Array = self._losses(tf.constant(items), tf.constant(targets), negatives).numpy()
        return losses

    def ranks(self, items: Array, targets: Array) -> Array:
        """Rank of every target in the full catalogue, float32 [B, T]; ties count against it, 0 where not counted."""
        logits = np.asarray(self.model(items, training=False)) @ self.table.numpy()[1:].T  # (B, T, N)
        own = np.take_along_axis(logits, np.maximum(targets - 1, 0)[..., None], axis=-1)
        ranks: Array = (logits >= own).sum(-1) * (targets > 0).astype(np.float32)
        return ranks

    def train(
        self,
        items: Array,
        targets: Array,
        learning_rate: float,
        proximal: float,
        negatives: Array | None = None,
    ) -> float:
        """One step; returns the mean loss before it, without the proximal term."""
        self.optimizer.learning_rate = learning_rate
        drawn = None if negatives is None else tf.constant(negatives)
        return float(self._step(tf.constant(items), tf.constant(targets), tf.constant(proximal), drawn))

    def _train(
        self, items: tf.Tensor, targets: tf.Tensor, proximal: tf.Tensor, negatives: tf.Tensor | None
    ) -> tf.Tensor:
        with tf.GradientTape() as tape:
            losses = self._losses(items, targets, negatives)
            loss = tf.reduce_sum(losses) / tf.maximum(tf.reduce_sum(tf.cast(targets > 0, tf.float32)), 1.0)
            distance = tf.add_n(
                [tf.reduce_sum((v.value - o) ** 2) for v, o in zip(self.trainable, self.origin, strict=True)]
            )
            objective = loss + 0.5 * proximal * distance
        values = [variable.value for variable in self.trainable]
        gradients = [g * kept for g, kept in zip(tape.gradient(objective, values), self.kept, strict=True)]
        self.optimizer.apply(gradients, self.trainable)
        return loss

    def _losses(self, items: tf.Tensor, targets: tf.Tensor, negatives: Array | None) -> tf.Tensor:
        users = self.model(items, training=False)  # (B, T, E)
        if negatives is None:
            logits = tf.einsum("bte,ne->btn", users, self.table[1:])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(targets - 1, 0), logits)
        else:
            losses = self._sampled(users, targets, tf.convert_to_tensor(negatives))
        return losses * tf.cast(targets > 0, tf.float32)

    def _sampled(self, users: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
        """Sampled softmax over the target and shared negatives, logits less log P of the log-uniform sampler."""
        items = self.table.shape[0] - 1

        def log_q(rows: tf.Tensor) -> tf.Tensor:
            row = tf.cast(tf.maximum(rows, 1), tf.float64)
            return tf.cast(tf.math.log(tf.math.log1p(1 / row) / np.log(items + 1.0)), tf.float32)

        own = tf.einsum("bte,bte->bt", users, tf.gather(self.table, targets)) - log_q(targets)
        others = tf.einsum("bte,se->bts", users, tf.gather(self.table, negatives)) - log_q(negatives)
        others = tf.where(targets[..., None] == negatives, -np.inf, others)
        logits = tf.concat([own[..., None], others], axis=-1)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.zeros_like(targets), logits)


def _with_adapters(model: keras.Model, serial: bool, width: int) -> keras.Model:
    """The same, with two Dense layers after (serial) or beside (parallel) each GRU and FC added to its output."""
    x = inputs = keras.Input((None,), dtype="int32")  # (B, T)
    for layer in model.layers[1:]:
        y = layer(x)
        if layer.name.startswith("gru_") or layer.name == FC:
            narrow = keras.layers.Dense(width, "tanh", name=f"{layer.name}_adapter_down")(y if serial else x)
            wide = keras.layers.Dense(y.shape[-1], name=f"{layer.name}_adapter_up")(narrow)
            y = keras.layers.Add()([y, wide])
        x = y
    return keras.Model(inputs, x)
