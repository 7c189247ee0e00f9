# SPDX-License-Identifier: Apache-2.0
"""Counts and times of a cut, which kinds of split and the rehearsal share."""

from __future__ import annotations

import numpy as np

TINY = 1e-9  # so that .3 of 10 events is 3 and not 2.9999999999999996


def quantile_time(timestamps: np.ndarray, quantile: float) -> int | float:
    """The time of the event at a quantile of all events, counted from the earliest; the first that lies after."""
    place = quantile_place(len(timestamps), quantile)
    value: int | float = np.partition(timestamps, place)[place].item()
    return value


def quantile_place(events: int, quantile: float) -> int:
    """Place of the cut-off among so many sorted times."""
    return min(int(events * quantile + TINY), events - 1)


def share_of(lengths: np.ndarray, share: float) -> np.ndarray:
    """int64: the number that is this share of each length, rounded down."""
    return np.floor(lengths * share + TINY).astype(np.int64)


def heads_of(lengths: np.ndarray, quantile: float) -> np.ndarray:
    """int64: events of each user before a cut of its own; at least one."""
    return np.maximum(1, share_of(lengths, quantile))
