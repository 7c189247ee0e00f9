# SPDX-License-Identifier: Apache-2.0
"""Table ``[rehearse]``: the grid of recipes that is tried before the cut-off."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pocketrec.cloud.config.checks import LATER, at_least, known, one_of, rate, require
from pocketrec.cloud.config.personalise import DEVICE_OPTIMIZERS, DEVICE_WAYS


@dataclass(frozen=True)
class RehearseConfig:
    """The grid of recipes tried before the cut-off, on a second, earlier cut."""

    enabled: bool = True
    """Off: the bundle ships `PersonaliseConfig` as its recipe."""
    quantile: float = 0.8
    """Share of the events before the cut-off that lie before the earlier cut."""
    users: int = 200
    """Users in the sample (all, where there are fewer)."""
    ways: list[str] = field(default_factory=lambda: ["partial", "head"])
    """Ways to personalise. With `ranker` among them, and a ranker that ships, all recipes are judged by the order of
    both stages; where none ships, it is left out."""
    optimizers: list[str] = field(default_factory=lambda: ["adagrad"])
    """Device optimisers."""
    learning_rates: list[float] = field(default_factory=lambda: [0.0005, 0.005, 0.02])
    """Rates. Of six trainings and more (ways x optimisers x rates x pulls x targets) the best four alone are tried on
    all users, after a first round on every fourth."""
    passes: list[int] = field(default_factory=lambda: [3, 10])
    """Numbers of passes; each is read off one run of the largest."""
    proximals: list[float] = field(default_factory=lambda: [0.05])
    """Strengths of the pull to the global weights."""
    targets: list[str] = field(default_factory=lambda: ["later", "all"])
    """Events that the device trains on: later (those after the cut-off) or all (its own earlier ones too)."""
    harm: float = field(default=5.0, metadata=LATER)
    """Users that should gain for each one harmed: the price of harm with which the bonus is fitted follows from it.
    A recipe by which fewer than two gain for each one harmed (fewer than this, where it is below 2) is not shipped."""
    fit: bool = field(default=True, metadata=LATER)
    """Fit the bonus for repeats to the rehearsed users; the strengths, powers, follows, time_powers and decays below
    are then where the search begins. Off: each of them is a recipe of the grid."""
    fit_users: int = field(default=1000, metadata=LATER)
    """Users that it is fitted to (all, where there are fewer); nobody is trained for that."""
    repeats: list[float] = field(default_factory=lambda: [0.0, 2.0, 4.0])
    """Strengths of the bonus for items of the person's own history (`pocketrec.device.contract.repeats`), with every
    training of the grid and, above 0, without any; only 0 counts where seen items are masked."""
    powers: list[float] = field(default_factory=lambda: [1.0, 1.5])
    """Exponents with which the weight of an event in that bonus falls with the number of events since."""
    follows: list[float] = field(default_factory=lambda: [0.5])
    """With each of these: strengths of the bonus for what followed the latest item before, relative to the other."""
    time_powers: list[float] = field(default_factory=lambda: [0.5])
    """And, with (1 + events since)^-1/2, exponents with which it falls with the seconds since; tried only where
    differences of the log's times are periods: not for an order 1, 2, 3. Empty: times are not looked at."""
    neighbours: int = field(default=50, metadata=LATER)
    """Most similar items of each item (item-kNN) that the bundle brings, added to the network's scores where the
    rehearsal finds that this helps; 0 = never."""
    item_rows: list[float] = field(default_factory=list, metadata=LATER)
    """Rates of personal item rows (dual personalisation) that are tried on top of the recipe that was chosen; it gets
    those that surely gain, or none. Empty: they are not tried. Never where seen items are masked."""
    decays: list[float] = field(default_factory=list)
    """Or weights of an event relative to the next one, each in (0, 1): better on no log so far."""

    def __post_init__(self) -> None:
        require(0 < self.quantile < 1, "rehearse", "quantile must lie in (0, 1)")
        require(not self.enabled or all((self.ways, self.optimizers, self.learning_rates, self.passes,
                                          self.proximals, self.targets, self.repeats)), "rehearse",
                 "no list of the grid may be empty")
        at_least(1, self, "rehearse", "users", "fit_users")
        at_least(0, self, "rehearse", "neighbours")
        require(1 <= self.harm < math.inf, "rehearse", "harm must be at least 1")
        for name, table in (("ways", DEVICE_WAYS), ("optimizers", DEVICE_OPTIMIZERS)):
            for value in getattr(self, name):
                known(value, table, "rehearse", name)
        for value in self.targets:
            one_of(value, ("later", "all"), "rehearse", "targets")
        require(all(map(rate, self.item_rows)), "rehearse", "item_rows must be rates above 0 and finite")
        require(all(map(rate, self.learning_rates)), "rehearse", "learning_rates must be above 0 and finite")
        require(all(count >= 1 for count in self.passes), "rehearse", "passes must be at least 1")
        for name in ("proximals", "repeats", "powers", "follows", "time_powers"):
            strengths = getattr(self, name)
            require(all(0 <= value < math.inf for value in strengths), "rehearse", f"{name} must not be negative")
        require(all(0 < decay < 1 for decay in self.decays), "rehearse", "decays must lie in (0, 1)")
        require(bool(self.decays or (self.powers and self.follows)), "rehearse",
                 "powers and follows, or decays, must not be empty")
