# SPDX-License-Identifier: Apache-2.0
"""Samplers of shared negatives, by name: rows drawn with replacement, and the share of draws that each row gets.

Rows are ordered by popularity (row 1 is the most frequent item), so all but one need only the number of items. Draws
are made in the training graph from a seed, in float64: with float32 an inverse distribution function skips most of the
tail of a million items. This module knows nothing about losses; a draw that hits a target is masked there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pocketrec.cloud.config.training import SAMPLERS, PopularityOptions, RankOptions, TrainConfig
from pocketrec.cloud.training.own_negatives import CategoryWeek


@dataclass(frozen=True)
class Sampler:
    """A distribution over the rows 1..N."""

    items: int
    """N."""
    inverse: Callable[[tf.Tensor], tf.Tensor]
    """float64 [S] in [0, 1) -> int [S]: the row at which the distribution function passes the value."""
    log_share: Callable[[tf.Tensor], tf.Tensor]
    """int32 rows of any shape -> float32: log of the probability of each; at row 0, that of row 1."""

    def draw(self, count: int, seed: tf.Tensor) -> tf.Tensor:
        """Rows int32 [count]; equal seeds int32 [2] give equal rows."""
        rows = self.inverse(tf.random.stateless_uniform([count], seed, dtype=tf.float64))
        return tf.clip_by_value(tf.cast(rows, tf.int32), 1, self.items)


def make_sampler(config: TrainConfig, counts: np.ndarray) -> Sampler | CategoryWeek:
    """The sampler that the configuration names: of shared negatives, or of each target's own
    (`pocketrec.cloud.training.own_negatives`).

    Args:
        config: `sampler` and its options.
        counts: int [N + 1], events of each row; row 0 takes no part.
    """
    made: Sampler | CategoryWeek = SAMPLERS.load(config.sampler)(config.options_of(config.sampler), np.asarray(counts))
    return made


def log_uniform(_options: None, counts: np.ndarray) -> Sampler:
    """P(row) = log((row + 1) / row) / log(N + 1): Zipf's law over popularity ranks."""
    items = len(counts) - 1
    scale = math.log(items + 1)

    def log_share(rows: tf.Tensor) -> tf.Tensor:
        return tf.math.log(tf.math.log1p(1 / _from_one(rows)) / scale)

    return Sampler(items, lambda draw: tf.exp(draw * scale), log_share)


def uniform(_options: None, counts: np.ndarray) -> Sampler:
    """Every row alike."""
    items = len(counts) - 1
    return Sampler(items, lambda draw: 1 + draw * items, lambda rows: tf.fill(tf.shape(rows), -math.log(items)))


def popularity(options: PopularityOptions, counts: np.ndarray) -> Sampler:
    """P(row) proportional to count^alpha (GRU4Rec; word2vec); a row that never occurs counts as one event.

    The distribution function, 8 bytes an item, is searched: at 4 million items 2,048 draws take well under a
    millisecond.
    """
    powers = np.maximum(np.asarray(counts[1:], np.float64), 1) ** options.alpha
    ends = np.cumsum(powers)
    logs = tf.constant(np.log(np.concatenate([powers[:1], powers]) / ends[-1]), tf.float32)  # (N + 1,)
    function = tf.constant(ends / ends[-1])  # (N,)

    def inverse(draw: tf.Tensor) -> tf.Tensor:
        return 1 + tf.searchsorted(function, draw, side="right")

    return Sampler(len(powers), inverse, lambda rows: tf.gather(logs, rows))


def rank(options: RankOptions, counts: np.ndarray) -> Sampler:
    """P(row) proportional to exp(-row / (rho N)): the static sampler of LambdaFM (Yuan et al. 2016), rank = row - 1.

    The distribution is geometric over the rows and cut off at N, so its inverse is known in closed form.
    """
    items = len(counts) - 1
    fall = 1 / (options.rho * items)  # log of the ratio between the shares of two neighbours
    mass = -math.expm1(-fall * items)  # (1 - q^N), q = exp(-fall)
    first = math.log(-math.expm1(-fall) / mass)

    def inverse(draw: tf.Tensor) -> tf.Tensor:
        return 1 - tf.math.log1p(-draw * mass) / fall

    return Sampler(items, inverse, lambda rows: first - (_from_one(rows) - 1) * fall)


def _from_one(rows: tf.Tensor) -> tf.Tensor:
    """Rows as float32, row 0 as 1."""
    return tf.cast(tf.maximum(rows, 1), tf.float32)
