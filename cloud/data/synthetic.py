# SPDX-License-Identifier: Apache-2.0
"""A seeded synthetic log with known structure: the embedded default of the demo and of the tests.

`simulate` gives the log together with what it was drawn from, so that tests can check that the structure is there;
`generate` gives the log alone. This module knows nothing about files; `synthetic_files` writes the log in the shapes of
the public logs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketrec.cloud.data.log import Labels, Log, ReadReport
from pocketrec.device.base.errors import ConfigError

#: First second of the log (2024-01-01 UTC) and its length in seconds (50 days).
BEGIN, SPAN = 1_704_067_200, 50 * 86_400
_SESSION, _SESSION_SECONDS = 6, 1_200  # mean number of a session's events, and the longest time it takes
_BACK = 10  # a repeated item is one of the last ten
_LATE = 0.05  # new users begin this share of the span after the last drift


@dataclass(frozen=True)
class Simulation:
    """A synthetic log, and what it was drawn from."""

    log: Log
    """The events, in the order of time."""
    category: np.ndarray
    """int64 (items,): category of each item, by place in `log.items.values`."""
    successor: np.ndarray
    """int64 (categories,): the category that most often follows; one cycle through all categories."""
    routines: np.ndarray
    """int64 (eras, users, routine): each user's own order of items in each era; eras are parted by the drifts."""
    era: np.ndarray
    """int64 (n,): era of each event."""


@dataclass(frozen=True)
class Shape:
    """What `simulate` draws from; its docstring says what is what."""

    seed: int = 1
    """Everything follows from it and the sizes."""
    users: int = 280
    """Number of users."""
    items: int = 400
    """Number of items; some of a large catalogue may get no event."""
    events: int = 130
    """Mean number of events of a user that is there from the start; from .7 to 1.3 of it."""
    categories: int = 20
    """Number of categories."""
    favourites: int = 4
    """Favourite categories of a user."""
    follow: float = 0.8
    """In [0, 1]."""
    repeat: float = 0.12
    """In [0, 1]."""
    routine: int = 5
    """At least 2."""
    routine_share: float = 0.5
    """In [0, 1)."""
    routine_keep: float = 0.82
    """In [0, 1)."""
    zipf: float = 1.2
    """Exponent of popularity, at least 0."""
    drifts: Sequence[float] = (0.49, 0.7)
    """Ascending, in (0, 1)."""
    new_users: float = 0.06
    """In [0, 1)."""

    def __post_init__(self) -> None:
        _require(self.users >= 1 and self.events >= 1 and self.categories >= 2,
                 "users and events at least 1, categories at least 2")  # fmt: skip
        _require(self.items >= self.categories and 2 <= self.routine <= self.items,
                 "items >= categories, and routine from 2 to items")  # fmt: skip
        _require(1 <= self.favourites <= self.categories, "favourites from 1 to categories")
        _require(0 <= self.follow <= 1 and 0 <= self.repeat <= 1 and self.zipf >= 0,
                 "follow and repeat in [0, 1], zipf at least 0")  # fmt: skip
        _require(0 <= self.routine_share < 1 and 0 <= self.routine_keep < 1 and 0 <= self.new_users < 1,
                 "routine_share, routine_keep and new_users in [0, 1)")  # fmt: skip
        _require(self.start <= 1, "routine_keep larger for so large a routine_share")
        moments = np.asarray(self.drifts, np.float64)
        _require(bool(np.all(np.diff(np.concatenate([[0], moments, [1]])) > 0)), "drifts ascending, in (0, 1)")

    @property
    def start(self) -> float:
        """Probability that a routine begins, so that its share holds in the long run."""
        return (1 - self.routine_keep) * self.routine_share / (1 - self.routine_share)


