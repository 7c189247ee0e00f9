# SPDX-License-Identifier: Apache-2.0
"""Batches of training: fixed shapes, made from the flat events by index arithmetic, a block of steps at a time.

An epoch is a sequence of blocks, each the stacked batches of some thousand steps or fewer; order and content follow
from a seed, so any block can be made again. Two ways to fill the rows: `WindowBatches` here and `SessionBatches` in
`sessions`; and `ClozeBatches` in `cloze`, whose targets are masked events. None knows anything about models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np

from pocketrec.cloud.config.training import BATCHINGS, TrainConfig
from pocketrec.cloud.data.sequences import Sequences, offsets_of
from pocketrec.cloud.data.windows import training_windows
from pocketrec.cloud.training.own_negatives import OwnNegatives

_OPEN_ROWS: Final = 8  # rows that are kept open for a window that fits
BLOCK: Final = 1 << 20  # positions in a block, about


class Batch(NamedTuple):
    """Rows for one training step, or, with a leading axis, for several."""

    items: np.ndarray
    """int32 [B, T]; 0 = padding."""
    targets: np.ndarray
    """int32 [B, T]; 0 = does not count."""
    weights: np.ndarray
    """float32 [B, T], weights of the targets, 1 on average; 0 where a target does not count."""
    keep: np.ndarray
    """float32 [B, T]; 0 where a window or session starts, else 1."""


@dataclass(frozen=True)
class Block:
    """Consecutive steps of an epoch."""

    batches: Batch
    """Arrays [S, B, T]: S steps."""
    begin: float
    """Share of the epoch before the block, in [0, 1)."""
    end: float
    """Share of the epoch up to its end."""
    negatives: np.ndarray | None = None
    """int32 [S, B, T, n]: rows of each target's own negatives, 0 where there is none; None where `Batches.own` is."""


class Batches(Protocol):
    """Deals a log into batches, each epoch another way; every transition of a sequence is a target once an epoch, but
    where targets are drawn (cloze)."""

    rows: int
    """Rows B of a batch."""
    width: int
    """Steps T of a row."""
    targets: int
    """Targets in an epoch."""
    own: OwnNegatives | None
    """Draws negatives of each target's own; None = there are no such negatives."""

    def blocks(self, seed: list[int], first: int = 0) -> Iterator[Block]:
        """The blocks of an epoch from number `first` on; equal seeds give equal blocks."""
        ...


class WindowBatches:
    """Shuffled windows, several one after the other in a row, so that short sessions waste no work.

    Args:
        sequences: the log.
        weights: float32 (n,) of each event as a target.
        window: T.
        batch: windows a step, on average.
        packed: False: one window a row.
    """

    own: OwnNegatives | None = None

    def __init__(
        self, sequences: Sequences, weights: np.ndarray, window: int, batch: int, *, packed: bool = True
    ) -> None:
        self.items, self.weights, self.packed = sequences.items, weights, packed
        self.windows = training_windows(sequences, window)
        mean = float(self.windows.length.mean()) if len(self.windows) else 1.0
        self.rows = max(1, round(batch * mean / window)) if packed else batch
        self.width = window
        self.targets = int((self.windows.length - self.windows.context).sum())
        self._windows_in_block = max(1, round(BLOCK / mean))

    def blocks(self, seed: list[int], first: int = 0) -> Iterator[Block]:
        """See `Batches`."""
        count = len(self.windows)
        order = np.random.default_rng(seed).permutation(count)
        for begin in range(first * self._windows_in_block, count, self._windows_in_block):
            end = min(count, begin + self._windows_in_block)
            self._begin(seed, begin)
            batches, goals = self._batches(order[begin:end])
            yield Block(batches, begin / count, end / count, drawn(self.own, goals, [*seed, begin]))

    def _begin(self, seed: list[int], first: int) -> None:
        """Called before a block, whose first window is number `first` of the epoch's order."""

    def _goals(self, source: np.ndarray) -> np.ndarray:
        """Place of each input's target among all events: the one after it."""
        return source + 1

    def _batches(self, chosen: np.ndarray) -> tuple[Batch, np.ndarray | None]:
        """Windows laid out in rows, dealt evenly to steps; a step that gets fewer rows is padded. And, where targets
        have negatives of their own, the place of each among all events, int64 [S, B, T], -1 where there is none."""
        lengths = self.windows.length[chosen]
        steps, row, column = dealt(lengths, self.width, self.rows, packed=self.packed)
        place, within = np.repeat(row * self.width + column, lengths), counted(lengths)
        source = np.repeat(self.windows.start[chosen], lengths) + within
        counts = within >= np.repeat(self.windows.context[chosen], lengths)
        batches = empty((steps, self.rows, self.width))
        batches.items.reshape(-1)[place + within] = self.items[source]
        goal = self._goals(source)
        batches.targets.reshape(-1)[place + within] = np.where(counts, self.items[goal], 0)
        batches.weights.reshape(-1)[place + within] = np.where(counts, self.weights[source + 1], 0)
        batches.keep.reshape(-1)[row * self.width + column] = 0
        return batches, None if self.own is None else placed(batches.targets, place + within, goal)


