# SPDX-License-Identifier: Apache-2.0
"""Losses of the next-item model.

The full softmax is the ranker's own (`TrainingRanker.cross_entropy`), which may have a fast path. The others compare
the target's score with those of some negatives, and know nothing about where these come from: the batch, a sampler, or
both (`objective`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import tensorflow as tf

from pocketrec.cloud.config.training import BprMaxOptions
from pocketrec.cloud.rankers.training import TrainingRanker

#: A loss over negatives: the target's score [..., P], the negatives' [..., P, C], and whether each negative counts,
#: bool [..., P, C] -> the loss of each position, float32 [..., P]. A position without a negative that counts has none
#: (cross-entropy: zero, for its own score is the whole sum).
NegativeLoss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

#: A loss over the whole catalogue, such as `full_softmax`: ranker, user embeddings, targets, weights, table -> the sum.
CatalogueLoss = Callable[[TrainingRanker, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Loss:
    """A line's target in the table of losses (`pocketrec.cloud.config.training.LOSSES`)."""

    whole: CatalogueLoss | None = None
    """Over the whole catalogue; None = over negatives."""
    over_negatives: Callable[[Any], NegativeLoss] | None = None
    """Its options (None where it has none) -> the loss over negatives."""
    in_batch: bool = False
    """Whether the other targets of the batch are among the negatives."""
    corrected: bool = False
    """Whether ``train.log_q`` corrects the negatives' scores: it estimates the full softmax."""


_NEVER: Final = -1e9  # a score with no weight in a softmax


def full_softmax(
    ranker: TrainingRanker, embeddings: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, table: tf.Tensor
) -> tf.Tensor:
    """Cross-entropy over the whole catalogue.

    Args:
        ranker: gives the scores.
        embeddings: user embeddings, float32 [P, E].
        targets: int32 [P].
        weights: float32 [P]; 0 where a target does not count.
        table: item embeddings, float32 [N + 1, E]; row 0 (padding) takes no part.

    Returns:
        float32 []: sum of weight times cross-entropy.
    """
    return ranker.cross_entropy(embeddings, targets, weights, table)


def cross_entropy(positive: tf.Tensor, negatives: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """-log softmax of the target's score among itself and the negatives'."""
    scores = tf.concat([positive[..., tf.newaxis], tf.where(counts, negatives, _NEVER)], -1)
    return tf.reduce_logsumexp(scores, -1) - positive


def binary(positive: tf.Tensor, negatives: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """-log sigmoid(r_i) plus the mean over negatives j of -log sigmoid(-r_j) (He et al., WWW 2017)."""
    return _mean(-tf.math.log_sigmoid(-negatives), counts) - tf.math.log_sigmoid(positive)


def bpr(positive: tf.Tensor, negatives: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Mean over negatives j of -log sigmoid(r_i - r_j) (Rendle et al. 2009; Hidasi et al. 2016, eq. 2)."""
    return _mean(-tf.math.log_sigmoid(positive[..., tf.newaxis] - negatives), counts)


def top1(positive: tf.Tensor, negatives: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Mean over negatives j of sigmoid(r_j - r_i) + sigmoid(r_j^2) (Hidasi et al. 2016, eq. 3)."""
    return _mean(tf.sigmoid(negatives - positive[..., tf.newaxis]) + tf.sigmoid(negatives * negatives), counts)


def bpr_max(options: BprMaxOptions) -> NegativeLoss:
    """BPR-max: -log sum_j s_j sigmoid(r_i - r_j) + penalty sum_j s_j r_j^2, where s is the softmax of the negatives'
    scores (Hidasi and Karatzoglou 2018, eq. 10)."""

    def loss(positive: tf.Tensor, negatives: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        log_s = tf.nn.log_softmax(tf.where(counts, negatives, _NEVER), -1)  # (..., P, C)
        log_wins = tf.math.log_sigmoid(positive[..., tf.newaxis] - negatives)
        squares = tf.reduce_sum(tf.exp(log_s) * negatives * negatives, -1)
        losses = options.penalty * squares - tf.reduce_logsumexp(log_s + log_wins, -1)
        return tf.where(tf.reduce_any(counts, -1), losses, 0.0)

    return loss


def _mean(values: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Mean over the last axis of the values that count; 0 where there is none."""
    counts = tf.cast(counts, tf.float32)
    return tf.reduce_sum(values * counts, -1) / tf.maximum(tf.reduce_sum(counts, -1), 1)


FULL_SOFTMAX: Final = Loss(whole=full_softmax)
SAMPLED_SOFTMAX: Final = Loss(over_negatives=lambda _: cross_entropy, corrected=True)
CROSS_ENTROPY: Final = Loss(over_negatives=lambda _: cross_entropy, in_batch=True, corrected=True)
BINARY: Final = Loss(over_negatives=lambda _: binary)
BPR: Final = Loss(over_negatives=lambda _: bpr, in_batch=True)
TOP1: Final = Loss(over_negatives=lambda _: top1, in_batch=True)
BPR_MAX: Final = Loss(over_negatives=bpr_max, in_batch=True)
