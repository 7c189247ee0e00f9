"""Training windows for the cloud.

A window holds up to T inputs and, for each, the item that came next (or 0, where that transition is only context
here and a target in another window). This module knows nothing about batches, losses or lengths that train well.
"""

from __future__ import annotations

import numpy as np

from pocketrec.cloud.data.sequences import Sequences, offsets_of


def training_windows(
    sequences: Sequences, window: int, first_target: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Tile every sequence so that each of its transitions is a target exactly once.

    A sequence of up to T + 1 events is one window. A longer one goes on in steps of half a window, rounded up: each
    further window holds the T inputs before its last target, so every target in it has at least T // 2 earlier
    events as context.

    Args:
        sequences: U users.
        window: T, at least 1.
        first_target: int (U,), place of each user's first event that is a target (at least 1; earlier events are
            context only); None = 1 for all.

    Returns:
        items, targets: int32 (W, T), padded with 0 on the right; in the order of the users, then of time.
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
    places = starts[:, None] + np.arange(window)  # (W, T) place of the input in its sequence
    filled = places < (ends - 1)[:, None]
    base = np.repeat(sequences.offsets[users], tiles)[:, None]
    flat = np.where(filled, base + places, 0)
    source = sequences.items if sequences.events else np.zeros(1, np.int32)
    items = np.where(filled, source[flat], 0).astype(np.int32)
    is_target = filled & (places + 1 >= begins[:, None])
    targets = np.where(is_target, source[np.where(is_target, flat + 1, 0)], 0).astype(np.int32)
    return items, targets
