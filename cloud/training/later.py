# SPDX-License-Identifier: Apache-2.0
"""Objective ``later_item``: the target of an input is one of the user's later events, drawn anew each epoch.

What comes next on a log is often what the page showed next; what a list at one moment is judged by is everything that
the user has later. Trained for that, a model need not know the order. This module knows nothing about models.
"""

from __future__ import annotations

import numpy as np

from pocketrec.cloud.config.training import TrainConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.training.batches import WindowBatches


class LaterBatches(WindowBatches):
    """`WindowBatches` with targets drawn from all later events of the user, each as likely. The weight is that of the
    event after the input, so that inputs count as often as they do for the next item."""

    def __init__(
        self, sequences: Sequences, weights: np.ndarray, window: int, batch: int, *, packed: bool = True
    ) -> None:
        super().__init__(sequences, weights, window, batch, packed=packed)
        self._ends = np.repeat(sequences.offsets[1:], sequences.lengths)  # (n,) end of each event's user
        self._generator = np.random.default_rng(0)

    def _begin(self, seed: list[int], first: int) -> None:
        self._generator = np.random.default_rng([*seed, first])

    def _goals(self, source: np.ndarray) -> np.ndarray:
        left = self._ends[source] - source - 1  # later events of the user
        drawn = (self._generator.random(len(source)) * left).astype(np.int64)
        return source + 1 + np.minimum(drawn, np.maximum(left - 1, 0))


def later_item(
    config: TrainConfig, sequences: Sequences, weights: np.ndarray, window: int, packed: bool
) -> LaterBatches:
    """Objective ``later_item``; batching is by windows (`pocketrec.cloud.config.fit`)."""
    return LaterBatches(sequences, weights, window, config.batch, packed=packed)
