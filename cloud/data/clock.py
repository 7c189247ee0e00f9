# SPDX-License-Identifier: Apache-2.0
"""What a log's times are: those of a clock, times with a start of their own, or an order.

A bonus for repeats may look at them where differences are periods, and at the moment of asking where a device's clock
can give it. This module knows nothing about models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pocketrec.cloud.data.sequences import Sequences
from pocketrec.device.base.times import per_second

_UNITS: Final = {1.0: "seconds", 1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}
_STEP: Final = 2.0  # of whole numbers, a mean difference of neighbouring events up to which they count events


@dataclass(frozen=True)
class Clock:
    """What times may be used for."""

    unit: float
    """Units of a second, where they are Unix times; 0 where they are not."""
    periods: bool
    """Whether differences say how much time has passed, and not how many events."""
    first: float
    """Earliest time."""
    last: float
    """Latest time."""

    def in_words(self) -> str:
        """One line about what the bonus for repeats looks at; empty for Unix seconds, the usual case."""
        if self.unit:
            name = _UNITS[self.unit]
            return "" if self.unit == 1 else f"times are Unix {name}, of which the bonus for repeats makes seconds"
        span = f"times ({self.first:,.12g} to {self.last:,.12g}) are no clock's"
        if self.periods:
            return f"{span}: the bonus for repeats cannot look at the moment of asking, only at periods between events"
        return f"{span} but an order: the bonus for repeats cannot look at them"


def clock_of(log: Sequences) -> Clock:
    """Find out what the times of a log are.

    Unix times are told by their size, all of them, from 1973 to 2128. Whole numbers count events where a user's
    neighbouring events are two apart or less on average, or where nearly every event has a time of its own and these
    lie as closely, as rows that are numbered through do.
    """
    times = log.timestamps
    if not len(times):
        return Clock(0.0, False, 0.0, 0.0)
    first, last = float(times.min()), float(times.max())
    unit = per_second(first)
    if unit and unit == per_second(last):
        return Clock(unit, True, first, last)
    return Clock(0.0, not _counts_events(log, last - first), first, last)


def _counts_events(log: Sequences, span: float) -> bool:
    times = log.timestamps
    if (times != np.floor(times)).any():
        return False
    ends = log.offsets[1:] - 1
    within = float((times[ends] - times[log.offsets[:-1]]).sum())
    if within <= _STEP * (log.events - len(log)):
        return True
    return span <= _STEP * log.events and len(np.unique(times)) > 0.9 * log.events
