# SPDX-License-Identifier: Apache-2.0
"""Positions of histories, and what the inner product retrieves at each: what a ranker is trained on and judged by."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.backbones import item_embeddings
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.candidates.exact import exact_top
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.ranker import RankerConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.evaluation.scoring import Positions, embed_positions, positions, seen_before
from pocketrec.cloud.rankers.ranker import Ranker
from pocketrec.cloud.rankers.transitions import recent_of


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
    recent: NDArray[np.int32]
    """[P, n]: the latest events before it, the last one first, 0 = none."""

    @property
    def found(self) -> NDArray[np.bool_]:
        """bool [P]: whether the item is among them."""
        hit: NDArray[np.bool_] = (self.rows == self.targets[:, None]).any(axis=1)
        return hit

    def keep(self, chosen: NDArray[np.bool_]) -> Retrieved:
        """The positions where the mask holds."""
        return Retrieved(self.users[chosen], self.targets[chosen], self.rows[chosen], self.user[chosen],
                         self.recent[chosen])  # fmt: skip


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
    users, before = embed_positions(model, where), seen_before(sequences, where)
    rows, _ = exact_top(users, item_embeddings(model), config.candidates, before if mask_seen else None, progress)
    targets = where.targets if later is None else _later(sequences, where, later)
    return Retrieved(users, targets, rows, where.user, recent_of(before))


def latest(sequences: Sequences, count: int) -> NDArray[np.int64]:
    """int64 [U]: place of the first of each user's latest events, in all about `count`, of each user the same share."""
    share = min(1.0, count / max(1, sequences.events))
    return np.ceil(sequences.lengths * (1 - share)).astype(np.int64)


def reranked(data: Retrieved, table: NDArray[np.float32], ranker: Ranker) -> NDArray[np.float64]:
    """Rank of each position's item among those retrieved by the ranker's score (ties count against it); infinity where
    it was not retrieved. float64 [P]."""
    scores = ranker.of_rows(data.users, table, data.rows, data.recent)
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
