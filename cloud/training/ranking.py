# SPDX-License-Identifier: Apache-2.0
"""Training of RankNet on frozen embeddings: positions whose item was retrieved, against other retrieved items.

A ranker that is also trained where retrieval missed learns that what retrieval finds is wrong (MAP@10 .084 to .062
over a GRU's embeddings). This module knows nothing about files, nor about what ships.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.ranker import RankerConfig
from pocketrec.cloud.rankers.ranknet import INNER
from pocketrec.cloud.rankers.ranknet_training import initial_tensors, network
from pocketrec.cloud.rankers.transitions import FEATURES
from pocketrec.cloud.training.retrieved import Retrieved
from pocketrec.device.base.errors import DataError

#: W [F, H1], of a ranker with a table of transitions: what features add to the sums that enter the first layer.
WEIGHTS: Final = "W"
#: v [F], likewise: what features add to the score.
DIRECT: Final = "v"
_BATCH: Final = 512  # positions a step
_FLAT: Final = np.float32(1e-3)  # a feature of no greater deviation is no feature
_STANDARD: Final = 4096  # positions whose features are looked at for their means and deviations


def train_ranker(
    data: Retrieved, table: NDArray[np.float32], config: RankerConfig, seed: int, progress: Progress = no_progress,
    features: NDArray[np.float16] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """RankNet's tensors (`pocketrec.cloud.rankers.ranknet.TENSORS`), trained with Adam on a softmax of the target
    against `negatives` other retrieved items, over the positions whose item was retrieved.

    Args:
        data: positions before the cut-off.
        table: item embeddings, float32 [N + 1, E]; they stay as they are.
        config: its options.
        seed: equal seeds give equal tensors.
        progress: called with the steps done.
        features: [P, c, F] of what was retrieved (`pocketrec.cloud.training.crossed`); the tensors then have `WEIGHTS`
            and `DIRECT` too. None = embeddings alone.

    Raises:
        DataError: no position's item was retrieved, or the loss is no longer a number.
    """
    kept = data.found & ((data.rows > 0).sum(axis=1) > 1)
    if not kept.all():  # features are large: no copy without need
        data, features = data.keep(kept), None if features is None else features[kept]
    if not len(data.targets):
        raise DataError("the ranker has nothing to learn from: retrieval finds the item of no position; raise "
                        "ranker.candidates")  # fmt: skip
    start = initial_tensors(table.shape[1], config.hidden, True, seed)
    standard = None
    if features is not None:
        standard = _means(features)
        drawn_weights = np.random.default_rng([seed, 9]).normal(0, 0.1, (FEATURES, config.hidden[0]))
        start |= {WEIGHTS: drawn_weights.astype(np.float32), DIRECT: np.zeros(FEATURES, np.float32)}
    variables = {name: tf.Variable(value) for name, value in start.items()}
    step = _step(variables, tf.constant(table))
    rng = np.random.default_rng([seed, 7])
    batch = min(_BATCH, len(data.targets))
    steps = len(data.targets) // batch
    total = steps * config.epochs
    for epoch in range(config.epochs):
        order = rng.permutation(len(data.targets))
        for number in range(steps):
            chosen = order[number * batch : (number + 1) * batch]
            drawn = rng.integers(0, data.rows.shape[1], (batch, config.negatives))
            rows = np.take_along_axis(data.rows[chosen], drawn, 1)
            targets = data.targets[chosen].astype(np.int32)
            rows = np.where(rows == targets[:, None], 0, rows).astype(np.int32)  # 0 does not count
            told = None
            if features is not None and standard is not None:
                own = np.argmax(data.rows[chosen] == targets[:, None], axis=1)
                part = features[chosen[:, None], np.column_stack([own, drawn])].astype(np.float32)  # (b, 1 + S, F)
                told = (part - standard[0]) / standard[1]
            done = epoch * steps + number
            rate = config.learning_rate * 0.5 * (1 + math.cos(math.pi * done / total))
            loss = float(step(data.users[chosen], targets, rows, np.float32(rate), np.float32(done + 1), told))
            if not math.isfinite(loss):
                raise DataError(f"the loss of the ranker is {loss} in step {done + 1}: lower ranker.learning_rate")
            progress(done + 1, total, f"epoch {epoch + 1}, loss {loss:.4f}")
    found = {name: variable.numpy() for name, variable in variables.items()}
    if standard is not None:  # means and deviations become part of W and b1
        known = standard[1] > _FLAT  # what is the same at all positions has told the network nothing
        found[WEIGHTS] = np.where(known[:, None], found[WEIGHTS] / standard[1][:, None], 0).astype(np.float32)
        # The means' part of it is the same for all items.
        found[DIRECT] = np.where(known, found[DIRECT] / standard[1], 0).astype(np.float32)
        found["b1"] = (found["b1"] - standard[0] @ found[WEIGHTS]).astype(np.float32)
    return found | {INNER: np.ones((), np.float32)}


def _means(features: NDArray[np.float16]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of each feature, float32 [F]; a deviation is at least `_FLAT`."""
    some = features[:: -(-len(features) // _STANDARD)].reshape(-1, FEATURES)
    mean, deviation = (part(some, axis=0, dtype=np.float64) for part in (np.mean, np.std))
    return mean.astype(np.float32), np.maximum(deviation, _FLAT).astype(np.float32)


def _step(variables: Mapping[str, tf.Variable], table: tf.Tensor) -> Any:
    """One step of Adam (rates .9 and .999) on a batch."""
    names = list(variables)
    first, second = ([tf.Variable(tf.zeros_like(variables[name])) for name in names] for _ in range(2))

    @tf.function(autograph=False)
    def step(users: Any, targets: Any, rows: Any, rate: Any, number: Any, told: Any = None) -> tf.Tensor:
        every = tf.concat([targets[:, tf.newaxis], rows], 1)  # (b, 1 + S)
        items = tf.gather(table, every)  # (b, 1 + S, E)
        with tf.GradientTape() as tape:
            by_item = tf.tensordot(items, variables["B"], 1)
            if told is not None:
                by_item += tf.tensordot(told, variables[WEIGHTS], 1)
            net = network(users[:, tf.newaxis], by_item, variables)
            scores = tf.einsum("pe,pce->pc", users, items) + net
            if told is not None:
                scores += tf.tensordot(told, variables[DIRECT], 1)
            scores = tf.where(every > 0, scores, -1e9)
            loss = tf.reduce_mean(tf.reduce_logsumexp(scores, 1) - scores[:, 0])
        for name, mean, square, slope in zip(names, first, second, tape.gradient(
                loss, [variables[name] for name in names]), strict=True):  # fmt: skip
            mean.assign(0.9 * mean + 0.1 * slope)
            square.assign(0.999 * square + 0.001 * slope * slope)
            scale = tf.sqrt(1 - 0.999**number) / (1 - 0.9**number)
            variables[name].assign_sub(rate * scale * mean / (tf.sqrt(square) + 1e-7))
        return loss

    return step
