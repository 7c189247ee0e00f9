# SPDX-License-Identifier: Apache-2.0
"""What this person comes back to: a bonus for items of the person's own history, the recent ones most.

A global model forgets a person's habits as soon as they leave its window, and it has never seen those formed after
the cut-off. A continuous cache (Grave, Joulin and Usunier, ICLR 2017) over the history that only the device has gives
them back without any training. With a_j = events since event j (0 for the latest) and s_j = seconds from it to the
moment of asking (s_0 for the latest), an item's score is raised by

    strength * max(0, 1 + slope * log(1 + n)) * (log(1 + 100 r_i e^(headroom d_i)) + follows * log(1 + 100 q_i))
    n   = events of the history,  d_i = the best score of all that is ranked less the item's own
    r_i = sum over the events j of item i of  decay^a_j (1 + a_j)^-power ((60 + s_0) / (60 + s_j))^time_power
    q_i = sum over the events j of item i that came right after the item of the latest event of  (1 + a_j)^-1/2

so that the item of the latest event gains 4.6 strength or more, and an item that never occurred gains nothing. With
decay = 1 an item's weight falls with a power of its age, as the odds that something once seen is needed again do
(Anderson and Schooler, Psychological Science 1991); q is the person's own table of what follows what. Asked after a
pause, the events of before the pause are nearly of one age: so a clock that is wrong, or times that are all the same,
only take the last factor away. With headroom h, what the model thinks of an item counts by 1 - strength * h among
items far from the top: the bonus moves an item that the model does not expect, and hardly one that it ranks first
anyway, so that fewer good rankings are upset. This module knows nothing about models; whether a log repeats at all is
for the rehearsal to find out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.base.fields import Above, AtLeast, AtMost, check
from pocketrec.device.base.times import in_unit_of, per_second

SHARPNESS = 100.0
SECONDS = 60.0  # under which two events count as of one time
_NEGLIGIBLE = 1e-6  # share of the latest event's weight under which older events are passed over


@dataclass(frozen=True)
class Repeats:
    """How strongly a history raises its own items; the table ``repeats`` of recipe.json."""

    strength: Annotated[float, AtLeast(0)] = 0.0
    """Bonus for each nat of log(1 + 100 r); 0 = off."""
    decay: Annotated[float, Above(0), AtMost(1)] = 0.8
    """Weight of an event relative to the next one, in (0, 1]."""
    power: Annotated[float, AtLeast(0)] = 0.0
    """Exponent with which an event's weight falls with its age, at least 0."""
    follows: Annotated[float, AtLeast(0)] = 0.0
    """Bonus for items that directly followed earlier events of the latest item, a share of `strength`, at least 0."""
    time_power: Annotated[float, AtLeast(0)] = 0.0
    """Exponent with which an event's weight falls with the seconds since, at least 0; 0 = times are not looked at, as
    where the log has none, but an order."""
    slope: float = 0.0
    """Change of the strength for each e-fold of 1 + the history's events, as a share of `strength`."""
    headroom: Annotated[float, AtLeast(0), AtMost(1)] = 0.0
    """Exponent with which the bonus grows with how far an item's score lies below the best, in [0, 1]; 0 = scores are
    not looked at."""

    def __post_init__(self) -> None:
        check(self, "repeats")

    def times(self, share: float) -> Repeats:
        """The same with `share` of the strength."""
        return replace(self, strength=self.strength * share)

    def strength_after(self, events: int) -> float:
        """The strength after a history of so many events, at least 0."""
        return self.strength * max(0.0, 1.0 + self.slope * math.log1p(events)) if self.slope else self.strength

    def bonus(self, rows: Array, gaps: Array | None = None, scores: Array | None = None) -> tuple[Array, Array]:
        """The bonus after a history.

        Args:
            rows: int32 [n], oldest first, no 0.
            gaps: float64 [n], seconds from each event to the moment of asking (`gaps_at`); None = times are not known.
            scores: float32 [N + 1] of all rows, for `headroom`; None = all alike.

        Returns:
            Item rows int32 [m], ascending, each once, and their bonus float32 [m]; all other items have none.
        """
        items, recency, followed = self._sums(rows, gaps)
        below = np.zeros(len(items))
        if self.headroom and scores is not None:
            below = float(scores[1:].max()) - scores[items].astype(np.float64)  # (m,)
        return items, self._raised(recency, followed, below, len(rows))

    def _sums(self, rows: Array, gaps: Array | None) -> tuple[Array, Array, Array | None]:
        """Item rows int32 [m], ascending, and r and q of each, float64 [m]; q is None where it does not count."""
        latest = rows[max(0, len(rows) - self._reach(len(rows))) :]
        items, place = np.unique(latest, return_inverse=True)
        age = np.arange(len(latest) - 1, -1, -1)  # (n,), events since
        weight = self.decay**age * (1.0 + age) ** -self.power  # (n,)
        if self.time_power and gaps is not None:
            since = SECONDS + gaps[len(gaps) - len(latest) :]  # (n,)
            weight *= (since[-1] / since) ** self.time_power
        recency = np.bincount(place, weight, minlength=len(items))  # (m,)
        followed = None
        if self.follows:
            after = np.flatnonzero(latest[:-1] == latest[-1]) + 1  # events after the item of the latest event
            followed = np.bincount(place[after], (1.0 + age[after]) ** -0.5, minlength=len(items))  # (m,)
        return items.astype(np.int32), recency, followed

    def _raised(self, recency: Array, followed: Array | None, below: Array, events: int) -> Array:
        """The bonus float32 [m] of items whose scores lie `below` the best, float64 [m]."""
        if self.headroom:
            raised = np.logaddexp(0.0, np.log(SHARPNESS * recency) + self.headroom * below)  # no overflow
        else:
            raised = np.log1p(SHARPNESS * recency)
        if followed is not None:
            raised += self.follows * np.log1p(SHARPNESS * followed)
        result: Array = (self.strength_after(events) * raised).astype(np.float32)
        return result

    def _reach(self, events: int) -> int:
        """How many of the latest events count: older ones weigh less than `_NEGLIGIBLE`."""
        reach = float(events)
        if self.decay < 1:
            reach = min(reach, math.ceil(math.log(_NEGLIGIBLE) / math.log(self.decay)))
        if self.power > 1:  # else more than a million
            reach = min(reach, math.ceil(_NEGLIGIBLE ** (-1 / self.power)))
        return int(reach)

    def add_to(self, scores: Array, candidates: Array, rows: Array, gaps: Array | None = None) -> Array:
        """Scores float32 [c] of candidate rows int32 [c] with the bonus after the history `rows`; see `bonus`.

        The best score is that of the candidates.
        """
        if not self.strength or not len(rows):
            return scores
        items, recency, followed = self._sums(rows, gaps)
        place = np.searchsorted(items, candidates).clip(max=len(items) - 1)
        own = items[place] == candidates
        below = np.zeros(len(items))
        if self.headroom and len(scores):
            below[place[own]] = float(scores.max()) - scores[own].astype(np.float64)
        bonus = self._raised(recency, followed, below, len(rows))  # (m,)
        raised: Array = scores + np.where(own, bonus[place], np.float32(0))
        return raised

    def add_to_catalogue(self, scores: Array, rows: Array, gaps: Array | None = None) -> None:
        """Raise the scores float32 [N + 1] of all rows in place, after the history `rows`; see `bonus`."""
        if self.strength and len(rows):
            items, bonus = self.bonus(rows, gaps, scores)
            scores[items] += bonus


def gaps_at(times: Array, now: float) -> Array:
    """Seconds from each event to the moment `now`, which is not earlier than the latest one.

    Args:
        times: float64 [n], not decreasing, in the log's unit: Unix seconds, or milliseconds, microseconds or
            nanoseconds, which their size tells. Where they are no clock's (a start of their own), no clock can say
            when one is asked: that counts as the latest event's time, and the gaps are in the log's unit.
        now: Unix time in any of these units.
    """
    latest = float(times[-1]) if len(times) else 0.0
    unit = per_second(latest)
    asked = max(in_unit_of(now, latest), latest) if unit else latest
    gaps: Array = (asked - times) / (unit or 1.0)
    return gaps
