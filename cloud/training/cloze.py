# SPDX-License-Identifier: Apache-2.0
"""Batches of masked events (cloze: Devlin et al., NAACL 2019; Sun et al., CIKM 2019).

A window has its last target too. Of its known events a share is to be said: eight of ten such places show `MASKED`, one
an item at random, one the item itself, so that the model has to doubt what it sees. Targets and weights stand at these
places alone. Order and masks follow from the seed and the block's number. This module knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from pocketrec.cloud.config.training import MASKED, ClozeOptions, TrainConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.windows import training_windows
from pocketrec.cloud.training.batches import BLOCK, Batch, Block, counted, dealt, drawn, empty, placed
from pocketrec.cloud.training.own_negatives import OwnNegatives

_SHOWN: Final = (0.8, 0.9)  # share of the places that show a mask; and of those that show that, or an item at random


class ClozeBatches:
    """See `pocketrec.cloud.training.batches.Batches`.

    Args:
        sequences: the log.
        weights: float32 (n,) of each event as a target.
        window: T, events before the one that is asked for; a row has T + 1.
        batch: windows a step, on average.
        options: how many events are masked.
        packed: False: one window a row.
    """

    own: OwnNegatives | None = None

    def __init__(
        self, sequences: Sequences, weights: np.ndarray, window: int, batch: int, options: ClozeOptions,
        *, packed: bool = True,
    ) -> None:
        self.items, self.weights, self.packed = sequences.items, weights, packed
        self.windows = training_windows(sequences, window)
        mean = float(self.windows.length.mean()) + 1 if len(self.windows) else 1.0
        self.width = window + 1
        self.rows = max(1, round(batch * mean / self.width)) if packed else batch
        known = np.concatenate([[0], np.cumsum(sequences.items > 0)])
        ends = self.windows.start + self.windows.length + 1
        self.masks = masks(options, known[ends] - known[self.windows.start])  # (W,)
        self.targets = int(self.masks.sum())
        self._most = int(sequences.items.max(initial=1))
        self._windows_in_block = max(1, round(BLOCK / mean))

    def blocks(self, seed: list[int], first: int = 0) -> Iterator[Block]:
        """See `Batches`."""
        count = len(self.windows)
        order = np.random.default_rng(seed).permutation(count)
        for begin in range(first * self._windows_in_block, count, self._windows_in_block):
            end = min(count, begin + self._windows_in_block)
            generator = np.random.default_rng([*seed, begin])
            batches, goals = self._batches(order[begin:end], generator)
            yield Block(batches, begin / count, end / count, drawn(self.own, goals, [*seed, begin]))

    def _batches(self, chosen: np.ndarray, generator: np.random.Generator) -> tuple[Batch, np.ndarray | None]:
        lengths = self.windows.length[chosen] + 1
        steps, row, column = dealt(lengths, self.width, self.rows, packed=self.packed)
        within = counted(lengths)
        place = np.repeat(row * self.width + column, lengths) + within
        source = np.repeat(self.windows.start[chosen], lengths) + within
        items = self.items[source]
        draws = np.where(items > 0, generator.random(len(items)), 2.0)
        masked = np.empty(len(items), bool)  # the first of each window's known events in the order of the draws
        order = np.lexsort((draws, np.repeat(np.arange(len(lengths)), lengths)))
        masked[order] = within < np.repeat(self.masks[chosen], lengths)
        kind = generator.random(len(items))
        other = np.where(kind < _SHOWN[1], generator.integers(1, self._most + 1, len(items)), items)
        batches = empty((steps, self.rows, self.width))
        batches.items.reshape(-1)[place] = np.where(masked, np.where(kind < _SHOWN[0], MASKED, other), items)
        batches.targets.reshape(-1)[place] = np.where(masked, items, 0)
        batches.weights.reshape(-1)[place] = np.where(masked, self.weights[source], 0)
        batches.keep.reshape(-1)[row * self.width + column] = 0
        return batches, None if self.own is None else placed(batches.targets, place, source)


def masks(options: ClozeOptions, events: np.ndarray) -> np.ndarray:
    """How many of so many known events of a window are to be said, int64: the share, at least one where there are any,
    at most `mask_most`."""
    share = np.maximum(1, np.rint(options.mask * events))
    return np.minimum(np.minimum(share, options.mask_most), events).astype(np.int64)


def most_masks(options: ClozeOptions, width: int) -> int:
    """Bound of the masks in a row of so many places, whatever windows of two events or more lie in it."""
    events = np.arange(2, width + 1)
    return int(np.floor((masks(options, events) / events).max() * width + 1e-6))


def by_cloze(
    config: TrainConfig, sequences: Sequences, weights: np.ndarray, window: int, packed: bool
) -> ClozeBatches:
    """Objective ``cloze``."""
    return ClozeBatches(sequences, weights, window, config.batch, config.options_of("cloze"), packed=packed)
