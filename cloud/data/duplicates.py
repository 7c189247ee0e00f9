# SPDX-License-Identifier: Apache-2.0
"""Events with the user, item and time of an earlier one: how many there are, and which are the first."""

from __future__ import annotations

import numpy as np
import pandas as pd

_PART = 1 << 20  # events looked at at a time
_BITS = 24  # of the table that most events are told by


def count_duplicates(users: np.ndarray, items: np.ndarray, times: np.ndarray) -> int:
    """Number of events with the user, item and time of an earlier one; codes are not negative."""
    return find_duplicates(users, items, times, 0)[0]


def find_duplicates(users: np.ndarray, items: np.ndarray, times: np.ndarray, limit: int) -> tuple[int, np.ndarray]:
    """Their number, and int64: the first `limit` of them, in ascending order."""
    span = _spans(users, items, times)
    if span is None:
        again = pd.DataFrame({"user": users, "item": items, "time": times}).duplicated().to_numpy()
        return int(again.sum()), np.flatnonzero(again)[:limit]
    keys = _keys(users, items, times, *span)
    keys.sort()
    again = keys[1:] == keys[:-1]
    count = int(again.sum())
    if not count or not limit:
        return count, np.zeros(0, np.int64)
    several = keys[1:][again]  # keys that come more than once
    del keys, again
    return count, _first(users, items, times, span, several, limit)


def _first(
    users: np.ndarray,
    items: np.ndarray,
    times: np.ndarray,
    span: tuple[int, int, int],
    several: np.ndarray,
    limit: int,
) -> np.ndarray:
    """The first events whose key is among `several` and came before."""
    marked = np.zeros(1 << _BITS, bool)
    marked[_place(several)] = True
    seen: set[int] = set()
    found: list[int] = []
    for begin in range(0, len(users), _PART):
        part = slice(begin, begin + _PART)
        keys = _keys(users[part], items[part], times[part], *span)
        likely = np.flatnonzero(marked[_place(keys)])
        likely = likely[several[np.searchsorted(several, keys[likely]).clip(max=len(several) - 1)] == keys[likely]]
        for row, key in zip(likely.tolist(), keys[likely].tolist(), strict=True):
            if key in seen:
                found.append(begin + row)
                if len(found) == limit:
                    return np.array(found, np.int64)
            seen.add(key)
    return np.array(found, np.int64)


def _spans(users: np.ndarray, items: np.ndarray, times: np.ndarray) -> tuple[int, int, int] | None:
    """Number of users and items and the least time; None where one number cannot hold all three."""
    spans = [int(users.max()) + 1, int(items.max()) + 1]
    span = int(times.max()) - int(times.min()) + 1 if times.dtype.kind == "i" else 2**63
    return None if spans[0] * spans[1] * span >= 2**63 else (spans[0], spans[1], int(times.min()))


def _keys(users: np.ndarray, items: np.ndarray, times: np.ndarray, user: int, item: int, first: int) -> np.ndarray:
    """int64 (n,): one number for user, item and time."""
    keys: np.ndarray = times - first
    keys *= user
    keys += users
    keys *= item
    keys += items
    return keys


def _place(keys: np.ndarray) -> np.ndarray:
    """Place of each key in a table of `_BITS` bits (Fibonacci hashing)."""
    return (keys.view(np.uint64) * np.uint64(11400714819323198485)) >> np.uint64(64 - _BITS)
