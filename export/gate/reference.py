# SPDX-License-Identifier: Apache-2.0
"""What the exported file should compute, by an independent route: Keras layers and a gradient tape.

Nothing of `pocketrec.export.graph` and of the layers is used here, so an error there cannot hide. Only the item table
differs from the trained model: the reference can hold the table as the file does (dequantised), so that what remains is
rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones import ITEM_EMBEDDING
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import ExportError
from pocketrec.device.contract.layers import LayerSpec, tensors_of, walk
from pocketrec.export.rankers.inner_product import InnerProduct
from pocketrec.export.rankers.ranker import GraphRanker


@dataclass(frozen=True)
class Personal:
    """What is personal about a reference."""

    trained: Sequence[str] = ()
    """Names of the tensors that train, such as ``gru_2_kernel``."""
    optimizer: str = "sgd"
    """sgd, adagrad (accumulator from 0) or adam, otherwise with Keras' defaults."""
    pruned: Sequence[str] = ()
    """Tensors whose zeros stay zero in training."""


class Reference:
    """A copy of a Keras next-item model that answers like a device.

    Args:
        model: maps items int32 [B, T] to user embeddings float32 [B, T, E].
        table: item embeddings to use, float32 (N + 1, E).
        personal: what trains, and how.
        weights: tensors to use, by name; None = the model's own.
        layers: layers on the device; where some are wrapped in adapters, the copy has those too.
        ranker: scores; None = the inner product. Only its plain forms are used.
    """

    def __init__(
        self,
        model: keras.Model,
        table: Array,
        personal: Personal | None = None,
        weights: Mapping[str, Array] | None = None,
        layers: Sequence[LayerSpec] = (),
        ranker: GraphRanker | None = None,
    ) -> None:
        personal = personal or Personal()
        self.model = _with_table(model, table)
        self.model = _with_adapters(self.model, layers)
        self.ranker = ranker or InnerProduct()
        self.table = tf.constant(table)
        named = {f"{layer.name}_{variable.name}": variable for layer in self.model.layers for variable in layer.weights}
        for name, value in (weights or {}).items():
            named[name].assign(value)
        self.own = {name: tf.constant(value) for name, value in (weights or {}).items()}
        self.named = {name: named[name] for name in personal.trained}
        self.trainable = list(self.named.values())
        self.kept = [
            tf.constant((variable.numpy() != 0) | (name not in personal.pruned), tf.float32)
            for name, variable in self.named.items()
        ]
        self.origin = [tf.constant(variable.numpy()) for variable in self.trainable]
        self.optimizer = {
            "sgd": lambda: keras.optimizers.SGD(),
            "adagrad": lambda: keras.optimizers.Adagrad(initial_accumulator_value=0.0),
            "adam": lambda: keras.optimizers.Adam(),
        }[personal.optimizer]()
        self.optimizer.build(self.trainable)
        self._step = tf.function(self._train, reduce_retracing=True, autograph=False)

    def drop(self, kept: Array | None) -> None:
        """Multiply the items' embeddings by `kept`, float32 [B, T, E], from now on; None = leave them as they are."""
        self.model.get_layer(ITEM_EMBEDDING).times = kept

    def _value(self, name: str) -> tf.Tensor:
        """A tensor as it is now, for rankers with tensors of their own."""
        return self.named[name].value if name in self.named else self.own[name]

    def value(self, name: str) -> Array:
        """A tensor as it is now."""
        found: Array = self._value(name).numpy()
        return found

    def values(self) -> dict[str, Array]:
        """The trained tensors as they are now, by name."""
        return {name: variable.numpy() for name, variable in self.named.items()}

    def embed(self, contexts: Array) -> Array:
        """User embeddings float32 [M, E] after the last event of each of M contexts, int32 [M, T], right-padded."""
        last = np.maximum((contexts > 0).sum(axis=1) - 1, 0)
        embeddings: Array = np.asarray(self.model(contexts, training=False))[np.arange(len(contexts)), last]
        return embeddings

    def score(self, contexts: Array, candidates: Array, ranker: GraphRanker | None = None) -> Array:
        """Scores float32 [M, C] of candidate rows int32 [C]; by another ranker than that of training, if one is
        given."""
        items, by = tf.gather(self.table, candidates), ranker or self.ranker
        scores: Array = by.plain_grid(tf.constant(self.embed(contexts)), items, self._value).numpy()
        return scores

    def losses(self, items: Array, targets: Array, negatives: Array | None = None) -> Array:
        """Cross-entropy of every target, float32 [B, T], 0 where it does not count."""
        losses: Array = self.position_losses(tf.constant(items), tf.constant(targets), negatives).numpy()
        return losses

    def ranks(self, items: Array, targets: Array) -> Array:
        """Rank of every target in the full catalogue, float32 [B, T]; ties count against it, 0 where not counted."""
        users = self._users(items, targets)  # (B, T, E)
        logits = self.ranker.plain_grid(users, self.table[1:], self._value).numpy()  # (B, T, N)
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
            losses = self.position_losses(items, targets, negatives)
            loss = tf.reduce_sum(losses) / tf.maximum(tf.reduce_sum(tf.cast(targets > 0, tf.float32)), 1.0)
            distance = tf.add_n(
                [tf.reduce_sum((v.value - o) ** 2) for v, o in zip(self.trainable, self.origin, strict=True)]
            )
            objective = loss + 0.5 * proximal * distance
        values = [variable.value for variable in self.trainable]
        gradients = [g * kept for g, kept in zip(tape.gradient(objective, values), self.kept, strict=True)]
        self.optimizer.apply(gradients, self.trainable)
        return loss

    def _users(self, items: Array | tf.Tensor, targets: Array | tf.Tensor) -> tf.Tensor:
        """User embeddings float32 [B, T, E]; [B, 1, E] where a window has one target: its positions have one alike."""
        return self.model(items, training=False)[:, : targets.shape[1]]

    def position_losses(self, items: tf.Tensor, targets: tf.Tensor, negatives: Array | None) -> tf.Tensor:
        """`losses` as a tensor, for a gradient tape of the caller's."""
        users = self._users(items, targets)  # (B, T, E)
        if negatives is None:
            logits = self.ranker.plain_grid(users, self.table[1:], self._value)  # (B, T, N)
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

        own = self.ranker.plain_pairs(users, tf.gather(self.table, targets), self._value) - log_q(targets)
        others = self.ranker.plain_grid(users, tf.gather(self.table, negatives), self._value) - log_q(negatives)
        others = tf.where(targets[..., None] == negatives, -np.inf, others)
        logits = tf.concat([own[..., None], others], axis=-1)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.zeros_like(targets), logits)


