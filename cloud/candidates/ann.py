# SPDX-License-Identifier: Apache-2.0
"""The items of highest inner product with many users, in a catalogue so large that looking at every item takes hours.

Above `LARGE` items, and where there are users enough to pay for building it, an index of faiss (the extra ``ann``)
looks into some of its lists for each user. How many is found on this very table: the fewest of 8, 16, 32, ... in which
some of the log's own users find `RECALL` of their exact best items. Tables that are hardly clustered reach that with no
number worth it, and then every item is looked at, as it is without faiss. Work is counted in rows, not in time, so that
equal runs do the same. This module knows arrays only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.candidates.exact import Floats, exact_top

#: Items up to which all are looked at.
LARGE: Final = 500_000
#: Least share of the exact best items that an index has to find.
RECALL: Final = 0.99
_DEPTH: Final = 100  # of the exact best, which recall counts
_SAMPLE: Final = 256  # users that find out how many lists are looked into
_FEWEST: Final = 8  # lists
_MOST: Final = 0.0625  # share of the lists: a row in a list costs what a dozen cost in the product over all rows
_POINTS, _ITERATIONS = 64, 4  # rows for each list, and rounds, of k-means; ten rounds find nothing more
_PAYS: Final = 6  # rows of an exact search for each that building looks at: it saves half, at thrice the cost
_USERS: Final = 4096  # users at a time


def nearest(
    users: Floats, items: Floats, k: int, seen: Sequence[NDArray[Any]] | None = None, *, seed: int = 1,
    threads: int = 1, progress: Progress = no_progress, say: Callable[[str], None] = lambda line: None,
) -> tuple[NDArray[np.int32], Floats]:
    """As `exact_top`, or approximately where that is worth it; scores are exact in any case.

    Args:
        users, items, k, seen, progress: as of `exact_top`.
        seed: of the index and the users that try it.
        threads: of faiss; 0 = one for each core.
        say: takes a line on how it was done, where the catalogue is large.
    """
    rows = len(items) - 1
    if rows <= LARGE or len(users) * rows <= _PAYS * _building(rows):
        return exact_top(users, items, k, seen, progress)
    try:
        import faiss
    except ImportError:
        say(f"each of {rows:,} items is looked at for each user: pip install 'pocketrec[ann]', and faiss looks at some")
        return exact_top(users, items, k, seen, progress)
    faiss.omp_set_num_threads(threads or os.cpu_count() or 1)
    index = build_index(faiss, items, seed)
    sample = np.random.default_rng(seed).choice(len(users), min(_SAMPLE, len(users)), replace=False)
    probes, recall = fewest_lists(index, users[np.sort(sample)], items, min(_DEPTH, k, rows))
    told = f"faiss: {probes} of {index.nlist} lists have {recall:.3f} of the exact best items of {len(sample)} users"
    if recall < RECALL:
        say(f"{told}, and {RECALL} is wanted: each item is looked at")
        return exact_top(users, items, k, seen, progress)
    say(told)
    index.nprobe = probes
    return looked_up(index, users, items, k, seen, progress)


def _lists(rows: int) -> int:
    return max(1, round(2 * rows**0.5))


def _building(rows: int) -> int:
    """Products of a row that building an index takes, as looking at all rows takes one each for a user."""
    lists = _lists(rows)
    return lists * (_ITERATIONS * min(rows, _POINTS * lists) + rows)


def build_index(faiss: Any, items: Floats, seed: int) -> Any:
    """An index of faiss over the rows from 1 on, which it numbers from 0."""
    rows, size = items[1:], items.shape[1]
    count = _lists(len(rows))
    index = faiss.index_factory(size, f"IVF{count},Flat", faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.niter, index.cp.max_points_per_centroid = seed, _ITERATIONS, _POINTS
    index.cp.min_points_per_centroid = 1  # fewer are no reason for a warning on the terminal
    index.train(np.ascontiguousarray(rows))
    index.add(np.ascontiguousarray(rows))
    return index


def fewest_lists(index: Any, users: Floats, items: Floats, depth: int) -> tuple[int, float]:
    """How many lists hold `RECALL` of the exact best items of some users, or the most; and the share that they hold."""
    exact, _ = exact_top(users, items, depth)
    most = max(1, int(_MOST * index.nlist))
    probes = min(_FEWEST, most)
    while True:
        index.nprobe = probes
        _, found = index.search(users, depth)
        recall = float(np.mean([np.isin(best, row + 1).mean() for best, row in zip(exact, found, strict=True)]))
        if recall >= RECALL or probes == most:
            return probes, recall
        probes = min(2 * probes, most)


def looked_up(
    index: Any, users: Floats, items: Floats, k: int, seen: Sequence[NDArray[Any]] | None = None,
    progress: Progress = no_progress,
) -> tuple[NDArray[np.int32], Floats]:
    """As `exact_top`, of the items in the lists that the index looks into; exactly where these hold fewer than k."""
    rows, scores = np.zeros((len(users), k), np.int32), np.full((len(users), k), -np.inf, np.float32)
    gone = [np.zeros(0, np.int64)] * len(users) if seen is None else [np.unique(part) for part in seen]
    counts = np.array([len(part) for part in gone], np.int64)
    by_count = np.argsort(counts, kind="stable")  # so that users with a long history are asked for more together
    short = []
    for begin in range(0, len(users), _USERS):
        part = by_count[begin : begin + _USERS]
        asked = min(k + int(counts[part].max()), len(items) - 1)
        values, found = index.search(np.ascontiguousarray(users[part]), asked)
        found = np.where(found < 0, 0, found + 1).astype(np.int32)  # -1: the lists hold fewer
        for user, own, value in zip(part.tolist(), found, values, strict=True):
            left = np.flatnonzero((own > 0) & ~np.isin(own, gone[user]))
            left = left[np.lexsort((own[left], -value[left]))][:k]
            rows[user, : len(left)], scores[user, : len(left)] = own[left], value[left]
            if len(left) < min(k, len(items) - 1 - counts[user]):
                short.append(user)
        progress(min(begin + _USERS, len(users)), len(users), "users")
    if short:
        rows[short], scores[short] = exact_top(users[short], items, k, [gone[user] for user in short])
    return rows, scores
