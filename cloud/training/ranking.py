# SPDX-License-Identifier: Apache-2.0
"""Training of RankNet on frozen embeddings: positions whose item was retrieved, against other retrieved items.

A ranker that is also trained where retrieval missed learns that what retrieval finds is wrong (MAP@10 .084 to .062
over a GRU's embeddings). This module knows nothing about files, nor about what ships.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pocketrec.cloud.backbones import item_embeddings
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.candidates.exact import exact_top
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.ranker import RankerConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.evaluation.scoring import Positions, embed_positions, positions, seen_before
from pocketrec.cloud.rankers.ranknet import INNER, TENSORS, RankNet
from pocketrec.cloud.rankers.ranknet_training import initial_tensors, network
from pocketrec.device.base.errors import DataError

_BATCH: Final = 512  # positions a step


@dataclass(frozen=True)
class Retrieved:
    """Positions, and what the inner product retrieves at each."""

    users: NDArray[np.float32]
    """[P, E] user embeddings."""
    targets: NDArray[np.int32]
    """[P]: the item that came."""
    rows: NDArray[np.int32]
    """[P, c]: retrieved rows, best first, padded with 0."""
    user: NDArray[np.int64]
    """[P]: which user it is."""

    @property
    def found(self) -> NDArray[np.bool_]:
        """bool [P]: whether the item is among them."""
        hit: NDArray[np.bool_] = (self.rows == self.targets[:, None]).any(axis=1)
        return hit

    def keep(self, chosen: NDArray[np.bool_]) -> Retrieved:
        """The positions where the mask holds."""
        return Retrieved(self.users[chosen], self.targets[chosen], self.rows[chosen], self.user[chosen])


def retrieve_positions(
    model: keras.Model, sequences: Sequences, first: NDArray[np.int64], shape: ModelConfig, config: RankerConfig, *,
    mask_seen: bool, later: int | None = None, progress: Progress = no_progress,
) -> Retrieved:
    """What the inner product retrieves for every event at or after `first`.

    Args:
        model: the trained model.
        sequences: histories.
        first: int64 [U], place of each user's first event that is a target.
        shape: the model's configuration.
        config: how many are retrieved.
        mask_seen: leave out what the user had.
        later: a seed: the target is one of the user's later items, drawn at random, and not the next one.
        progress: called with the positions done.
    """
    where = positions(sequences, shape.window, first, exact=False, causal=shape.causal)
    users = embed_positions(model, where)
    seen = seen_before(sequences, where) if mask_seen else None
    rows, _ = exact_top(users, item_embeddings(model), config.candidates, seen, progress)
    targets = where.targets if later is None else _later(sequences, where, later)
    return Retrieved(users, targets, rows, where.user)


def latest(sequences: Sequences, count: int) -> NDArray[np.int64]:
    """int64 [U]: place of the first of each user's latest events, in all about `count`, of each user the same share."""
    share = min(1.0, count / max(1, sequences.events))
    return np.ceil(sequences.lengths * (1 - share)).astype(np.int64)


def train_ranker(
    data: Retrieved, table: NDArray[np.float32], config: RankerConfig, seed: int, progress: Progress = no_progress
) -> dict[str, NDArray[np.float32]]:
    """RankNet's tensors (`pocketrec.cloud.rankers.ranknet.TENSORS`), trained with Adam on a softmax of the target
    against `negatives` other retrieved items, over the positions whose item was retrieved.

    Args:
        data: positions before the cut-off.
        table: item embeddings, float32 [N + 1, E]; they stay as they are.
        config: its options.
        seed: equal seeds give equal tensors.
        progress: called with the steps done.

    Raises:
        DataError: no position's item was retrieved, or the loss is no longer a number.
    """
    data = data.keep(data.found & ((data.rows > 0).sum(axis=1) > 1))
    if not len(data.targets):
        raise DataError("the ranker has nothing to learn from: retrieval finds the item of no position; raise "
                        "ranker.candidates")  # fmt: skip
    start = initial_tensors(table.shape[1], config.hidden, True, seed)
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
            done = epoch * steps + number
            rate = config.learning_rate * 0.5 * (1 + math.cos(math.pi * done / total))
            loss = float(step(data.users[chosen], targets, rows, np.float32(rate), np.float32(done + 1)))
            if not math.isfinite(loss):
                raise DataError(f"the loss of the ranker is {loss} in step {done + 1}: lower ranker.learning_rate")
            progress(done + 1, total, f"epoch {epoch + 1}, loss {loss:.4f}")
    return {name: variable.numpy() for name, variable in variables.items()} | {INNER: np.ones((), np.float32)}


def _step(variables: Mapping[str, tf.Variable], table: tf.Tensor) -> Any:
    """One step of Adam (rates .9 and .999) on a batch."""
    names = list(TENSORS)
    first, second = ([tf.Variable(tf.zeros_like(variables[name])) for name in names] for _ in range(2))

    @tf.function(autograph=False)
    def step(users: Any, targets: Any, rows: Any, rate: Any, number: Any) -> tf.Tensor:
        every = tf.concat([targets[:, tf.newaxis], rows], 1)  # (b, 1 + S)
        items = tf.gather(table, every)  # (b, 1 + S, E)
        with tf.GradientTape() as tape:
            net = network(users[:, tf.newaxis], tf.tensordot(items, variables["B"], 1), variables)
            scores = tf.einsum("pe,pce->pc", users, items) + net
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


def reranked(data: Retrieved, table: NDArray[np.float32], ranker: RankNet) -> NDArray[np.float64]:
    """Rank of each position's item among those retrieved by the ranker's score (ties count against it); infinity where
    it was not retrieved. float64 [P]."""
    scores = ranker.each(data.users, table[data.rows])
    scores = np.where(data.rows > 0, scores, -np.inf)
    own = np.where(data.rows == data.targets[:, None], scores, -np.inf).max(axis=1)
    rank = (scores >= own[:, None]).sum(axis=1).astype(np.float64)
    return np.where(data.found, rank, np.inf)


def _later(sequences: Sequences, where: Positions, seed: int) -> NDArray[np.int32]:
    """For each position one of the user's known items from the target on, each as likely."""
    known = [items[items != 0] for items in (sequences.of(user)[0] for user in range(len(sequences)))]
    draw = np.random.default_rng([seed, 6]).random(len(where))
    return np.array([known[user][place + int(share * (len(known[user]) - place))] for user, place, share in
                     zip(where.user.tolist(), where.place.tolist(), draw.tolist(), strict=True)], np.int32)  # fmt: skip
