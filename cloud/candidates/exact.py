# SPDX-License-Identifier: Apache-2.0
"""The items of highest inner product with each user, exactly, in blocks of users and items.

A block of scores is one product. Of all but the first block only scores above the user's k-th best so far are looked
at: partitioning every block would cost more than the products. This module knows arrays only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress

_USERS: Final = 256  # users at a time
_ITEMS: Final = 8192  # items at a time: with 256 users 8 MB of scores, which stay in the cache

Floats = NDArray[np.float32]


def exact_top(
    users: Floats, items: Floats, k: int, seen: Sequence[NDArray[Any]] | None = None, progress: Progress = no_progress
) -> tuple[NDArray[np.int32], Floats]:
    """The k rows of highest inner product of each user, best first (equal scores: the smaller row first).

    Which of several rows get in that share the score of the last place is not said.

    Args:
        users: float32 [U, E].
        items: float32 [N + 1, E]; row 0 (padding) takes no part.
        k: rows for each user.
        seen: rows that are left out for each user; None leaves out none.
        progress: called with the users done.

    Returns:
        Rows int32 [U, k], padded with 0 on the right where fewer are left, and their scores, -inf there.
    """
    rows, scores = np.zeros((len(users), k), np.int32), np.full((len(users), k), -np.inf, np.float32)
    if k < 1 or len(items) < 2:
        return rows, scores
    for begin in range(0, len(users), _USERS):
        part = slice(begin, begin + _USERS)
        gone = None if seen is None else _pairs(seen[begin : begin + _USERS])
        rows[part], scores[part] = _top(users[part], items, k, gone)
        progress(min(begin + _USERS, len(users)), len(users), "users")
    return rows, scores


def _pairs(seen: Sequence[NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """User (in the block) and row of everything seen, in the order of the rows."""
    user = np.repeat(np.arange(len(seen)), [len(part) for part in seen])
    row = np.concatenate([np.asarray(part, np.int64) for part in seen]) if len(seen) else np.zeros(0, np.int64)
    order = np.argsort(row, kind="stable")
    return user[order], row[order]


def _top(
    users: Floats, items: Floats, k: int, gone: tuple[NDArray[np.int64], NDArray[np.int64]] | None
) -> tuple[NDArray[np.int32], Floats]:
    count = len(users)
    best_rows, best = np.zeros((count, 0), np.int32), np.zeros((count, 0), np.float32)
    space = np.empty((count, _ITEMS), np.float32)
    for first in range(1, len(items), _ITEMS):
        block = items[first : first + _ITEMS]
        scores = np.matmul(users, block.T, out=space[:, : len(block)])
        if gone is not None:
            inside = slice(*np.searchsorted(gone[1], [first, first + len(block)]))
            scores[gone[0][inside], gone[1][inside] - first] = -np.inf
        if best.shape[1] < k:
            columns = np.broadcast_to(np.arange(len(block)), scores.shape)
            found_rows, found = (columns + first).astype(np.int32), scores
        else:
            found_rows, found = _passing(scores, best.min(axis=1), first)
        best_rows, best = _best(np.concatenate([best_rows, found_rows], 1), np.concatenate([best, found], 1), k)
    order = np.lexsort((best_rows, -best))
    best_rows, best = np.take_along_axis(best_rows, order, 1), np.take_along_axis(best, order, 1)
    best_rows = np.where(best > -np.inf, best_rows, 0)
    short = k - best.shape[1]
    return (np.pad(best_rows, ((0, 0), (0, max(short, 0)))),
            np.pad(best, ((0, 0), (0, max(short, 0))), constant_values=-np.inf))  # fmt: skip


def _passing(scores: Floats, least: Floats, first: int) -> tuple[NDArray[np.int32], Floats]:
    """Rows and scores above each user's least, [U, m], padded with scores of -inf."""
    place = np.flatnonzero(scores > least[:, None])  # of the flat block: in the order of the users
    user, column = np.divmod(place, scores.shape[1])
    counts = np.bincount(user, minlength=len(scores))
    within = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = np.zeros((len(scores), int(counts.max(initial=0))), np.int32)
    found = np.full(rows.shape, -np.inf, np.float32)
    rows[user, within], found[user, within] = column + first, scores[user, column]
    return rows, found


def _best(rows: NDArray[np.int32], scores: Floats, k: int) -> tuple[NDArray[np.int32], Floats]:
    """The k best of each user's, in any order."""
    if scores.shape[1] <= k:
        return rows, scores
    chosen = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]
    return np.take_along_axis(rows, chosen, 1), np.take_along_axis(scores, chosen, 1)
