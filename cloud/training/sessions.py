# SPDX-License-Identifier: Apache-2.0
"""Session-parallel mini-batches (Hidasi et al. 2016): rows that read one session after the other.

The sessions, in a new order each epoch, are one long line that is cut between sessions into B rows as equal as can be;
a step takes the next T events of every row. So every transition is a target exactly once, whatever the number of
sessions, and the rows end within one session's length of each other. The state of a row continues from step to step and
is cut where `Batch.keep` is 0: at the first event of every session. This module knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pocketrec.cloud.config.training import TrainConfig
from pocketrec.cloud.data.sequences import Sequences, offsets_of
from pocketrec.cloud.training.batches import BLOCK, Batch, Block, drawn
from pocketrec.cloud.training.own_negatives import OwnNegatives


class SessionBatches:
    """See `pocketrec.cloud.training.batches.Batches`; a session is a user's whole sequence.

    Args:
        sequences: the log.
        weights: float32 (n,) of each event as a target.
        batch: rows B.
        unroll: steps T of a row in a batch.
    """

    own: OwnNegatives | None = None

    def __init__(self, sequences: Sequences, weights: np.ndarray, batch: int, unroll: int) -> None:
        self.items, self.weights = sequences.items, weights
        self.rows, self.width = batch, unroll
        sessions = np.flatnonzero(sequences.lengths > 1)
        self.starts = sequences.offsets[sessions]  # place of the first event of each session
        self.pairs = sequences.lengths[sessions] - 1
        self.targets = int(self.pairs.sum())

    def blocks(self, seed: list[int], first: int = 0) -> Iterator[Block]:
        """See `Batches`."""
        order = np.random.default_rng(seed).permutation(len(self.pairs))
        line = offsets_of(self.pairs[order])  # (W + 1,) where each session begins in the line of all transitions
        cuts = np.searchsorted(line, np.arange(self.rows + 1) * self.targets / self.rows)
        begins, ends = line[cuts[:-1]], line[cuts[1:]]  # (B,) each row's part of the line
        columns = int((ends - begins).max(initial=0))
        wide = self.width * max(1, BLOCK // (self.rows * self.width))  # columns in a block
        for column in range(first * wide, columns, wide):
            stop = min(columns, column + wide)
            steps = -(-(stop - column) // self.width)
            place = begins[:, np.newaxis] + column + np.arange(steps * self.width)  # (B, S * T)
            batch, source = self._batch(order, line, place, place < ends[:, np.newaxis])
            *parts, goals = (np.stack(np.split(array, steps, axis=1)) for array in (*batch, source + 1))  # [S, B, T]
            targets = parts[1]
            own = drawn(self.own, np.where(targets > 0, goals, -1), [*seed, column])
            yield Block(Batch(*parts), column / columns, stop / columns, own)

    def _batch(
        self, order: np.ndarray, line: np.ndarray, place: np.ndarray, inside: np.ndarray
    ) -> tuple[Batch, np.ndarray]:
        """Columns of all rows, and the place of each input among all events."""
        place = np.where(inside, place, 0)
        session = np.searchsorted(line, place, side="right") - 1
        within = place - line[session]
        source = self.starts[order[session]] + within
        batch = Batch(
            np.where(inside, self.items[source], 0).astype(np.int32),
            np.where(inside, self.items[source + 1], 0).astype(np.int32),
            np.where(inside, self.weights[source + 1], 0).astype(np.float32),
            (~inside | (within > 0)).astype(np.float32),
        )
        return batch, source


def by_sessions(
    config: TrainConfig, sequences: Sequences, weights: np.ndarray, _window: int, _packed: bool
) -> SessionBatches:
    """Batching ``sessions``, whose rows are as long as its option `unroll` says."""
    return SessionBatches(sequences, weights, config.batch, config.options_of("sessions").unroll)