def simulate(shape: Shape | None = None) -> Simulation:
    """Draw a log.

    What is in it:

    - Catalogue: `items` items in `categories` categories of equal size. Popularity: inside a category the item of rank
      r is drawn in proportion to r ** -zipf.
    - Taste: each user has `favourites` categories, drawn so that some categories are in favour with more users.
    - A common habit, which a global model can learn: after an item of category c the next comes from `successor[c]`
      with probability `follow`, else from one of the user's favourites.
    - Repeat consumption: with probability `repeat` the item is instead one of the user's last ten.
    - A habit of each user's own, which only the user's own events show: a routine, an order of `routine` items. About
      `routine_share` of the events run through it: a run begins at its first item and continues to the next (after the
      last, to the first) with probability `routine_keep`. The items of a routine are unrelated to taste and category.
    - Drift: at each of the moments `drifts` (shares of the time span) every user adopts a new routine, and one
      favourite is replaced. A model of the time before cannot know them; the user's first events after it tell.
      The defaults suit a cut-off at the .7 quantile and an earlier one, for rehearsal, at .7 of that.
    - Sessions: events come in sessions of about six within twenty minutes, over 50 days.
    - New users: a share `new_users` have events after the last drift only.

    Args:
        shape: sizes, shares and seed; None = the defaults.
    """
    shape = shape or Shape()
    users, events, categories, routine = shape.users, shape.events, shape.categories, shape.routine
    moments = np.asarray(shape.drifts, np.float64)
    rng = np.random.default_rng(shape.seed)
    everyone = np.arange(users)
    catalogue = _Catalogue(rng, shape.items, categories, shape.zipf)
    times = _times(rng, users, events, shape.new_users, float(moments[-1]) if len(moments) else 0.0)  # (users, most)
    most = times.shape[1]
    eras = np.where(np.isfinite(times), np.searchsorted(moments, times, "right"), -1)
    routines = np.stack([catalogue.draw_routines(rng, users, routine) for _ in range(len(moments) + 1)])
    tastes = catalogue.draw_favourites(rng, users, shape.favourites)
    history = np.zeros((users, most), np.int64)
    current = tastes[:, 0].copy()  # (users,) category of the last item
    place = np.full(users, -1)  # (users,) place in the routine, -1 outside
    for step in range(most):
        era = eras[:, step]
        drifted = np.flatnonzero((era > eras[:, step - 1]) & (era >= 0)) if step else everyone[:0]
        tastes[drifted, rng.integers(0, shape.favourites, len(drifted))] = rng.integers(0, categories, len(drifted))
        place[drifted] = -1
        inside = rng.random(users) < np.where(place >= 0, shape.routine_keep, shape.start)
        place = np.where(inside, (place + 1) % routine, -1)
        favourite = tastes[everyone, rng.integers(0, shape.favourites, users)]
        following = rng.random(users) < shape.follow
        chosen = catalogue.draw_items(rng, np.where(following, catalogue.successor[current], favourite))
        if step:
            back = rng.integers(1, min(step, _BACK) + 1, users)
            chosen = np.where(rng.random(users) < shape.repeat, history[everyone, step - back], chosen)
        chosen = np.where(inside, routines[era, everyone, place], chosen)
        history[:, step] = chosen
        current = catalogue.category[chosen]

    real = eras >= 0
    seconds = (BEGIN + times[real] * SPAN).astype(np.int64)
    order = np.argsort(seconds, kind="stable")
    log = Log(
        Labels(_names("u", users), np.repeat(everyone, real.sum(axis=1))[order]),
        Labels(_names("i", shape.items), history[real][order]),
        seconds[order],
        None,
        ReadReport("synthetic", len(order), len(order)),
        Labels(_names("c", categories), catalogue.category[history[real][order]]),
    )
    return Simulation(log, catalogue.category, catalogue.successor, routines, eras[real][order])


def generate(**arguments: Any) -> Log:
    """The log of `simulate`, which says what is in it; arguments as there, also as plain TOML values.

    Raises:
        ConfigError: an argument is unknown, or has a wrong type or value.
    """
    known = {field.name: field.default for field in dataclasses.fields(Shape)}
    for name, value in arguments.items():
        if name not in known:
            raise ConfigError(f"unknown key data.synthetic.{name}: the keys here are {', '.join(known)}")
        default = known[name]
        kind = list | tuple if isinstance(default, tuple) else int | float if isinstance(default, float) else int
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ConfigError(f"data.synthetic.{name} must be of the form {default!r}, not {value!r}: correct it")
    return simulate(Shape(**arguments)).log


