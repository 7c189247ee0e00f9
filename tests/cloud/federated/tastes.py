# SPDX-License-Identifier: Apache-2.0
"""A log with a known answer: groups of users with tastes of their own, over items of uneven popularity, no repeats."""

from __future__ import annotations

import numpy as np

from pocketrec.cloud.data.log import Labels, Log, ReadReport


def tastes_log(users: int = 300, items: int = 320, events: int = 30, groups: int = 8, seed: int = 1) -> Log:
    """Nine of ten events of a user are items of its group, drawn by popularity; no item comes twice to a user."""
    rng = np.random.default_rng(seed)
    group = np.arange(items) % groups
    popular = 1 / (1 + np.arange(items) // groups) ** 0.7
    chosen = []
    for user in range(users):
        weights = popular * np.where(group == user % groups, 9.0, 1.0 / (groups - 1))
        count = int(rng.integers(events // 2, events * 3 // 2))
        chosen.append(rng.choice(items, count, replace=False, p=weights / weights.sum()))
    codes = np.repeat(np.arange(users), [len(row) for row in chosen])
    times = np.concatenate([np.arange(len(row)) for row in chosen])
    return Log(_names("u", users, codes), _names("i", items, np.concatenate(chosen)), times, None,
               ReadReport("tastes", len(codes), len(codes)))  # fmt: skip


def _names(letter: str, count: int, codes: np.ndarray) -> Labels:
    values = np.empty(count, dtype=object)
    values[:] = [f"{letter}{number:04d}" for number in range(count)]
    return Labels(values, codes.astype(np.int32))