class _ItemRows(keras.layers.Embedding):
    """Rows of a plain table; `times`, where it is set, is what they are multiplied by, as dropout does."""

    times: Array | None = None

    def call(self, inputs: Any) -> Any:
        rows = super().call(inputs)
        return rows if self.times is None else rows * self.times


class _Adapters(keras.layers.Layer):
    """Adapters as the papers have them: each for itself, and what they give is added."""

    def __init__(self, spec: LayerSpec, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec, self.supports_masking = spec, True

    def build(self, _input_shape: Any) -> None:
        for tensor in self.spec.tensors:
            name = tensor.name.removeprefix(f"{self.spec.name}_")
            setattr(self, name, self.add_weight(shape=tensor.shape, name=name))

    def call(self, inputs: Any) -> Any:
        count = int(self.spec.options.get("cardinality", 1))
        width = self.spec.tensors[0].shape[1] // count
        biases = tf.reshape(self.up_bias, [count, -1])
        found = []
        for place in range(count):
            part = slice(place * width, (place + 1) * width)
            narrow = tf.tensordot(inputs, self.down_kernel[:, part], 1) + self.down_bias[part]
            gelu = self.spec.options.get("function") == "gelu"
            narrow = keras.activations.gelu(narrow, approximate=True) if gelu else tf.tanh(narrow)
            found.append(tf.tensordot(narrow, self.up_kernel[part], 1) + biases[place])
        return tf.add_n(found)


def _with_table(model: keras.Model, table: Array) -> keras.Model:
    """A copy of the model with these item embeddings, (N + 1, E), as a plain table, whatever its own is."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name == ITEM_EMBEDDING:
            return _ItemRows(*table.shape, mask_zero=True, name=ITEM_EMBEDDING)
        return layer.__class__.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    for layer in copy.layers:
        layer.set_weights([table] if layer.name == ITEM_EMBEDDING else model.get_layer(layer.name).get_weights())
    return copy


def _called(layers: Iterable[LayerSpec], names: Mapping[str, str]) -> Iterator[LayerSpec]:
    """The specs that are a call of a Keras layer, in order. A stack whose tensors all are of one Keras layer is one
    call. `names` are the Keras layers of tensors."""
    for layer in layers:
        owners = {names.get(tensor) for tensor in tensors_of([layer])}
        if layer.kind != "stack" or len(owners) != 1:
            yield from _called(layer.inner, names)
        if layer.kind != "adapter":
            yield layer


def _with_adapters(model: keras.Model, layers: Sequence[LayerSpec]) -> keras.Model:
    """The same weights in a model with adapters after (serial) or beside (parallel) each layer that a spec
    wraps, added to its output. A Keras layer that several specs share is called once for each, in their order."""
    keras_names = {f"{layer.name}_{variable.name}": layer.name for layer in model.layers for variable in layer.weights}
    adapters = {layer.inner[0].name: layer for layer in walk(layers) if layer.kind == "adapter"}
    if not adapters:
        return model
    own = {layer.name for layer in model.layers}
    calls: dict[str, list[LayerSpec | None]] = {}  # of each Keras layer: the adapter of each call
    for spec in _called(layers, keras_names):
        tensors = list(tensors_of([spec])) if spec.kind == "stack" else [tensor.name for tensor in spec.tensors]
        name = keras_names.get(tensors[0], spec.name) if tensors else spec.name
        calls.setdefault(name, []).append(adapters.get(spec.name))
        others = {inner.name for inner in walk([spec])} & own - {name}
        if spec.kind == "stack" and spec.name in adapters and others:
            raise ExportError(
                f"layer {spec.name!r} has a patch and is several Keras layers ({name}, {', '.join(sorted(others))}): "
                "give the patch to one of them"
            )

    def call(layer: keras.layers.Layer, *args: Any, **options: Any) -> Any:
        y, left = layer(*args, **options), calls.get(layer.name)
        adapter = left.pop(0) if left else None
        if adapter is None:
            return y
        x = y if adapter.options["form"] == "serial" else args[0]
        return keras.layers.Add()([y, _Adapters(adapter, name=adapter.name)(x)])

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
