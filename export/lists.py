# SPDX-License-Identifier: Apache-2.0
"""Building lists over an item table, and finding out whether they are worth their bytes.

Lists are made by k-means over the item embeddings. How many of them a device looks into is found on this very table
with embeddings of the log's own users: the fewest that reach the recall asked for. Where that is more than half of the
rows, or no number reaches it, there are no lists, and the reason is told: tables that are hardly clustered, such as
those of items that were seen once, are not helped by lists. Work is counted in rows, not in time, so that equal runs
give equal bundles. This module needs no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.contract.lists import Lists

#: Least items for which `export.index = "auto"` tries lists.
LEAST_ITEMS: Final = 200_000
#: Recall is that of so many of the exact best items.
TOP: Final = 100
_MOST_LISTS, _ITERATIONS, _SAMPLED, _BLOCK = 4096, 8, 64, 8192
_COPIED: Final = 64_000_000  # bytes of rows and scales up to which the file has a copy of them
_WORTH: Final = 0.5  # share of the rows; looking into lists costs more a row than reading all in order


@dataclass(frozen=True)
class Tried:
    """What came of lists on a table."""

    lists: Lists | None
    """None = they are not shipped."""
    probes: int
    """Lists that a device looks into."""
    recall: float
    """Share of the exact best `TOP` items that it finds."""
    reason: str
    """In a few words."""


def list_count(items: int, asked: int) -> int:
    """Number of lists: what is asked for, 0 = 2 sqrt(N), at most 4,096; no more than items."""
    return max(1, min(items, asked or min(_MOST_LISTS, round(2 * items**0.5))))


def build_lists(rows: Array, scales: Array, count: int, seed: int) -> Lists:
    """Lists over a table.

    Args:
        rows: int8 [N + 1, E].
        scales: float32 [N + 1, 1].
        count: number L of lists.
        seed: of the sample and of the first centroids.
    """
    rng, items = np.random.default_rng(seed), len(rows) - 1
    sample = np.sort(rng.choice(items, min(items, _SAMPLED * count), replace=False)) + 1
    points = rows[sample].astype(np.float32) * scales[sample]
    centroids = points[rng.choice(len(points), count, replace=False)]
    for _ in range(_ITERATIONS):
        nearest = _nearest(points, centroids)
        sums, sizes = np.zeros_like(centroids), np.bincount(nearest, minlength=count)
        np.add.at(sums, nearest, points)
        filled = sizes > 0
        centroids[filled] = sums[filled] / sizes[filled, None]
    nearest, norms = np.empty(items, np.int64), np.empty(items, np.float32)
    for begin in range(1, items + 1, _BLOCK):
        part = rows[begin : begin + _BLOCK].astype(np.float32) * scales[begin : begin + _BLOCK]
        place = slice(begin - 1, begin - 1 + len(part))
        nearest[place], norms[place] = _nearest(part, centroids), np.linalg.norm(part, axis=1)
    order = np.argsort(nearest, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(nearest, minlength=count))])
    bounds = np.zeros(count, np.float32)
    np.maximum.at(bounds, nearest, norms)
    upward = np.nextafter((bounds * np.float32(1.001)).astype(np.float16), np.float16(np.inf))
    copied = items * (rows.shape[1] + 4) <= _COPIED
    return Lists(
        centroids.astype(np.float16), offsets.astype(np.uint32), (order + 1).astype(np.uint32), upward,
        scales[order + 1, 0] if copied else None, rows[order + 1] if copied else None,
    )  # fmt: skip


def try_lists(rows: Array, scales: Array, users: Array, recall: float, count: int, seed: int) -> Tried:
    """Lists over a table, where they are worth it.

    Args:
        rows, scales, count, seed: as for `build_lists`.
        users: embeddings of the log's own users, float32 [U, E].
        recall: least share of the exact best `TOP` items.
    """
    lists = build_lists(rows, scales, count, seed)
    table = np.empty((len(rows), rows.shape[1]), np.float32)
    np.multiply(rows, scales, out=table)
    near = users @ lists.centroids.astype(np.float32).T  # (U, L)
    order = np.argsort(-near, axis=1, kind="stable")
    place_of = np.argsort(order, axis=1)  # (U, L): when each list is looked into
    list_of = np.empty(len(rows), np.int64)
    list_of[lists.rows] = np.repeat(np.arange(count), np.diff(lists.offsets.astype(np.int64)))
    top = min(TOP, len(rows) - 1)
    when = np.empty((len(users), top), np.int64)
    for user, embedding in enumerate(users):
        best = np.argpartition(-(table[1:] @ embedding), top - 1)[:top] + 1
        when[user] = place_of[user, list_of[best]]
    held = np.cumsum(np.diff(lists.offsets.astype(np.int64))[order], axis=1)  # (U, L): items of the first lists
    least = np.argmax(held >= top, axis=1)[:, None] + 1  # so many are looked into anyway, to find enough
    reached = np.array([(when < np.maximum(probes, least)).mean() for probes in range(1, count + 1)])
    enough = int(np.argmax(reached >= recall)) + 1 if (reached >= recall).any() else count
    used = np.maximum(enough, least)
    looked = float((np.take_along_axis(held, used - 1, 1) + count).mean()) / (len(rows) - 1)
    found = float(reached[enough - 1])
    told = f"{enough} of {count} lists find {found:.3f} of the best {top} and look at {looked:.0%} of the rows"
    if looked > _WORTH or found < recall:
        return Tried(None, 0, found, f"{told}: searching all is as good, so there is no index")
    return Tried(lists, enough, found, told)


def _nearest(points: Array, centroids: Array) -> Array:
    """int64 [n]: the centroid of least distance."""
    half = 0.5 * (centroids**2).sum(axis=1)
    found = np.empty(len(points), np.int64)
    for begin in range(0, len(points), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        found[part] = np.argmax(points[part] @ centroids.T - half, axis=1)
    return found
