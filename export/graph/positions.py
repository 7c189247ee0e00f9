# SPDX-License-Identifier: Apache-2.0
"""The exported graph of the way ``ranker``: train steps over user embeddings, which that way leaves as they are.

Whatever is trained, a position's user embedding stays the same, so a device makes all of them once, by windows
(`embed_windows`), and a step takes P of them with their targets. Nothing of the backbone is run in it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pocketrec.device.contract import names as contract
from pocketrec.export.graph.graph import PersonalGraph


class PositionGraph(PersonalGraph):
    """A `PersonalGraph` whose steps take positions, with a signature that makes them of windows.

    Its shape has ``positions`` and ``negatives``, it has a second ranker, and nothing but that ranker's tensors trains.
    """

    def own_inputs(self) -> dict[str, dict[str, tf.TensorSpec]]:
        """See `PersonalGraph.own_inputs`."""
        shape, scalar = self.shape, tf.TensorSpec([], tf.float32)
        pair = {
            contract.USER_EMBEDDINGS: tf.TensorSpec([shape.positions, self.table.size], tf.float32),
            contract.TARGETS: tf.TensorSpec([shape.positions], tf.int32),
        }
        drawn = {contract.NEGATIVES: tf.TensorSpec([shape.negatives], tf.int32)}
        return {
            contract.TRAIN: {**pair, contract.LEARNING_RATE: scalar, contract.PROXIMAL: scalar, **drawn},
            contract.EVALUATE: {**pair, **drawn},
            contract.EMBED_WINDOWS: {contract.ITEMS: tf.TensorSpec([shape.batch, shape.window], tf.int32)},
        }

    def function_of(self, name: str) -> Callable[..., dict[str, tf.Tensor]]:
        """See `PersonalGraph.function_of`."""
        if name == contract.TRAIN:
            return self.train_positions
        return self.evaluate_positions if name == contract.EVALUATE else super().function_of(name)

    def train_positions(
        self,
        user_embeddings: tf.Tensor,
        targets: tf.Tensor,
        learning_rate: tf.Tensor,
        proximal: tf.Tensor,
        negatives: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """One step on (P, E) and (P,); the loss is the mean before it of the targets that count."""
        counted = tf.cast(targets > 0, tf.float32)
        share = counted / tf.maximum(tf.reduce_sum(counted), 1.0)  # (P,)
        loss, _, own = self.softmax.loss(user_embeddings, targets, negatives, share)
        self._update(own, learning_rate, proximal, lambda name: tf.constant(self.model.weights[name]))
        return {contract.LOSS: tf.reduce_sum(loss * share)}

    def evaluate_positions(
        self, user_embeddings: tf.Tensor, targets: tf.Tensor, negatives: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Loss and rank (P,) of every target; 0 where it does not count."""
        counted = tf.cast(targets > 0, tf.float32)
        loss, rank = self.softmax.judge(user_embeddings, targets, negatives)
        return {contract.LOSS: loss * counted, contract.RANK: rank * counted}

    def embed_windows(self, items: tf.Tensor) -> dict[str, tf.Tensor]:
        """User embeddings (B, targets, E) after every event of B windows, or after the last."""
        batch, steps = self.shape.batch, self.targets
        users, _, _ = self._forward(items)  # (T * B, E), time-major
        by_window = np.arange(steps * batch, dtype=np.int32).reshape(steps, batch).T.reshape(-1)
        return {contract.USER_EMBEDDINGS: tf.reshape(tf.gather(users, by_window), [batch, steps, self.table.size])}

    def flop(self) -> dict[str, int]:
        """See `PersonalGraph.flop`: a train step has P (1 + S) pairs, whose network is run once forward, and about
        twice for its gradients."""
        positions, negatives, size = self.shape.positions, self.shape.negatives, self.table.size
        one, two = self.model.weights[contract.RANKER_TENSORS[3]].shape  # C
        pairs = positions * (1 + negatives)
        forward = 2 * (pairs * (size + one * two + two) + (2 * positions + negatives) * size * one)
        looked_up = self.table.flop(positions + negatives, whole=False)
        return {**super().flop(), contract.TRAIN: 3 * forward + looked_up}
