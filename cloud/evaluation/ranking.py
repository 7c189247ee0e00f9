# SPDX-License-Identifier: Apache-2.0
"""Every system ranked on the same positions, where one process holds all of them: the model, baselines, or any other.

A position is an event to be foretold, from all that its user had before it. This module knows nothing about what
came before or after a cut-off, nor about means or files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.baselines.baseline import Baseline
from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.evaluation.scoring import Positions, positions, seen_before
from pocketrec.cloud.metrics.metrics import ranks
from pocketrec.cloud.rankers.ranker import Ranker

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences
    from pocketrec.device.contract.neighbours import Neighbours

_CELLS = 1 << 22  # scores ranked at a time

ScoresOf = Callable[[slice], NDArray[np.float32]]
"""Scores [p, N + 1] of a slice of the positions."""


@dataclass(frozen=True)
class Places:
    """Positions to rank, and what each user had before them."""

    where: Positions
    """The positions, P of them, with the model's contexts."""
    seen: list[NDArray[np.int32]]
    """P histories: all known events of the user before the position, oldest first."""
    users: NDArray[np.object_]
    """[P] user ids."""
    rows: int
    """N + 1, size of the item table."""

    @staticmethod
    def of(
        sequences: Sequences, items: int, window: int, first: NDArray[np.int64] | None = None, *, causal: bool = True
    ) -> Places:
        """All known events at or after `first` (int64 [U], None = all) that have a known event before them.

        Args:
            sequences: whole histories.
            items: N.
            window: T, events that the model looks back on.
            first: place of each sequence's first event to rank.
            causal: whether the model is.
        """
        where = positions(sequences, window, first, causal=causal)
        return Places(where, seen_before(sequences, where), sequences.users[where.user], items + 1)

    def ranks(
        self, scores: ScoresOf, evaluate: EvaluateConfig, progress: Progress = no_progress
    ) -> list[NDArray[np.float64]]:
        """Rank of every position's item in the full ranking, by sequence; those without a position are left out.

        Args:
            scores: of the system.
            evaluate: ties and mask.
            progress: called after every block of positions.
        """
        count = len(self.where)
        found = np.empty(count)
        step = max(1, _CELLS // self.rows)
        for begin in range(0, count, step):
            part = slice(begin, min(begin + step, count))
            masked = None
            if evaluate.mask_seen:
                masked = np.zeros((part.stop - part.start, self.rows), bool)
                for row, history in zip(masked, self.seen[part], strict=True):
                    row[history] = True
            found[part] = ranks(scores(part), self.where.targets[part], evaluate.ties, masked)
            progress(part.stop, count)
        starts = np.flatnonzero(np.diff(self.where.user, prepend=-1))  # positions are in the order of the sequences
        return np.split(found, starts[1:]) if count else []

    def by_embedding(self, embedded: NDArray[np.float32], table: NDArray[np.float32], ranker: Ranker) -> ScoresOf:
        """A ranker's scores of user embeddings [P, E] and item embeddings [N + 1, E]."""
        return lambda part: ranker.scores(embedded[part], table)

    def with_neighbours(self, scores: ScoresOf, neighbours: Neighbours) -> ScoresOf:
        """Scores raised by what the neighbours of each history add, as devices have them."""

        def raised(part: slice) -> NDArray[np.float32]:
            found = scores(part)
            for row, history in zip(found, self.seen[part], strict=True):
                items, bonus = neighbours.bonus(history)
                row[items] += bonus
            return found

        return raised

    def by_baseline(self, baseline: Baseline) -> ScoresOf:
        """A fitted baseline; one that reads the user, user by user."""

        def scores(part: slice) -> NDArray[np.float32]:
            users, histories = self.users[part], self.seen[part]
            if not baseline.reads_user:
                return baseline.many(histories, users.tolist())
            bounds = [*np.flatnonzero(users[1:] != users[:-1]) + 1, len(users)]
            found, begin = np.empty((len(users), self.rows), np.float32), 0
            for end in bounds:
                found[begin:end] = baseline.many(histories[begin:end], users[begin:end].tolist())
                begin = end
            return found

        return scores