class _Catalogue:
    """Items, their categories and popularity."""

    def __init__(self, rng: np.random.Generator, items: int, categories: int, zipf: float) -> None:
        self.category = rng.permutation(np.arange(items) % categories)
        cycle = rng.permutation(categories)
        self.successor = np.empty(categories, np.int64)
        self.successor[cycle] = np.roll(cycle, -1)
        self._by_category = np.argsort(self.category, kind="stable")
        sizes = np.bincount(self.category, minlength=categories)
        first = np.cumsum(sizes) - sizes
        rank = np.arange(items) - np.repeat(first, sizes) + 1
        weight = rank**-zipf
        self._ends = np.cumsum(weight)
        self._upper = self._ends[first + sizes - 1]
        self._lower = np.concatenate([[0.0], self._upper[:-1]])
        self._weight = np.empty(items)
        self._weight[self._by_category] = weight
        self._favour = np.arange(1, categories + 1) ** -0.7

    def draw_items(self, rng: np.random.Generator, categories: np.ndarray) -> np.ndarray:
        """int64 (n,): an item of each of the categories (n,), by popularity."""
        lower, upper = self._lower[categories], self._upper[categories]
        place = np.searchsorted(self._ends, lower + rng.random(len(categories)) * (upper - lower), "right")
        chosen: np.ndarray = self._by_category[np.minimum(place, len(self._ends) - 1)]
        return chosen

    def draw_favourites(self, rng: np.random.Generator, users: int, size: int) -> np.ndarray:
        """int64 (users, size): different categories for each user."""
        return _draw_sets(rng, self._favour, users, size)

    def draw_routines(self, rng: np.random.Generator, users: int, size: int) -> np.ndarray:
        """int64 (users, size): different items for each user, popular ones somewhat more often."""
        return _draw_sets(rng, np.sqrt(self._weight), users, size)


def _draw_sets(rng: np.random.Generator, weights: np.ndarray, rows: int, size: int) -> np.ndarray:
    """int64 (rows, size): draws without replacement, in random order (Gumbel top-k), a thousand rows at a time."""
    parts = []
    for begin in range(0, rows, 1000):
        keys = np.log(weights) + rng.gumbel(size=(min(1000, rows - begin), len(weights)))
        parts.append(rng.permuted(np.argsort(-keys, axis=1)[:, :size], axis=1))
    return np.concatenate(parts)


def _times(rng: np.random.Generator, users: int, events: int, new_users: float, last_drift: float) -> np.ndarray:
    """float64 (users, most): ascending times as shares of the span, inf where a user has no more events."""
    new = rng.random(users) < new_users
    begin = np.where(new, last_drift + _LATE * (1 - last_drift), 0.0)[:, None]
    lengths = rng.integers(int(events * 0.7), int(events * 1.3) + 1, users)
    lengths = np.maximum(1, np.where(new, lengths * (1 - begin[:, 0]), lengths).astype(np.int64))
    most = int(lengths.max())
    width = _SESSION_SECONDS / SPAN
    sessions = np.maximum(1, lengths // _SESSION)
    starts = begin + (1 - begin - width) * rng.random((users, int(sessions.max())))
    chosen = (rng.random((users, most)) * sessions[:, None]).astype(np.int64)
    times = np.take_along_axis(starts, chosen, axis=1) + width * rng.random((users, most))
    times[np.arange(most) >= lengths[:, None]] = np.inf
    return np.sort(times, axis=1)


def _names(letter: str, count: int) -> np.ndarray:
    names = np.empty(count, dtype=object)
    names[:] = [f"{letter}{number:05d}" for number in range(count)]
    return names


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(f"[data.synthetic] make {message}")
