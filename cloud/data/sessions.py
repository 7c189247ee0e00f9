# SPDX-License-Identifier: Apache-2.0
"""Sessions of a log: when each began, and users' events cut into sessions where they pause.

This module knows nothing about cut-offs.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pocketrec.cloud.data.log import Labels, Log
from pocketrec.device.base.times import per_second


def starts(log: Log) -> np.ndarray:
    """(n,): the time of the first event of each event's session, in the type of the log's times."""
    times = log.timestamps
    first = np.full(len(log.users.values), times.max(initial=0), times.dtype)
    np.minimum.at(first, log.users.codes, times)
    found: np.ndarray = first[log.users.codes]
    return found


def by_gap(log: Log, gap: float) -> Log:
    """The same log with a session in place of each user: ids ``USER#1``, ``USER#2``, ... in the order of time.

    Args:
        log: whose times are Unix times of any unit, or else taken as they stand.
        gap: seconds without an event after which the next one begins another session.
    """
    codes, times = log.users.codes, log.timestamps
    order = np.lexsort((times, codes))
    users, ordered = codes[order], times[order]
    other = np.diff(users, prepend=-1) != 0
    longest = gap * (per_second(float(np.median(times))) or 1.0) if len(times) else 0.0
    begins = other | (np.diff(ordered, prepend=ordered[:1]) > longest)
    session = np.cumsum(begins) - 1  # (n,) in this order
    first = session[np.flatnonzero(other)]  # of each user
    users_of, number = users[begins], np.arange(begins.sum()) - np.repeat(first, np.diff([*first, begins.sum()])) + 1
    ids = [f"{log.users.values[user]}#{place}" for user, place in zip(users_of, number, strict=True)]
    of_event = np.empty(len(order), np.int32)
    of_event[order] = session
    return dataclasses.replace(log, users=Labels(np.array(ids, dtype=object), of_event))