def placed(targets: np.ndarray, at: np.ndarray, events: np.ndarray) -> np.ndarray:
    """The place of each target's event among all, int64 [S, B, T], -1 where there is no target.

    Args:
        targets: int32 [S, B, T], 0 = none.
        at: int (k,), places in these, flat.
        events: int (k,), the event at each.
    """
    found = np.full(targets.size, -1)
    found[at] = events
    return np.where(targets > 0, found.reshape(targets.shape), -1)


def drawn(own: OwnNegatives | None, events: np.ndarray | None, seed: list[int]) -> np.ndarray | None:
    """Negatives of each target's own, int32 [S, B, T, n], where targets have such."""
    return None if own is None or events is None else own.draw(events, seed)


def empty(shape: tuple[int, int, int]) -> Batch:
    """A batch of padding alone, [S, B, T]."""
    ints, floats = np.zeros((2, *shape), np.int32), np.zeros(shape, np.float32)
    return Batch(ints[0], ints[1], floats, np.ones(shape, np.float32))


def dealt(lengths: np.ndarray, width: int, rows: int, *, packed: bool) -> tuple[int, np.ndarray, np.ndarray]:
    """Windows laid out in rows of `width`, and these dealt evenly to steps of `rows`, the rest of each being empty.

    Returns:
        The number of steps, and for each window its row among those of all steps, and its first column in it.
    """
    row, column, used = _pack(lengths, width) if packed else _one_a_row(lengths)
    steps = -(-used // rows)
    bounds = np.linspace(0, used, steps + 1).round().astype(np.int64)
    step = np.searchsorted(bounds, row, side="right") - 1
    return steps, row + step * rows - bounds[step], column


def counted(lengths: np.ndarray) -> np.ndarray:
    """0, 1, .. length - 1 for each length."""
    return np.arange(lengths.sum()) - np.repeat(offsets_of(lengths)[:-1], lengths)


def _one_a_row(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    return np.arange(len(lengths)), np.zeros(len(lengths), np.int64), len(lengths)


def _pack(lengths: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Row and first column of each window, first fit over a few open rows; and the number of rows."""
    row = np.empty(len(lengths), np.int64)
    column = np.empty(len(lengths), np.int64)
    open_rows: list[list[int]] = []  # [row, filled]
    used = 0
    for i, length in enumerate(lengths.tolist()):
        for place in open_rows:
            if place[1] + length <= width:
                break
        else:
            if len(open_rows) == _OPEN_ROWS:
                open_rows.remove(max(open_rows, key=lambda entry: entry[1]))
            place = [used, 0]
            open_rows.append(place)
            used += 1
        row[i], column[i] = place
        place[1] += length
        if place[1] == width:
            open_rows.remove(place)
    return row, column, used


def by_windows(
    config: TrainConfig, sequences: Sequences, weights: np.ndarray, window: int, packed: bool
) -> WindowBatches:
    """Batching ``windows``: windows of up to `window` events; `packed`: several in a row."""
    return WindowBatches(sequences, weights, window, config.batch, packed=packed)


def next_item(
    config: TrainConfig, sequences: Sequences, weights: np.ndarray, window: int, packed: bool
) -> Batches:
    """Objective ``next_item``: rows filled as `train.batching` says."""
    made: Batches = BATCHINGS.load(config.batching)(config, sequences, weights, window, packed)
    return made


def balance_weights(lengths: np.ndarray, power: float) -> np.ndarray:
    """Weight of each event as a target, float32 (n,), 1 on average: its user's number of events to the power -`power`.

    Args:
        lengths: int (U,), events of each user.
        power: 0 = all weigh the same.
    """
    weights = np.repeat(np.maximum(lengths, 1).astype(np.float64) ** -power, lengths)
    return (weights / weights.mean()).astype(np.float32) if len(weights) else weights.astype(np.float32)


def recency_weights(timestamps: np.ndarray, half_life: float) -> np.ndarray:
    """Weight of each event as a target, float32 (n,), 1 on average: it halves with every `half_life` of the log's time
    span that lies between the event and the latest one; 0 = all weigh the same."""
    span = float(np.ptp(timestamps)) if len(timestamps) else 0.0
    if not half_life or not span:
        return np.ones(len(timestamps), np.float32)
    weights = np.exp2((timestamps - timestamps.max()) / (span * half_life))
    return (weights / weights.mean()).astype(np.float32)
