# SPDX-License-Identifier: Apache-2.0
"""Losses and ranks of the exported graph: softmax over all items in chunks, or over the target and shared negatives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from pocketrec.export.layers.layer import merge
from pocketrec.export.rankers.ranker import Gradients, GraphRanker, Value
from pocketrec.export.tables.table import GraphTable

# Smallest probability whose logarithm the loss takes; keeps the loss finite (at most 80) where float32 underflows.
TINY = 1e-35
# Logits (float32) that one chunk of the full softmax holds: bounds memory. Half as many take 7 % less time on
# tflite-runtime, whose softmax wants them in the second-level cache, and 5 % more on ai-edge-litert, which packs the
# item table for each chunk. `evaluate`, which runs seldom, holds four such arrays at a time, so its chunks are small.
CHUNK_LOGITS = 1 << 19
_CHUNK_LOGITS_EVALUATE = 1 << 17
# Steps that a chunk holds at least: the runtime packs the whole item table again for each chunk's product, which would
# cost more than the chunk itself where the catalogue is large.
_CHUNK_STEPS = 64
# Terms of the series of artanh; the next one is below 1e-8 for row 1, where y = 1/3, and far less for others.
_SERIES = 7
# Scope of scores that are formed for their traces alone, which the converter leaves out or makes one with equal ones.
# It orders operators by their names, whose numbers would move without a scope, and files would change.
_ASIDE = "aside"
# Logit of a negative that is the target itself.
_EXCLUDED = -1e9


@dataclass(frozen=True)
class Softmax:
    """Cross-entropy and ranks of targets, for n = T * B steps."""

    table: GraphTable
    """Item embeddings."""
    ranker: GraphRanker
    """Scores."""
    value: Value
    """The ranker's own tensors by name."""

    def loss(
        self, users: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor | None, share: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """Cross-entropy of every step, and gradients of its weighted sum.

        Args:
            users: user embeddings, float32 (n, E).
            targets: item rows, int32 (n,); 0 = none.
            negatives: int32 (S,) of the sampled softmax; None = the full one.
            share: float32 (n,), weight of each step.

        Returns:
            float32 (n,), without weights; the gradient by the user embeddings (n, E); and those of the ranker's own
            tensors by name.
        """
        return (self._full if negatives is None else self._sampled)(users, targets, negatives, share)

    def judge(
        self, users: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Loss and rank of every target, float32 (n,) each; ties count against the target."""
        parts = [_judge(*part) for part in self._scored(users, targets, negatives)]
        loss, rank = (tf.concat(values, 0) for values in zip(*parts, strict=True))
        return loss, rank

    def _full(
        self, users: tf.Tensor, targets: tf.Tensor, negatives: None, share: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """By softmax(logits) for all items less 1 for the target: no one-hot matrix is ever formed."""
        catalogue = self.ranker.prepared(self._catalogue(targets), self.value)
        sizes = self._sizes(targets.shape[0], CHUNK_LOGITS)
        losses, by_users = [], []
        own: Gradients = {}
        chunks = self._chunks(users, targets, sizes)
        with tf.name_scope(_ASIDE):
            weights = tf.split(share, sizes)
        for part, places, weight in zip(*chunks, weights, strict=True):
            logits, trace = self.ranker.grid(part, catalogue, self.value)
            probabilities = tf.nn.softmax(logits)  # (chunk, N)
            losses.append(-tf.math.log(tf.maximum(tf.gather_nd(probabilities, places), TINY)))
            gradient, found = self.ranker.grid_backward(trace, probabilities, weight, self.value)
            by_users.append(gradient)
            own = merge(own, found)
        trace = self._trace_of_own(users, targets)
        of_target, found = self.ranker.pairs_backward(trace, None, share, self.value)
        own = merge(own, {name: -gradient for name, gradient in found.items()})
        return tf.concat(losses, 0), (tf.concat(by_users, 0) - of_target) * share[:, None], own

    def _sampled(
        self, users: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor, share: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        logits = self._sampled_logits(users, targets, negatives)  # (n, 1 + S), target first
        own, others = tf.split(tf.nn.softmax(logits), [1, negatives.shape[0]], axis=1)
        loss = -tf.math.log(tf.maximum(own[:, 0], TINY))
        items = self.table.gather(negatives)
        with tf.name_scope(_ASIDE):
            _, trace = self.ranker.grid(users, self.ranker.prepared(items, self.value), self.value)
        by_others, of_others = self.ranker.grid_backward(trace, others, share, self.value)
        slopes = own - 1.0
        trace = self._trace_of_own(users, targets)
        by_own, of_own = self.ranker.pairs_backward(trace, slopes, share, self.value)
        return loss, (by_others + by_own) * share[:, None], merge(of_others, of_own)

    def _scored(
        self, users: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor | None
    ) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Logits (n, N) or (n, 1 + S), and the places of the targets in them, chunk by chunk."""
        if negatives is not None:
            logits = self._sampled_logits(users, targets, negatives)
            steps = tf.range(targets.shape[0])
            yield logits, tf.stack([steps, tf.zeros_like(steps)], axis=1)
            return
        catalogue = self.ranker.prepared(self._catalogue(targets), self.value)
        sizes = self._sizes(targets.shape[0], _CHUNK_LOGITS_EVALUATE)
        for part, places in zip(*self._chunks(users, targets, sizes), strict=True):
            yield self.ranker.grid(part, catalogue, self.value)[0], places

    def _trace_of_own(self, users: tf.Tensor, targets: tf.Tensor) -> Any:
        """The ranker's trace of the score of each target with its user."""
        items = self.table.gather(targets)
        with tf.name_scope(_ASIDE):
            return self.ranker.pairs(users, items, self.value)[1]

    def _sampled_logits(self, users: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
        """Logits (n, 1 + S), target first.

        Each logit is less the logarithm of its sampling probability (Bengio and Senecal 2008); negatives that are
        the target itself are taken out.
        """
        own, _ = self.ranker.pairs(users, self.table.gather(targets), self.value)  # (n, 1)
        own -= log_probability(tf.maximum(targets, 1))[:, None]
        drawn = self.ranker.prepared(self.table.gather(negatives), self.value)
        others, _ = self.ranker.grid(users, drawn, self.value)  # (n, S)
        others += -log_probability(negatives)[None, :]  # ADD: with SUB tflite-runtime broadcasts slowly
        hit = tf.cast(tf.equal(targets[:, None], negatives[None, :]), tf.float32)
        return tf.concat([own, others + hit * _EXCLUDED], axis=1)

    def _catalogue(self, targets: tf.Tensor) -> tf.Tensor:
        return self.table.catalogue(tf.minimum(targets[0], 0))  # (N, E)

    def _sizes(self, steps: int, logits: int) -> list[int]:
        """Sizes of chunks of about that many logits."""
        count = math.ceil(steps / max(_CHUNK_STEPS, logits // self.table.items))
        return [steps * (i + 1) // count - steps * i // count for i in range(count)]

    def _chunks(
        self, users: tf.Tensor, targets: tf.Tensor, sizes: list[int]
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """User embeddings and places of the targets, in chunks."""
        return tf.split(users, sizes), [_places(own) for own in tf.split(targets, sizes)]


def log_probability(rows: tf.Tensor) -> tf.Tensor:
    """log P(row) of the log-uniform sampler, P(r) = log((r + 1) / r) / log(N + 1): rows are ordered by count.

    The constant denominator is the same for every logit of a step and left out.

    Args:
        rows: int32, from 1.
    """
    # log(1 + 1 / r) in float32 loses most digits of a large r. With y = 1 / (2 r + 1) it is 2 artanh(y).
    y = 1.0 / (2.0 * tf.cast(rows, tf.float32) + 1.0)
    series = tf.zeros_like(y)
    for power in range(_SERIES, 0, -1):
        series = (series + 1.0 / (2 * power + 1)) * y * y
    return tf.math.log(2.0 * y) + tf.math.log(1.0 + series)


def _judge(logits: tf.Tensor, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Loss and rank of the targets at `places`, float32 (n,) each."""
    probability = tf.gather_nd(tf.nn.softmax(logits), places)
    own = tf.gather_nd(logits, places)
    rank = tf.reduce_sum(tf.cast(logits >= own[:, None], tf.float32), axis=1)
    return -tf.math.log(tf.maximum(probability, TINY)), rank


def _places(targets: tf.Tensor) -> tf.Tensor:
    """Index (step, column) of every target in the full logits, int32 (n, 2); column = row - 1."""
    columns = tf.maximum(targets - 1, 0)
    return tf.stack([tf.range(targets.shape[0]), columns], axis=1)
