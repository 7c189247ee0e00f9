"""Training windows packed into rows of one fixed shape, so that short sessions waste no work.

Several windows share a row, one after the other; the model's state is cut where a window starts. Every target of
every window appears exactly once in an epoch. This module knows nothing about models.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_OPEN_ROWS = 8  # rows that are kept open for a window that fits


@dataclass(frozen=True)
class Batch:
    """Rows for one training step."""

    items: np.ndarray
    """int32 [B, T]; 0 = padding, at row ends only."""
    targets: np.ndarray
    """int32 [B, T]; 0 = does not count."""
    keep: np.ndarray
    """float32 [B, T]; 0 where a window starts, else 1."""


class Packer:
    """Deals windows into batches, another way each epoch.

    Args:
        items: int32 [n, T], right-padded with 0.
        targets: int32 [n, T]; 0 = does not count.
        batch: windows a step, on average.
        width: length of a packed row; at least T.
    """

    def __init__(self, items: np.ndarray, targets: np.ndarray, batch: int, width: int) -> None:
        lengths = (items != 0).sum(1)
        keep = lengths > 0
        self.lengths = lengths[keep].astype(np.int64)
        inside = items != 0
        self.items, self.targets = items[inside], targets[inside]  # (positions,)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]) if len(self.lengths) else np.zeros(0, int)
        self.width = width
        mean = self.lengths.mean() if len(self.lengths) else 1.0
        self.rows = max(1, round(batch * float(mean) / width))
        self.targets_total = int((self.targets > 0).sum())

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.lengths)

    def epoch(self, seed: list[int]) -> Iterator[Batch]:
        """The batches of one epoch; equal seeds give equal batches."""
        order = np.random.default_rng(seed).permutation(len(self.lengths))
        row, column, used = self._place(order)
        items = np.zeros((used, self.width), np.int32)
        targets = np.zeros_like(items)
        keep = np.ones(items.shape, np.float32)
        lengths = self.lengths[order]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        to = (np.repeat(row, lengths), np.repeat(column, lengths) + within)
        source = np.repeat(self.starts[order], lengths) + within
        items[to], targets[to] = self.items[source], self.targets[source]
        keep[row, column] = 0
        steps = -(-used // self.rows)
        bounds = np.linspace(0, used, steps + 1).round().astype(int)
        for start, end in itertools.pairwise(bounds):
            yield Batch(*(_padded(array[start:end], self.rows) for array in (items, targets, keep)))

    def _place(self, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Row and first column of each window, first fit over a few open rows; and the number of rows."""
        row = np.empty(len(order), np.int64)
        column = np.empty(len(order), np.int64)
        open_rows: list[list[int]] = []  # [row, filled]
        used = 0
        for i, length in enumerate(self.lengths[order].tolist()):
            for place in open_rows:
                if place[1] + length <= self.width:
                    break
            else:
                if len(open_rows) == _OPEN_ROWS:
                    open_rows.remove(max(open_rows, key=lambda entry: entry[1]))
                place = [used, 0]
                open_rows.append(place)
                used += 1
            row[i], column[i] = place
            place[1] += length
            if place[1] == self.width:
                open_rows.remove(place)
        return row, column, used


def _padded(array: np.ndarray, rows: int) -> np.ndarray:
    if len(array) == rows:
        return array
    return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)])
