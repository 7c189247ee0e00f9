# SPDX-License-Identifier: Apache-2.0
"""From a user's history to the fixed-shape arrays that the model takes, and the sampler of negatives.

Rows are int32 item rows, oldest first, without padding. This module knows nothing about models or files.
"""

from __future__ import annotations

import numpy as np

from pocketrec.device.base.array import Array


def training_windows(
    rows: Array, first_target: int, window: int, batch: int, stride: int | None = None, targets: int | None = None
) -> tuple[Array, Array]:
    """Cut a history into windows so that every target from `first_target` on is predicted exactly once.

    Windows are laid backwards from the end of the history. Each takes up to `window` inputs that end right before
    its last target, and its last `stride` positions count; the others only give context. The windows are spread
    evenly over the steps, oldest first, and the rest of each step is empty (all 0).

    Args:
        rows: int32 [n], the whole history, oldest first, no 0.
        first_target: index in `rows` of the first event to predict; the very first event (index 0) has nothing
            before it and is never a target.
        window: inputs T of a window.
        batch: windows B of a step.
        stride: targets that one window counts, 1 to T; None = all that it can have. A target then has at least T -
            stride earlier inputs in its window, where the history has them.
        targets: that a window of the model can have (`Model.targets`): T, one after each input, which None is too; or
            1, after the last input.

    Returns:
        items int32 [S, B, T] and targets int32 [S, B, `targets`], right-padded with 0; S = 0 where there is no target.
    """
    width = window if targets is None else targets
    stride = min(max(1, width if stride is None else stride), width)
    first = max(1, first_target)
    ends = range(len(rows) - 1, first - 1, -stride)[::-1]  # index of the last target of each window, oldest first
    steps = -(-len(ends) // batch)  # rounded up
    items = np.zeros((steps, batch, window), dtype=np.int32)  # (S, B, T)
    wanted = np.zeros((steps, batch, width), dtype=np.int32)
    filled = [0] * steps
    for place, last in enumerate(ends):
        step = place * steps // len(ends)
        slot = filled[step]
        filled[step] += 1
        start = max(0, last - window)  # inputs are rows[start:last]
        length = last - start
        items[step, slot, :length] = rows[start:last]
        counted = max(first, last - stride + 1)  # first index that counts as a target here
        at = min(counted - start, width) - 1
        wanted[step, slot, at : at + last + 1 - counted] = rows[counted : last + 1]
    return items, wanted


def replay_windows(
    rows: Array,
    first_target: int,
    replay_from: int | None,
    share: float,
    window: int,
    batch: int,
    seed: tuple[int, ...],
    targets: int | None = None,
) -> tuple[Array, Array]:
    """As `training_windows`, with windows of older targets drawn at random among the new ones.

    Args:
        rows, first_target, window, batch, targets: see there.
        replay_from: index of the first older event that may be a target; None = no replay.
        share: windows replayed for each new one, as far as there are so many.
        seed: of the draw and of the order in which old and new windows are mixed.
    """
    width, count = window if targets is None else targets, 0
    items, wanted = training_windows(rows, first_target, window, 1, targets=width)  # (n, 1, T), (n, 1, width)
    if replay_from is not None:
        count = replayed_count(len(items), first_target, replay_from, share, width)
    if count == 0:
        return training_windows(rows, first_target, window, batch, targets=width)
    old_items, old_wanted = training_windows(rows[:first_target], replay_from or 0, window, 1, targets=width)
    generator = np.random.default_rng(seed)
    drawn = generator.permutation(len(old_items))[:count]
    order = generator.permutation(len(items) + count)
    items = np.concatenate([items, old_items[drawn]])[order, 0]  # (n + count, T)
    wanted = np.concatenate([wanted, old_wanted[drawn]])[order, 0]
    steps = -(-len(items) // batch)
    made = np.zeros((steps, batch, window), np.int32), np.zeros((steps, batch, width), np.int32)
    for step, places in enumerate(np.array_split(np.arange(len(items)), steps)):
        made[0][step, : len(places)], made[1][step, : len(places)] = items[places], wanted[places]
    return made


def replayed_count(new: int, first_target: int, replay_from: int, share: float, targets: int) -> int:
    """How many windows of older targets, up to `targets` each, `replay_windows` draws for `new` new ones."""
    old = -(-max(0, first_target - max(1, replay_from)) // targets)
    return min(old, round(share * new))


def context(rows: Array, window: int) -> Array:
    """The latest `window` events of a history as int32 [1, T], right-padded with 0."""
    latest = rows[max(0, len(rows) - window) :]
    items = np.zeros((1, window), dtype=np.int32)  # (1, T)
    items[0, : len(latest)] = latest
    return items


def log_uniform(count: int, items: int, seed: int, step: int) -> Array:
    """Negatives for the sampled softmax: rows drawn with P(row) = log((row + 1) / row) / log(items + 1).

    Rows are in order of decreasing popularity, so this follows Zipf's law. The draw depends on `seed` and `step` alone,
    so that continued training equals uninterrupted training.

    Args:
        count: number S of rows to draw, with repeats.
        items: number N of items in the vocabulary.
        seed: seed of the training.
        step: number of the train step since the global weights.

    Returns:
        int32 [S], each in 1..N.
    """
    uniform = np.random.default_rng((seed, step)).random(count)
    rows: Array = np.floor(np.exp(uniform * np.log(items + 1.0))).astype(np.int32)
    return rows.clip(1, items)
