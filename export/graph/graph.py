"""The exported graph: one `tf.Module` with the signatures of `pocketrec.device.contract.names`.

Frozen layers are constants, trained tensors and optimiser slots are the only variables, shapes are static and every
op has a TensorFlow Lite builtin. The module knows nothing about files or conversion.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones import FC
from pocketrec.cloud.config.personalise import DEVICE_OPTIMIZERS
from pocketrec.device.base.array import Array
from pocketrec.device.contract import names as contract
from pocketrec.export.graph.weights import GRU_TENSORS, gru_layers, trainable_names
from pocketrec.export.layers import adapter as adapters
from pocketrec.export.layers import gru
from pocketrec.export.layers.products import transposed
from pocketrec.export.tables.table import ItemTable

# Smallest probability whose logarithm the loss takes; keeps the loss finite (at most 80) where float32 underflows.
_TINY = 1e-35
# Logits (float32) that one chunk of the full softmax holds: bounds memory. Half as many take 7 % less time on
# tflite-runtime, whose softmax wants them in the second-level cache, and 5 % more on ai-edge-litert, which packs the
# item table for each chunk. `evaluate`, which runs seldom, holds four such arrays at a time, so its chunks are small.
_CHUNK_LOGITS = 1 << 19
_CHUNK_LOGITS_EVALUATE = 1 << 17
# Steps that a chunk holds at least: the runtime packs the whole item table anew for each chunk's product, which would
# cost more than the chunk itself where the catalogue is large.
_CHUNK_STEPS = 64
# Terms of the series of artanh; the next one is below 1e-8 for row 1, where y = 1/3, and far less for others.
_SERIES = 7
# Logit of a negative that is the target itself.
_EXCLUDED = -1e9


@dataclass(frozen=True)
class GraphShape:
    """Static sizes of the signatures.

    Attributes:
        batch: windows B of a train step.
        window: events T of a window.
        candidates: items C that one `infer` call scores.
        negatives: shared negatives S of a train step; 0 = full softmax.
    """

    batch: int
    window: int
    candidates: int
    negatives: int = 0


@dataclass(frozen=True)
class _Pass:
    """What one forward pass leaves; rows are time-major."""

    users: tf.Tensor
    """User embedding after every step, float32 (T * B, E)."""
    states: tf.Tensor
    """Input of the FC layer, float32 (T * B, H)."""
    layers: dict[str, gru.GRUTrace]
    """By GRU layer."""
    adapters: dict[str, adapters.AdapterTrace]
    """By layer, where the way has adapters."""


class PersonalGraph(tf.Module):
    """A next-item model that the device can run and partly train.

    Args:
        weights: GRU and FC tensors by name (`pocketrec.export.graph.weights.weights_of`), and those of adapters where
        the
            way has any (`with_adapters`).
        table: item embeddings.
        way: which tensors train (`trainable_names`).
        optimizer: sgd, adagrad or adam.
        shape: static sizes.
        pruned: tensors whose zeros stay zero in training (`pocketrec.export.graph.weights.pruned_names`).
    """

    def __init__(
        self,
        weights: dict[str, Array],
        table: ItemTable,
        way: str,
        optimizer: str,
        shape: GraphShape,
        pruned: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.shape = shape
        self.table = table
        self.pruned = frozenset(pruned)
        self.way = way
        self.layers = gru_layers(weights)
        self.global_weights = weights
        self.trainable = {name: tf.Variable(weights[name], name=name) for name in trainable_names(way, weights)}
        self.optimizer = DEVICE_OPTIMIZERS.load(optimizer)(self.trainable)
        self.state = {**self.trainable, **self.optimizer.slots}

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The concrete functions to convert, by signature name."""
        batch, window = self.shape.batch, self.shape.window
        windows = tf.TensorSpec([batch, window], tf.int32)
        one = tf.TensorSpec([1, window], tf.int32)
        scalar = tf.TensorSpec([], tf.float32)
        sampled = {}
        if self.shape.negatives:
            sampled = {contract.NEGATIVES: tf.TensorSpec([self.shape.negatives], tf.int32)}
        pair = {contract.ITEMS: windows, contract.TARGETS: windows}
        specs: dict[str, dict[str, tf.TensorSpec]] = {
            contract.TRAIN: {**pair, contract.LEARNING_RATE: scalar, contract.PROXIMAL: scalar, **sampled},
            contract.EVALUATE: {**pair, **sampled},
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
        return {
            name: tf.function(getattr(self, name), autograph=False).get_concrete_function(
                **{key: tf.TensorSpec(spec.shape, spec.dtype, name=key) for key, spec in inputs.items()}
            )
            for name, inputs in specs.items()
        }

    def train(
        self,
        items: tf.Tensor,
        targets: tf.Tensor,
        learning_rate: tf.Tensor,
        proximal: tf.Tensor,
        negatives: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """One step; see `contract.TRAIN`. The loss is that before the step, without the proximal term."""
        done = self._forward(items)
        flat = tf.reshape(tf.transpose(targets), [-1])  # (T * B,)
        counted = tf.cast(flat > 0, tf.float32)
        share = counted / tf.maximum(tf.reduce_sum(counted), 1.0)  # (T * B,), weight of each target in the mean
        loss, user_gradient = self._softmax_loss(done.users, flat, negatives)
        gradients = self._backward(done, user_gradient * share[:, None])
        self.optimizer.begin_step()
        for name, variable in self.trainable.items():
            value = variable.read_value()
            pull = proximal * (value - tf.constant(self.global_weights[name]))
            gradient = gradients[name] + pull
            if name in self.pruned:  # read off the variable: a mask of its own would be as large as the tensor
                gradient *= tf.cast(tf.not_equal(value, 0.0), tf.float32)
            variable.assign(self.optimizer.apply(name, value, gradient, learning_rate))
        return {contract.LOSS: tf.reduce_sum(loss * share)}

    def evaluate(
        self, items: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Loss and rank of every target; see `contract.EVALUATE`."""
        users = self._forward(items).users
        flat = tf.reshape(tf.transpose(targets), [-1])
        counted = tf.cast(flat > 0, tf.float32)
        parts = [self._judge(*part) for part in self._scored(users, flat, negatives)]
        loss, rank = (tf.concat(values, 0) for values in zip(*parts, strict=True))
        return {contract.LOSS: self._by_window(loss * counted), contract.RANK: self._by_window(rank * counted)}

    def embed(self, items: tf.Tensor) -> dict[str, tf.Tensor]:
        """User embedding after the last event; see `contract.EMBED`."""
        return {contract.USER_EMBEDDING: self._embed(items)}

    def infer(self, items: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores of candidates, <user embedding, item embedding>; see `contract.INFER`."""
        return {contract.SCORES: tf.matmul(self._embed(items), self.table.gather(candidates), transpose_b=True)}

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
        return tf.constant(self.global_weights[name])

    def _gru(self, layer: str) -> gru.GRUWeights:
        return gru.GRUWeights(*(self._value(f"{layer}_{tensor}") for tensor in GRU_TENSORS))

    def _adapter(self, layer: str) -> adapters.AdapterWeights:
        return adapters.AdapterWeights(*(self._value(f"{layer}_adapter_{name}") for name in adapters.ADAPTER_TENSORS))

    def _forward(self, items: tf.Tensor) -> _Pass:
        # Not a transpose: for a batch of 1 the converter would make another op of it, and the signatures could not
        # share their operators in the file (`pocketrec.export.file.shrink`).
        batch, window = items.shape
        time_major = np.arange(batch * window, dtype=np.int32).reshape(batch, window).T.reshape(-1)
        flat = tf.gather(tf.reshape(items, [-1]), time_major)  # (T * B,)
        padding = tf.cast(tf.equal(flat, contract.PADDING), tf.float32)[:, None]
        states = self.table.gather(flat)  # (T * B, E)
        layers: dict[str, gru.GRUTrace] = {}
        patches: dict[str, adapters.AdapterTrace] = {}
        for layer in self.layers:
            outputs, layers[layer] = gru.forward(self._gru(layer), states, padding, items.shape[1])
            states = self._adapted(layer, states, outputs, patches)
        users = tf.matmul(states, self._value(f"{FC}_kernel")) + self._value(f"{FC}_bias")
        return _Pass(self._adapted(FC, states, users, patches), states, layers, patches)

    def _adapted(
        self, layer: str, inputs: tf.Tensor, outputs: tf.Tensor, patches: dict[str, adapters.AdapterTrace]
    ) -> tf.Tensor:
        """A layer's outputs with its adapter's, where it has one."""
        if self.way not in adapters.FORMS:
            return outputs
        source = outputs if self.way == adapters.SERIAL else inputs
        added, patches[layer] = adapters.forward(self._adapter(layer), source)
        return outputs + added

    def _embed(self, items: tf.Tensor) -> tf.Tensor:
        return self._forward(items).users[-1:]  # of (T, E)

    def _backward(self, done: _Pass, gradient: tf.Tensor) -> dict[str, tf.Tensor]:
        """Gradients of the trained tensors by name, from that of the user embeddings (T * B, E), the top layer first.

        It goes down through frozen layers as far as there is something to train below them.
        """
        gradients: dict[str, tf.Tensor] = {}
        layers = [*self.layers, FC]
        lowest = next(layer for layer in layers if self._trains(f"{layer}_"))
        for layer in reversed(layers[layers.index(lowest) :]):
            below = None  # gradient of the layer's input that comes through a parallel adapter
            if layer in done.adapters:
                own, through = adapters.backward(self._adapter(layer), done.adapters[layer], gradient)
                gradients |= {f"{layer}_adapter_{name}": getattr(own, name) for name in adapters.ADAPTER_TENSORS}
                if self.way == adapters.SERIAL:
                    gradient += through
                elif layer != lowest:
                    below = through
            if layer == FC:
                gradients[f"{FC}_kernel"] = tf.matmul(done.states, gradient, transpose_a=True)
                gradients[f"{FC}_bias"] = tf.reduce_sum(gradient, axis=0)
                if layer != lowest:
                    gradient = tf.matmul(gradient, transposed(self._value(f"{FC}_kernel")))  # (T * B, H)
            elif layer != lowest or self._trains(f"{layer}_kernel"):
                weights = self._gru(layer)
                of_layer, projection = gru.backward(weights, done.layers[layer], gradient, self.shape.window)
                gradients |= {f"{layer}_{tensor}": getattr(of_layer, tensor) for tensor in GRU_TENSORS}
                if layer != lowest:
                    gradient = gru.input_gradient(weights, projection)
            if below is not None:
                gradient += below
        return gradients

    def _trains(self, prefix: str) -> bool:
        return any(name.startswith(prefix) for name in self.trainable)

    def _softmax_loss(
        self, users: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Cross-entropy of every step (T * B,), and its gradient by the user embeddings (T * B, E).

        The gradient is softmax(logits) @ table - table[target]: no one-hot matrix is ever formed.
        """
        if negatives is not None:
            return self._sampled_loss(users, targets, negatives)
        catalogue = self._catalogue(targets)  # (N, E)
        by_size = transposed(catalogue)  # (E, N), once for all chunks
        losses, gradients = [], []
        for part, places in self._chunks(users, targets, _CHUNK_LOGITS):
            probabilities = tf.nn.softmax(tf.matmul(part, by_size))  # (chunk, N)
            losses.append(-tf.math.log(tf.maximum(tf.gather_nd(probabilities, places), _TINY)))
            gradients.append(tf.matmul(probabilities, catalogue))
        return tf.concat(losses, 0), tf.concat(gradients, 0) - self.table.gather(targets)

    def _sampled_loss(self, users: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits, _ = self._sampled_logits(users, targets, negatives)  # (T * B, 1 + S), target first
        own, others = tf.split(tf.nn.softmax(logits), [1, self.shape.negatives], axis=1)
        loss = -tf.math.log(tf.maximum(own[:, 0], _TINY))
        gradient = tf.matmul(others, self.table.gather(negatives)) + (own - 1.0) * self.table.gather(targets)
        return loss, gradient

    def _scored(
        self, users: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor | None
    ) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Logits (n, N) or (n, 1 + S), and the places of the targets in them, chunk by chunk."""
        if negatives is not None:
            yield self._sampled_logits(users, targets, negatives)
            return
        by_size = transposed(self._catalogue(targets))  # (E, N)
        for part, places in self._chunks(users, targets, _CHUNK_LOGITS_EVALUATE):
            yield tf.matmul(part, by_size), places

    @staticmethod
    def _judge(logits: tf.Tensor, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Loss and rank of the targets at `places`, float32 (n,) each."""
        probability = tf.gather_nd(tf.nn.softmax(logits), places)
        own = tf.gather_nd(logits, places)
        rank = tf.reduce_sum(tf.cast(logits >= own[:, None], tf.float32), axis=1)
        return -tf.math.log(tf.maximum(probability, _TINY)), rank

    def _sampled_logits(
        self, users: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits (T * B, 1 + S), target first, and the targets' places in them.

        Each logit is less the logarithm of its sampling probability (Bengio and Senecal 2008); negatives that are
        the target itself are taken out.
        """
        own = tf.reduce_sum(users * self.table.gather(targets), axis=1, keepdims=True)  # (T * B, 1)
        own -= self._log_probability(tf.maximum(targets, 1))[:, None]
        others = tf.matmul(users, transposed(self.table.gather(negatives)))  # (T * B, S)
        others += -self._log_probability(negatives)[None, :]  # ADD: with SUB tflite-runtime broadcasts slowly
        hit = tf.cast(tf.equal(targets[:, None], negatives[None, :]), tf.float32)
        logits = tf.concat([own, others + hit * _EXCLUDED], axis=1)
        steps = tf.range(targets.shape[0])
        return logits, tf.stack([steps, tf.zeros_like(steps)], axis=1)

    def _log_probability(self, rows: tf.Tensor) -> tf.Tensor:
        """log P(row) of the log-uniform sampler, P(r) = log((r + 1) / r) / log(N + 1): rows are ordered by count.

        The constant denominator is the same for every logit of a step and left out.
        """
        # log(1 + 1 / r) in float32 loses most digits of a large r. With y = 1 / (2 r + 1) it is 2 artanh(y).
        y = 1.0 / (2.0 * tf.cast(rows, tf.float32) + 1.0)
        series = tf.zeros_like(y)
        for power in range(_SERIES, 0, -1):
            series = (series + 1.0 / (2 * power + 1)) * y * y
        return tf.math.log(2.0 * y) + tf.math.log(1.0 + series)

    def _catalogue(self, targets: tf.Tensor) -> tf.Tensor:
        return self.table.catalogue(tf.minimum(targets[0], 0))

    def _chunks(self, users: tf.Tensor, targets: tf.Tensor, logits: int) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """User embeddings and places of the targets, in chunks of about that many logits."""
        steps = targets.shape[0]
        count = math.ceil(steps / max(_CHUNK_STEPS, logits // self.table.items))
        sizes = [steps * (i + 1) // count - steps * i // count for i in range(count)]
        parts = zip(tf.split(users, sizes), tf.split(targets, sizes), strict=True)
        return [(part, _places(own)) for part, own in parts]

    def _by_window(self, flat: tf.Tensor) -> tf.Tensor:
        return tf.transpose(tf.reshape(flat, [self.shape.window, self.shape.batch]))  # (B, T)


def _places(targets: tf.Tensor) -> tf.Tensor:
    """Index (step, column) of every target in the full logits, int32 (n, 2); column = row - 1."""
    columns = tf.maximum(targets - 1, 0)
    return tf.stack([tf.range(targets.shape[0]), columns], axis=1)
