# SPDX-License-Identifier: Apache-2.0
"""Table ``[baselines]``: which simple systems every evaluation compares with, and the table of those that there are."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from pocketrec.cloud.config.checks import require
from pocketrec.cloud.config.knn import KnnConfig
from pocketrec.device.base.choices import Choice, Table
from pocketrec.device.base.errors import ConfigError


@dataclass(frozen=True)
class BaselineChoice(Choice):
    """One baseline; its `target` is a `pocketrec.cloud.baselines.baseline.Baseline`."""

    label: str = ""
    """Its name in tables and reports; "" = the name in the configuration."""
    section: str = ""
    """Where its options stand; "" = in the table of its name below ``[baselines]``."""


_OURS: Final = "pocketrec.cloud.baselines"

#: Every baseline by its name in ``[baselines] judged`` and in metrics.json, in the order of tables and reports.
BASELINES: Final = Table(
    "baselines.judged",
    {
        "popularity": BaselineChoice(
            f"{_OURS}.popularity:Popularity", "the items with most events before the cut-off", label="Popular items"
        ),
        "recent_popularity": BaselineChoice(
            f"{_OURS}.popularity:RecentPopularity", "the items with most events among the last before the cut-off",
            "pocketrec.cloud.config.baselines:RecentPopularityConfig", label="Recently popular items",
        ),
        "als": BaselineChoice(
            f"{_OURS}.als:Als", "implicit-feedback ALS; popular items for users that it has not seen",
            "pocketrec.cloud.config.candidates:AlsOptions", label="ALS",
            section="candidates.als",
        ),
        "item_knn": BaselineChoice(
            f"{_OURS}.neighbours:ItemNeighbours", "items like those of the user's history, by cosine over users",
            "pocketrec.cloud.config.knn:KnnConfig", label="Item-kNN", section="baselines.knn",
        ),
        "recent": BaselineChoice(
            f"{_OURS}.recent:RecentItems", "the user's own items, the latest first", label="Recently used items"
        ),
    },
    "pocketrec.baselines",
)  # fmt: skip


@dataclass(frozen=True)
class RecentPopularityConfig:
    """The baseline recent popularity."""

    share: float = 0.1
    """Share of the events before the cut-off that are counted, the latest ones; 1 = all, which is `popularity`."""

    SPACE: ClassVar[dict[str, Any]] = {"share": {"low": 0.002, "high": 0.5, "log": True}}

    def __post_init__(self) -> None:
        require(0 < self.share <= 1, "baselines.recent_popularity", "share must lie in (0, 1]")


@dataclass(frozen=True)
class BaselinesConfig:
    """Simple systems that every evaluation compares with (`pocketrec.cloud.baselines`). ALS has the options of
    ``[candidates.als]``, whose candidate sets come from the same factors."""

    judged: list[str] = field(default_factory=list)
    """Names of the baselines that are judged; empty = every one that there is."""
    knn: KnnConfig = field(default_factory=KnnConfig)
    """Item-kNN."""
    recent_popularity: RecentPopularityConfig = field(default_factory=RecentPopularityConfig)
    """Recent popularity."""
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Options of baselines that installed packages add, by their name."""

    CHOICES: ClassVar = {"judged": BASELINES}

    def __post_init__(self) -> None:
        for name in [*self.judged, *self.options]:
            BASELINES[name]
        require(len(set(self.judged)) == len(self.judged), "baselines", "judged names a baseline twice")
        for name in self.options:
            require(name not in BASELINES.own, "baselines", f"options.{name}: {name} has a table of its own")
            baseline_options(self, name)

    @property
    def beside_knn(self) -> BaselinesConfig:
        """All but item-kNN, whose options were a section of their own before there was this one: for keys."""
        return dataclasses.replace(self, knn=KnnConfig())

    def names(self) -> tuple[str, ...]:
        """The baselines that are judged, in the order of the table."""
        return tuple(name for name in BASELINES if not self.judged or name in self.judged)


def baseline_options(config: BaselinesConfig, name: str) -> Any:
    """The options of a baseline that has them in ``[baselines]``; None where it has none.

    Raises:
        ConfigError: a key is unknown, or a value is not allowed.
    """
    if name == "recent_popularity":
        return config.recent_popularity
    options = BASELINES[name].options_class()
    given = config.options.get(name, {})
    if options is None:
        require(not given, "baselines", f"options.{name}: {name} has no options")
        return None
    try:
        return options(**given)
    except TypeError as error:
        raise ConfigError(f"[baselines] options.{name}: {error}") from None


def label_of(name: str) -> str:
    """What tables and reports call a baseline; the name itself of one that is not installed here."""
    choice = BASELINES.choices().get(name)
    return (choice.label if isinstance(choice, BaselineChoice) else "") or name
