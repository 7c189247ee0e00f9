# SPDX-License-Identifier: Apache-2.0
"""The bonus for repeats is fitted: continuous numbers, a price for harm, judged on users that it was not fitted to.

For a price c the bonus sought is the one with the largest mean over users of

    gain in MRR@20 - c x harm,    harm = loss / .02, at least 0 and at most 1

(a user who loses .01 is half harmed, so that no user counts who loses nothing). A dear price gives a mild bonus, which
gains less and harms fewer. Which price is right is found out: at each of `PRICES` the search is made for every fold of
users without these users, which are then judged. The cheapest price wins at which, so judged, the aimed number of users
gain for each one harmed, with one standard error to spare and as much less as the future is poorer (`COMES`). A price
that costs more than `MOST_GIVEN` of the gain that is to be had is too dear; where none of the others reaches the aim,
the one that comes nearest to it is taken.

Searching is by a seeded sample of the bounded space and the given beginnings, then steps along the coordinates from the
best of them that get shorter (no derivatives: ranks are steps); numbers that are not worth one standard error are left
out. Knows nothing about models.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.metrics.metrics import MARGIN, gained_harmed
from pocketrec.cloud.rehearsal.choose import COMES
from pocketrec.cloud.rehearsal.folds import folds_of
from pocketrec.cloud.rehearsal.words import bonus_in_words
from pocketrec.device.contract.repeats import Repeats

Floats = NDArray[np.float64]

#: Prices tried, in MRR@20 of one user harmed.
PRICES: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
#: Share of the best judged gain that may be given for fewer users harmed.
MOST_GIVEN: Final = 0.25
#: Least and most of each number; strength and decay are searched on a logarithmic scale, `slope` is the change of the
#: strength for each e-fold of the history as a share of that after a history of average length.
BOUNDS: Final = {
    "strength": (0.1, 8.0), "power": (0.0, 2.0), "time_power": (0.0, 1.5), "follows": (0.0, 1.0), "decay": (0.74, 1.0),
    "slope": (-0.25, 0.25), "headroom": (0.0, 0.6),
}  # fmt: skip
_NEUTRAL: Final = {"slope": 0.0, "decay": 1.0, "follows": 0.0}
_HEADROOM: Final = 0.3  # the beginnings are tried with it too
_LOGARITHMIC: Final = ("strength", "decay")
_SAMPLE: Final = 48  # points of the space tried first
_STEPS: Final = (0.25, 0.1, 0.04)  # of a coordinate, as shares of its range
_ROUNDS: Final = 2  # most passes over the coordinates with one step
_CLIMBS: Final = 2  # best points that the steps begin from
_SIMPLER: Final = 1.0  # standard errors that a simpler bonus may be worse (the one-standard-error rule)

Point = tuple[float, ...]
GainsOf = Callable[[Repeats], Floats]


@dataclass(frozen=True)
class Tried:
    """One price."""

    price: float
    """Of one user harmed, in MRR@20."""
    repeats: Repeats
    """The bonus fitted to all users."""
    fitted: Floats
    """[U] gain of each user under it."""
    judged: Floats
    """[U] gain of each user under the bonus fitted to the others: what the fitting is worth."""

    def to_dict(self, aim: float) -> dict[str, Any]:
        """For rehearsal.json."""
        return {
            "price": self.price, "words": bonus_in_words(self.repeats), "repeats": dataclasses.asdict(self.repeats),
            "fitted": _figures(self.fitted), "judged": _figures(self.judged), "reaches": assured(self.judged) >= aim,
        }  # fmt: skip


@dataclass(frozen=True)
class Fitted:
    """What came of the search."""

    tried: tuple[Tried, ...]
    """Every price, the cheapest first."""
    chosen: Tried
    """The one that is taken."""


def assured(gain: Floats) -> float:
    """Users gained for each one harmed to be counted on later: less one standard error of its logarithm, times `COMES`.

    Half a user is added to both, so that none harmed is not without bound.
    """
    gained, harmed = (count + 0.5 for count in gained_harmed(gain))
    return float(COMES * gained / harmed * math.exp(-math.sqrt(1 / gained + 1 / harmed)))


def worth(gain: Floats, price: float) -> Floats:
    """[U] gain of each user less the price of harm."""
    result: Floats = gain - price * np.clip(-gain / (2 * MARGIN), 0.0, 1.0)
    return result


def fit_bonus(
    gains_of: GainsOf,
    users: int,
    *,
    aim: float,
    length: float,
    beginnings: Sequence[Repeats],
    clock: bool,
    seed: int = 1,
    progress: Progress = no_progress,
) -> Fitted:
    """Find the bonus.

    Args:
        gains_of: a bonus -> [U] gain of each rehearsed user.
        users: U, at least 1.
        aim: users that should gain for each one harmed.
        length: mean of log(1 + n) over the users' histories of n events.
        beginnings: what is tried first.
        clock: whether the bonus may look at times.
        seed: of sample and folds.
        progress: called after every price.
    """
    space = _Space(gains_of, length, clock)
    mild = [dataclasses.replace(one, strength=1.0, headroom=_HEADROOM) for one in beginnings]
    points = [space.point(one) for one in (*beginnings, *mild)]
    points += [space.drawn(values) for values in np.random.default_rng(seed).random((_SAMPLE, len(space.names)))]
    folds = folds_of(users, seed) if users > 1 else []
    pools = [list(dict.fromkeys(points)) for _ in range(len(folds) + 1)]  # each learner's own, the last of everyone
    tried = []
    for place, price in enumerate(PRICES):
        judged = np.zeros(users)
        for (others, own), pool in zip(folds, pools[:-1], strict=True):
            judged[own] = space.gain(space.search(pool, others, price))[own]
        best = space.search(pools[-1], np.arange(users), price)
        tried.append(Tried(price, space.repeats(best), space.gain(best), judged))
        progress(place + 1, len(PRICES), "prices of harm")
    return Fitted(tuple(tried), _cheapest(tried, aim))


def _cheapest(tried: Sequence[Tried], aim: float) -> Tried:
    """The cheapest price that reaches the aim, or the one that comes nearest to it; none that is too dear."""
    most = max(one.judged.mean() for one in tried)
    fair = [one for one in tried if one.judged.mean() >= (1 - MOST_GIVEN) * most] if most > 0 else list(tried[:1])
    reached = [one for one in fair if assured(one.judged) >= aim]
    return reached[0] if reached else max(fair, key=lambda one: assured(one.judged))


class _Space:
    """Points in [0, 1]^d that stand for a bonus, each judged once."""

    def __init__(self, gains_of: GainsOf, length: float, clock: bool) -> None:
        self.names = [name for name in BOUNDS if clock or name != "time_power"]
        self.gains_of, self.length = gains_of, length
        self._known: dict[tuple[float, ...], Floats] = {}  # by the rounded numbers: many points have the same
        self._of_point: dict[Point, Floats] = {}

    def gain(self, point: Point) -> Floats:
        if point not in self._of_point:
            numbers = self._numbers(point)
            key = tuple(numbers.values())
            if key not in self._known:
                self._known[key] = self.gains_of(Repeats(**numbers))
            self._of_point[point] = self._known[key]
        return self._of_point[point]

    def repeats(self, point: Point) -> Repeats:
        """The bonus that a point stands for."""
        return Repeats(**self._numbers(point))

    def _numbers(self, point: Point) -> dict[str, float]:
        """Two significant digits each: what is written into the recipe is what was judged."""
        found: dict[str, float] = {}
        for name, share in zip(self.names, point, strict=True):
            low, high = _range(name)
            value = low + share * (high - low)
            found[name] = math.exp(value) if name in _LOGARITHMIC else value
        rising = found["slope"]
        start = max(0.05, 1 - rising * self.length)  # of the strength, where the history is empty
        found["strength"], found["slope"] = found["strength"] * start, rising / start
        rounded = {name: _digits(value, 3 if name == "decay" else 2) for name, value in found.items()}
        return {**rounded, "decay": min(1.0, rounded["decay"])}

    def point(self, repeats: Repeats) -> Point:
        values = dataclasses.asdict(repeats)
        values["strength"], share = repeats.strength * max(0.05, 1 + repeats.slope * self.length), 1.0
        if repeats.slope:
            share = max(0.05, 1 + repeats.slope * self.length)
            values["slope"] = repeats.slope / share
        shares = []
        for name in self.names:
            low, high = _range(name)
            value = math.log(max(values[name], 1e-9)) if name in _LOGARITHMIC else values[name]
            shares.append(min(1.0, max(0.0, (value - low) / (high - low))))
        return tuple(shares)

    def drawn(self, values: Floats) -> Point:
        """A point of the sample; half of the numbers that may be neutral are."""
        point = [float(value) for value in values]
        for place, name in enumerate(self.names):
            if name in _NEUTRAL:
                point[place] = self._neutral(name) if point[place] < 0.5 else 2 * point[place] - 1
        return tuple(point)

    def search(self, pool: list[Point], users: NDArray[np.int64], price: float) -> Point:
        """The best point for some users; it is added to the pool that they began with."""

        @functools.cache
        def value(point: Point) -> float:
            return float(worth(self.gain(point)[users], price).mean())

        ordered = sorted(pool, key=value, reverse=True)[:_CLIMBS]
        best = max((self._climb(point, value) for point in ordered), key=value)
        pool.append(best)
        return self._simplified(best, users, price)

    def _climb(self, point: Point, value: Callable[[Point], float]) -> Point:
        for step in _STEPS:
            for _ in range(_ROUNDS):
                before = point
                for place in range(len(point)):
                    moved = [_moved(point, place, way * step) for way in (1, -1)]
                    point = max([point, *moved], key=value)
                if point == before:
                    break
        return point

    def _simplified(self, point: Point, users: NDArray[np.int64], price: float) -> Point:
        """Without the numbers that it does not need."""
        for name in _NEUTRAL:
            plain = list(point)
            plain[self.names.index(name)] = self._neutral(name)
            lost = worth(self.gain(point)[users], price) - worth(self.gain(tuple(plain))[users], price)
            if len(lost) < 2 or lost.mean() <= _SIMPLER * lost.std(ddof=1) / math.sqrt(len(lost)):
                point = tuple(plain)
        return point

    def _neutral(self, name: str) -> float:
        low, high = _range(name)
        return ((math.log(_NEUTRAL[name]) if name in _LOGARITHMIC else _NEUTRAL[name]) - low) / (high - low)


def _range(name: str) -> tuple[float, float]:
    low, high = BOUNDS[name]
    return (math.log(low), math.log(high)) if name in _LOGARITHMIC else (low, high)


def _moved(point: Point, place: int, by: float) -> Point:
    value = min(1.0, max(0.0, point[place] + by))
    return (*point[:place], value, *point[place + 1 :])


def _digits(value: float, count: int) -> float:
    return float(f"{value:.{count}g}") if abs(value) > 1e-3 else 0.0


def _figures(gain: Floats) -> dict[str, Any]:
    gained, harmed = gained_harmed(gain)
    error = float(gain.std(ddof=1) / math.sqrt(len(gain))) if len(gain) > 1 else None
    return {"mean": float(gain.mean()) if len(gain) else 0.0, "error": error, "gained": gained, "harmed": harmed}
