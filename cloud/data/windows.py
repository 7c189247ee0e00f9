# SPDX-License-Identifier: Apache-2.0
"""Training windows for the cloud.

A window is a run of a sequence: up to T inputs and, for each, the event that came next. This module knows nothing
about batches, losses or lengths that train well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketrec.cloud.data.sequences import Sequences, offsets_of


@dataclass(frozen=True)
class Windows:
    """W windows over the events of some `Sequences`, in the order of the users, then of time."""

    start: np.ndarray
    """int64 (W,): place of the first input among all events; the target of an input is the event after it."""
    length: np.ndarray
    """int64 (W,): number of inputs, 1 to T."""
    context: np.ndarray
    """int64 (W,): so many inputs at the beginning are context: their targets count in another window, or nowhere."""

    def __len__(self) -> int:
        """Number W of windows."""
        return len(self.start)


def training_windows(sequences: Sequences, window: int, first_target: np.ndarray | None = None) -> Windows:
    """Tile every sequence so that each of its transitions is a target exactly once.

    A sequence of up to T + 1 events is one window. A longer one continues in steps of half a window, rounded up: each
    further window holds the T inputs before its last target, so every target in it has at least T // 2 earlier
    events as context.

    Args:
        sequences: U users.
        window: T, at least 1.
        first_target: int (U,), place of each user's first event that is a target (at least 1; earlier events are
            context only); None = 1 for all.
    """
    lengths = sequences.lengths
    first = np.maximum(1, np.ones_like(lengths) if first_target is None else np.asarray(first_target, np.int64))
    users = np.flatnonzero(lengths > first)
    lengths, first = lengths[users], first[users]
    context = np.minimum(first - 1, window // 2)
    head = np.minimum(lengths, first + window - context)  # end of the first window's targets
    step = window - window // 2
    tiles = 1 + -(-(lengths - head) // step)
    number = np.arange(tiles.sum()) - np.repeat(offsets_of(tiles)[:-1], tiles)  # (W,) number of the window in its user
    head, lengths, first = np.repeat(head, tiles), np.repeat(lengths, tiles), np.repeat(first, tiles)
    ends = np.minimum(lengths, head + number * step)  # (W,) one past the last target
    begins = np.where(number == 0, first, head + (number - 1) * step)  # (W,) first target
    starts = np.maximum(0, ends - 1 - window)  # (W,) first input
    base = np.repeat(sequences.offsets[users], tiles)
    return Windows(base + starts, ends - 1 - starts, begins - 1 - starts)
