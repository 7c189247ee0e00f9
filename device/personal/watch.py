# SPDX-License-Identifier: Apache-2.0
"""Whether personal weights have ranked worse than the global ones for long: a sequential test that never ends.

The guard decides before weights are used; this looks at what they did since. Each new event was ranked by both before
it was learned, so that event t gives a paired difference d_t in [-1, 1] of reciprocal ranks, personal less global. For
each bet b of `BETS` a value is kept that bets against the personal weights and is never below 1 before a bet:

    S_t = max(1, S_{t-1}) (1 - b d_t),      alarm where the mean of the S over the bets reaches `AVERAGE_RUN`

As long as the personal weights in use are, at each event, expected to be no worse than the global ones, 1 - b d_t has
an expectation of at most 1, whatever the differences look like and however they depend on the past; so the sum of such
products over all starting times, which the S are below, is an e-detector (Shin, Ramdas and Rinaldo, "E-detectors: a
nonparametric framework for sequential change detection", NEJSDS 2024, which has this form as the e-CUSUM), and false
alarms are on average at least `AVERAGE_RUN` ranked events apart. Nothing has to be assumed of the distribution, and the
differences of a good year are no credit that a later bad month would first have to use up. Equal ranks change nothing.

After an alarm the global weights are used, and the guard may choose at most a lower rung of `RUNGS` at its next
trainings. The cap rises by one rung after `RECOVERY` ranked events without another alarm; events at which the global
weights are in use count only where no other rung is left. This module knows nothing about models, files and events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

#: Ranked events between two false alarms, on average at least.
AVERAGE_RUN: Final = 500
#: Shares of the value that are bet; small ones find a small loss, large ones a large loss sooner.
BETS: Final = (0.25, 0.5, 0.75, 0.95)
#: Largest shares of the personal weights that the guard may choose.
RUNGS: Final = (0.0, 0.25, 0.5, 1.0)
#: Ranked events without an alarm after which the guard may choose the next larger share.
RECOVERY: Final = 200

_BEGINNING: Final = (1.0,) * len(BETS)


@dataclass(frozen=True)
class Watch:
    """What is known of the personal weights since they are used."""

    values: tuple[float, ...] = _BEGINNING
    """The S of each bet, above 0."""
    most: float = 1.0
    """Largest share of the personal weights that the guard may choose, one of `RUNGS`."""
    since: int = 0
    """Events that counted since `most` was changed."""

    @property
    def evidence(self) -> float:
        """Mean of the values: how strongly the ranked events speak against the personal weights; 1 = not at all."""
        return sum(self.values) / len(self.values)

    @property
    def alarm(self) -> bool:
        """Whether the personal weights have been worse for long."""
        return self.evidence >= AVERAGE_RUN

    def after(self, differences: Sequence[float]) -> Watch:
        """The watch after more events, up to the first alarm.

        Args:
            differences: reciprocal rank by the weights in use less that by the global ones, each in [-1, 1], in the
                order of the events.
        """
        watch = self
        for difference in differences:
            if watch.alarm:
                break
            values = tuple(max(1.0, s) * (1.0 - b * difference) for s, b in zip(watch.values, BETS, strict=True))
            watch = replace(watch, values=values, since=watch.since + 1)
            if watch.most < RUNGS[-1] and watch.since >= RECOVERY:
                watch = replace(watch, most=min(rung for rung in RUNGS if rung > watch.most), since=0)
        return watch

    def returned(self, share: float) -> Watch:
        """The watch after an alarm about weights of that share: it begins again, and the guard may choose less."""
        lower = [rung for rung in RUNGS if rung < min(share, self.most)]
        return Watch(most=max(lower, default=RUNGS[0]))

    def anew(self) -> Watch:
        """The watch of another model: what is known of the old weights says nothing; the cap stays."""
        return replace(self, values=_BEGINNING)
