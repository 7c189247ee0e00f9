# SPDX-License-Identifier: Apache-2.0
"""Negatives of each target's own: other items of its category that people had in the same week (K4).

What the samplers of `pocketrec.cloud.training.samplers` draw is shared by all targets of a step. Here each target has
its own, drawn uniformly from the items that anybody had in the target's week and category, less those that its user had
in them. Where nothing is left, from the items of the category less all that the user had of it; where nothing is left
of that either, from all items less the user's own; and a user who had every item has none. This module knows events and
categories, no models and no losses.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.config.training import CategoryWeekOptions
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.device.base.errors import ConfigError

#: Where negatives come from, the nearest first; `OwnNegatives.events` counts events by these names.
LEVELS: Final = ("category_week", "category", "any", "none")
_SEED: Final = 4  # beside an epoch's seed: not the numbers that the epoch's order is made of


class CategoryWeek:
    """What the line ``category_week`` of the table of samplers stands for.

    Args:
        options: how many, and how long a week is.
    """

    def __init__(self, options: CategoryWeekOptions) -> None:
        self.options = options

    def over(self, sequences: Sequences, categories: NDArray[np.int32] | None) -> OwnNegatives:
        """The negatives of a log.

        Args:
            sequences: the events, of which targets are.
            categories: int32 [N + 1], category of each row; 0 = none, which is a category too.

        Raises:
            ConfigError: there are no categories.
        """
        if categories is None:
            raise ConfigError('train.sampler = "category_week" wants categories of the items, and of none here is one '
                              "known: set data.category, or items.path and items.categories")  # fmt: skip
        return OwnNegatives(sequences, categories, self.options.each, self.options.week)


def category_week(options: CategoryWeekOptions, _counts: NDArray[np.int64]) -> CategoryWeek:
    """The line ``category_week`` of the table of samplers."""
    return CategoryWeek(options)


class OwnNegatives:
    """Draws negatives for events of a log.

    Args:
        sequences: the log; events of row 0 are nobody's negatives.
        categories: int [N + 1], of each row.
        each: negatives n of a target, drawn with replacement.
        week: length of a week, in the unit of the log's times.
    """

    def __init__(self, sequences: Sequences, categories: NDArray[np.int32], each: int, week: float) -> None:
        self.each, items = each, sequences.items
        weeks = np.unique(np.floor(sequences.timestamps / week), return_inverse=True)[1]
        category = np.asarray(categories, np.int64)[items]
        both = np.unique(weeks * (int(category.max(initial=0)) + 1) + category, return_inverse=True)[1]
        users, known = sequences.event_users(), items > 0
        self._pools = [_Pools(group, users, items, known) for group in (both, category, np.zeros_like(category))]
        self._level = np.full(len(items), len(self._pools))  # of each event, place in LEVELS
        for level in reversed(range(len(self._pools))):
            self._level[self._pools[level].left() > 0] = level
        count = np.bincount(self._level[known], minlength=len(LEVELS))
        self.events: dict[str, int] = dict(zip(LEVELS, count.tolist(), strict=True))
        """How many events, as targets, have their negatives from where."""

    def draw(self, targets: NDArray[np.int64], seed: list[int]) -> NDArray[np.int32]:
        """Negatives of targets.

        Args:
            targets: places of events in the log, int64 of any shape; -1 where there is none.
            seed: equal seeds give equal negatives.

        Returns:
            Rows int32 [..., n]; 0 where there is no target, or no negative for it.
        """
        flat = targets.reshape(-1)
        chance = np.random.default_rng([*seed, _SEED]).random((len(flat), self.each))
        found = np.zeros((len(flat), self.each), np.int32)
        level = np.where(flat >= 0, self._level[flat], len(self._pools))
        for number, pools in enumerate(self._pools):
            places = np.flatnonzero(level == number)
            found[places] = pools.draw(flat[places], chance[places])
        return found.reshape(*targets.shape, self.each)


class _Pools:
    """The items of each group of events, and of each event those that its user has not had in its group.

    Args:
        groups: int64 (n,), group of each event, from 0.
        users: int64 (n,), of each event.
        items: int32 (n,), rows.
        known: bool (n,): events of other items take no part.
    """

    def __init__(
        self, groups: NDArray[np.int64], users: NDArray[np.int64], items: NDArray[np.int32], known: NDArray[np.bool_]
    ) -> None:
        width, count = int(items.max(initial=0)) + 1, int(groups.max(initial=0)) + 1
        pairs = np.unique(groups[known] * width + items[known])  # ascending: by group, then by row
        self._items = (pairs % width).astype(np.int32)
        self._starts = np.searchsorted(pairs, np.arange(count + 1) * width)
        # `own` is a user in a group; its items have places in the pool of the group.
        owns, self._own_of = np.unique(users * count + groups, return_inverse=True)
        self._group = owns % count
        rows = np.unique(self._own_of[known] * width + items[known])
        own = rows // width
        place = np.searchsorted(pairs, self._group[own] * width + rows % width) - self._starts[self._group[own]]
        self._firsts = np.searchsorted(own, np.arange(len(owns) + 1))
        self._left = np.diff(self._starts)[self._group] - np.diff(self._firsts)
        # How many other items lie before each of a user's own: ascending, so that a search tells how many own items lie
        # before the r-th other one.
        others = place - (np.arange(len(rows)) - self._firsts[own])
        self._wide = len(self._items) + 1
        self._others = own * self._wide + others

    def left(self) -> NDArray[np.int64]:
        """Items that there are to draw from, of each event, int64 (n,)."""
        return self._left[self._own_of]

    def draw(self, events: NDArray[np.int64], chance: NDArray[np.float64]) -> NDArray[np.int32]:
        """Rows int32 [k, n] for events int64 [k] that have items left, by numbers [k, n] in [0, 1)."""
        own = self._own_of[events][:, np.newaxis]
        place = np.minimum((chance * self._left[own]).astype(np.int64), self._left[own] - 1)
        passed = np.searchsorted(self._others, own * self._wide + place, side="right") - self._firsts[own]
        return self._items[self._starts[self._group[own]] + place + passed]
