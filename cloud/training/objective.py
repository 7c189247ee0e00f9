# SPDX-License-Identifier: Apache-2.0
"""What is minimised: user embeddings and targets -> one loss, as the configuration says.

Where the negatives come from is decided here. With windows they are one group: all positions of the batch, in any row.
With session-parallel batches each step is a group, so that, as in GRU4Rec, the negatives of a position are the targets
of the other sessions at the same step. A sampler of each target's own negatives makes a group of each position, and no
target of the batch is among them. Every negative that is the position's own target is masked. This module knows
nothing about batches' making, models or optimisers.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones import ItemTable
from pocketrec.cloud.config.ranker import RankerConfig
from pocketrec.cloud.config.training import LOSSES, TrainConfig
from pocketrec.cloud.rankers import training_ranker
from pocketrec.cloud.rankers.training import TrainingRanker
from pocketrec.cloud.training.losses import Loss
from pocketrec.cloud.training.own_negatives import CategoryWeek
from pocketrec.cloud.training.samplers import Sampler, make_sampler
from pocketrec.cloud.training.similarity import affine, content_vectors, cosines, distance, pair_cosines

_CELLS: Final = 1 << 22  # scores of a group against targets of the batch: 16 MB a matrix
_LEAST: Final = 256  # targets of the batch that are negatives, however large the batch


class Objective:
    """The loss of a batch.

    Args:
        config: loss, sampler and negatives.
        counts: int [N + 1], events of each row in the log; row 0 takes no part.
        ranker: gives the scores; None = the inner product.
    """

    def __init__(self, config: TrainConfig, counts: np.ndarray, ranker: TrainingRanker | None = None) -> None:
        self.config, self.ranker = config, ranker or training_ranker(RankerConfig())
        loss: Loss = LOSSES.load(config.loss)
        self.whole, self.in_batch, self.corrected = loss.whole, loss.in_batch, loss.corrected and config.log_q
        self.sparse = loss.whole is None
        """Whether the gradient of the item tables has a row only for the items at hand (`tf.IndexedSlices`)."""
        self.sampler: Sampler | CategoryWeek | None = None
        if loss.over_negatives is not None:
            self.sampler = make_sampler(config, counts)
            if isinstance(self.sampler, CategoryWeek):
                self.in_batch = self.corrected = False
            self.loss = loss.over_negatives(config.options_of(config.loss))
        if self.in_batch:
            known = np.maximum(np.asarray(counts, np.float64), 1)
            self.popularity = tf.constant(known / known[1:].sum(), tf.float32)  # (N + 1,)

    def __call__(
        self, embeddings: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, table: ItemTable, drawn: tf.Tensor,
        users: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The mean loss.

        Args:
            embeddings: user embeddings, float32 [G, P, E]: G groups of P positions.
            targets: int32 [G, P]; 0 = does not count.
            weights: float32 [G, P] of the targets; 0 where one does not count.
            table: item embeddings that scores are made with.
            drawn: int32 [2], a seed, of which equal ones give equal negatives; or, of a sampler of each target's own,
                these, int32 [G, n], 0 = none.
            users: content of each user so far, float32 [G, P, F], which ``train.similarity = "cosine"`` wants.

        Returns:
            float32 []: sum of weight times loss, over the number of targets that count; 0 where there is none.
        """
        weights /= tf.maximum(tf.reduce_sum(tf.cast(targets > 0, tf.float32)), 1)
        if self.whole is not None:
            flat = tf.reshape(embeddings, [-1, embeddings.shape[-1]])  # (G * P, E)
            return self.whole(self.ranker, flat, tf.reshape(targets, [-1]), tf.reshape(weights, [-1]), table.whole())
        own = table.gather(targets)  # (G, P, E)
        positive = self.ranker.pairs(embeddings, own)  # (G, P)
        scores, rows = [], []
        if self.in_batch:
            kept = _kept(targets.shape[1])
            scores.append(self.ranker.grid(embeddings, own[:, :kept]))  # (G, P, K)
            rows.append(targets[:, :kept])  # (G, K)
        if isinstance(self.sampler, CategoryWeek):
            scores.append(self.ranker.grid(embeddings, table.gather(drawn)))  # (G, P, n)
            rows.append(drawn)
        elif isinstance(self.sampler, Sampler) and self.config.negatives:
            drawn = self.sampler.draw(self.config.negatives, drawn)  # (S,)
            scores.append(self.ranker.grid(embeddings, table.gather(drawn)))  # (G, P, S)
            rows.append(tf.repeat(drawn[tf.newaxis], targets.shape[0], 0))  # (G, S)
        negatives, row = tf.concat(scores, -1), tf.concat(rows, -1)[:, tf.newaxis]  # (G, P, C), (G, 1, C)
        if self.corrected:
            inside = tf.reduce_sum(tf.cast(rows[0] > 0, tf.float32), 1, keepdims=True) if self.in_batch else None
            negatives -= self._log_expected(row[:, 0], inside)[:, tf.newaxis]
        counts = (row > 0) & (row != targets[..., tf.newaxis])
        loss = tf.reduce_sum(self.loss(positive, negatives, counts) * weights)
        if self.config.similarity == "none":
            return loss
        added = self._similarity(embeddings, own, (targets, row[:, 0], counts), weights, table, users)
        return loss + self.config.similarity_weight * added

    def _similarity(
        self, embeddings: tf.Tensor, own: tf.Tensor, pairs: tuple[tf.Tensor, tf.Tensor, tf.Tensor], weights: tf.Tensor,
        table: ItemTable, users: tf.Tensor | None,
    ) -> tf.Tensor:
        """The term of ``train.similarity``; `pairs` are targets [G, P], negatives [G, C], which of these count."""
        targets, rows, counts = pairs
        found = pair_cosines(embeddings, own), cosines(embeddings, table.gather(rows))
        if self.config.similarity == "affine":
            return affine(*found, counts, weights)
        vectors = content_vectors(table)
        wanted = pair_cosines(users, tf.gather(vectors, targets)), cosines(users, tf.gather(vectors, rows))
        return distance(*found, counts, weights, wanted)

    def _log_expected(self, rows: tf.Tensor, inside: tf.Tensor | None) -> tf.Tensor:
        """Log of the number of times that each row is expected among a group's negatives: by the sampler, and as one of
        `inside` [G, 1] targets of the batch. Rows are int32 [G, n].

        A negative's score less this (Bengio and Senecal 2008) makes the sum over target and negatives an estimate of
        the full softmax's, for any sampler. The target is there for sure, so its own score stays as it is (to correct
        it as well, as some do, cost up to .004 of Recall@20 on yoochoose-100k).
        """
        assert isinstance(self.sampler, Sampler)
        expected = tf.exp(self.sampler.log_share(rows)) * float(self.config.negatives)
        if inside is not None:
            expected += tf.gather(self.popularity, rows) * inside
        return tf.math.log(tf.maximum(expected, 1e-30))


def _kept(positions: int) -> int:
    """How many of a group's targets are negatives: all, or the first rows' where there are too many scores."""
    return min(positions, max(_LEAST, _CELLS // positions))
