"""What this person comes back to: a bonus for items of the person's own history, the recent ones most.

A global model forgets a person's habits as soon as they leave its window, and it has never seen those formed after
the cut-off. A continuous cache (Grave, Joulin and Usunier, ICLR 2017) over the history that only the device has gives
them back without any training. With a_j = events since event j (0 for the latest) and s_j = seconds from it to the
moment of asking (s_0 for the latest), an item's score is raised by

    strength * (log(1 + 100 r_i) + follows * log(1 + 100 q_i))
    r_i = sum over the events j of item i of  decay^a_j (1 + a_j)^-power ((60 + s_0) / (60 + s_j))^time_power
    q_i = sum over the events j of item i that came right after the item of the latest event of  (1 + a_j)^-1/2

so that the item of the latest event gains 4.6 strength or more, and an item that never occurred gains nothing. With
decay = 1 an item's weight falls with a power of its age, as the odds that something once seen is needed again do
(Anderson and Schooler, Psychological Science 1991); q is the person's own table of what follows what. Asked after a
pause, the events of before the pause are nearly of one age: so a clock that is wrong, or times that are all the same,
only take the last factor away. This module knows nothing about models; whether a log repeats at all is for the
rehearsal to find out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.base.fields import Above, AtLeast, AtMost, check

_SHARPNESS = 100.0
_SECONDS = 60.0  # under which two events count as of one time
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
    """Exponent with which an event's weight falls with the seconds since, at least 0; above 0 for logs in Unix seconds
    only. 0 = times are not looked at."""

    def __post_init__(self) -> None:
        check(self, "repeats")

    def times(self, share: float) -> Repeats:
        """The same with `share` of the strength."""
        return replace(self, strength=self.strength * share)

    def bonus(self, rows: Array, gaps: Array | None = None) -> tuple[Array, Array]:
        """The bonus after a history.

        Args:
            rows: int32 [n], oldest first, no 0.
            gaps: float64 [n], seconds from each event to the moment of asking (`gaps_at`); None = times are not known.

        Returns:
            Item rows int32 [m], ascending, each once, and their bonus float32 [m]; all other items have none.
        """
        latest = rows[max(0, len(rows) - self._reach(len(rows))) :]
        items, place = np.unique(latest, return_inverse=True)
        age = np.arange(len(latest) - 1, -1, -1)  # (n,), events since
        weight = self.decay**age * (1.0 + age) ** -self.power  # (n,)
        if self.time_power and gaps is not None:
            since = _SECONDS + gaps[len(gaps) - len(latest) :]  # (n,)
            weight *= (since[-1] / since) ** self.time_power
        recency = np.bincount(place, weight, minlength=len(items))  # (m,)
        raised = np.log1p(_SHARPNESS * recency)
        if self.follows:
            after = np.flatnonzero(latest[:-1] == latest[-1]) + 1  # events after the item of the latest event
            followed = np.bincount(place[after], (1.0 + age[after]) ** -0.5, minlength=len(items))  # (m,)
            raised += self.follows * np.log1p(_SHARPNESS * followed)
        return items.astype(np.int32), (self.strength * raised).astype(np.float32)

    def _reach(self, events: int) -> int:
        """How many of the latest events count: older ones weigh less than `_NEGLIGIBLE`."""
        reach = float(events)
        if self.decay < 1:
            reach = min(reach, math.ceil(math.log(_NEGLIGIBLE) / math.log(self.decay)))
        if self.power > 1:  # else more than a million
            reach = min(reach, math.ceil(_NEGLIGIBLE ** (-1 / self.power)))
        return int(reach)

    def add_to(self, scores: Array, candidates: Array, rows: Array, gaps: Array | None = None) -> Array:
        """Scores float32 [c] of candidate rows int32 [c] with the bonus after the history `rows`; see `bonus`."""
        if not self.strength or not len(rows):
            return scores
        items, bonus = self.bonus(rows, gaps)
        place = np.searchsorted(items, candidates).clip(max=len(items) - 1)
        raised: Array = scores + np.where(items[place] == candidates, bonus[place], np.float32(0))
        return raised

    def add_to_catalogue(self, scores: Array, rows: Array, gaps: Array | None = None) -> None:
        """Raise the scores float32 [N + 1] of all rows in place, after the history `rows`; see `bonus`."""
        if self.strength and len(rows):
            items, bonus = self.bonus(rows, gaps)
            scores[items] += bonus


def gaps_at(times: Array, now: float) -> Array:
    """Time from each event to the moment `now`, which is not earlier than the latest one.

    Args:
        times: float64 [n], not decreasing.
        now: in the same unit.
    """
    gaps: Array = np.maximum(now, times[-1:]) - times
    return gaps
