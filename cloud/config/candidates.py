# SPDX-License-Identifier: Apache-2.0
"""Table ``[candidates]``: the candidate sets; and the table of their sources."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from pocketrec.cloud.config.checks import at_least, require
from pocketrec.cloud.config.section import Section
from pocketrec.device.base.choices import Choice, Table, imported


@dataclass(frozen=True)
class SourceChoice(Choice):
    """A source of candidate sets."""

    spark: str = ""
    """``package.module:attribute`` of the same source on Spark, for ``resources.engine = "spark"``; "" = the local one
    works there too."""
    needs: tuple[str, ...] = ()
    """Stages of a run whose results it reads, beside prepare."""
    outside: str = ""
    """``package.module:function`` from its options to what it reads outside of the run directory, as plain values (such
    as a file's size and time of change): other values make the sets again. Called before a run does anything; raises
    `DataError` where that is not there. "" = it reads nothing outside."""

    def outside_of(self, options: Any) -> Any:
        """What `outside` says of these options; () where there is nothing."""
        if not self.outside:
            return ()
        return imported(self.outside)(options)


CANDIDATES: Final = Table(
    "candidates.method",
    {
        "als": SourceChoice(
            "pocketrec.cloud.candidates.als:AlsCandidates",
            "the items of highest score by implicit-feedback ALS (Hu, Koren, Volinsky 2008)",
            "pocketrec.cloud.config.candidates:AlsOptions",
            spark="pocketrec.cloud.spark.candidates:SparkAlsCandidates",
        ),
        "popularity": SourceChoice(
            "pocketrec.cloud.candidates.popularity:PopularityCandidates", "the same popular items for everybody"
        ),
        "embedding": SourceChoice(
            "pocketrec.cloud.candidates.embedding:EmbeddingCandidates",
            "the items of highest inner product with the user's embedding at the cut-off, of the whole catalogue",
            needs=("train",),
        ),
        "mix": SourceChoice(
            "pocketrec.cloud.candidates.mix:MixCandidates", "several sources, each with its share of the places",
            "pocketrec.cloud.config.candidates:MixOptions",
            needs=("train",),
        ),
        "file": SourceChoice(
            "pocketrec.cloud.candidates.file:FileCandidates",
            "sets of another program: user, item, score in a file",
            "pocketrec.cloud.config.candidates:FileOptions",
            outside="pocketrec.cloud.candidates.file:identity",
        ),
        "none": SourceChoice(
            "pocketrec.cloud.candidates.none:NoCandidates",
            "no sets: devices search the whole catalogue by themselves (`export.retrieve`), and fetch no candidates",
        ),
    },
    "pocketrec.candidates",
)


@dataclass(frozen=True)
class AlsOptions:
    """ALS, for candidate sets and for the baseline of the same name."""

    factors: int = 64
    """Size of the factors."""
    regularization: float = 0.05
    """Weight of the L2 penalty."""
    alpha: float = 2.0
    """Weight of an observed count (Hu, Koren, Volinsky 2008, c = 1 + alpha r)."""
    iterations: int = 15
    """Number of alternations."""
    head: int = 100_000
    """Sets are taken from so many of the most popular items, for of an item of few events ALS knows little and ranking
    costs users x items; 0 = from all."""

    SPACE: ClassVar[dict[str, Any]] = {
        "factors": [16, 32, 64, 128],
        "regularization": {"low": 0.01, "high": 10.0, "log": True},
        "alpha": {"low": 0.5, "high": 50.0, "log": True},
        "iterations": [10, 15, 30],
    }

    def __post_init__(self) -> None:
        at_least(1, self, "candidates.als", "factors", "iterations")
        at_least(0, self, "candidates.als", "regularization", "alpha", "head")


@dataclass(frozen=True)
class MixOptions:
    """Candidate sets of several sources."""

    shares: dict[str, Any] = field(default_factory=lambda: {"embedding": 0.5, "als": 0.3, "popularity": 0.2})
    """Source -> its share of the places; sources are als, embedding and popularity, with their default options."""

    def __post_init__(self) -> None:
        known = ("als", "embedding", "popularity")
        require(bool(self.shares), "candidates.mix", "shares names no source")
        for name, share in self.shares.items():
            require(name in known, "candidates.mix", f"{name!r} is not one of {', '.join(known)}")
            number = isinstance(share, int | float) and not isinstance(share, bool)
            require(number and 0 < share < math.inf, "candidates.mix", f"the share of {name} must be a number above 0")


@dataclass(frozen=True)
class FileOptions:
    """Candidate sets that another program has made, such as one of a company's own."""

    path: str = ""
    """A file with columns user, item and score (larger is better): CSV, TSV or Parquet, also packed as logs may be.
    Users and items that the log does not have before the cut-off are left out and counted; of a user's items the k of
    highest score are taken; users without a row get popular items."""
    user: str = "user"
    """Column of the user id."""
    item: str = "item"
    """Column of the item id."""
    score: str = "score"
    """Column of the score: a number."""

    def __post_init__(self) -> None:
        require(bool(self.user and self.item and self.score), "candidates.file", "user, item and score name columns")


@dataclass(frozen=True)
class CandidatesConfig(Section):
    """Candidate sets, one of K items for each user."""

    method: str = "als"
    """Where they come from; the options of a source stand in ``[candidates.NAME]``."""
    k: int = 100
    """Items in a set."""

    SECTION: ClassVar[str] = "candidates"
    CHOICES: ClassVar = {"method": CANDIDATES}
    MOVED: ClassVar = {
        name: f"als.{name}" for name in ("factors", "regularization", "alpha", "iterations", "head")
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, self, "candidates", "k")
        require(self.method != "file" or bool(self.options.path), "candidates.file", "method file needs `path`")

    @property
    def options(self) -> Any:
        """Options of the chosen source; None where it has none."""
        return self.options_of(self.method)

    @property
    def als(self) -> AlsOptions:
        """Options of ALS, which is also a baseline whatever the candidates come from."""
        options: AlsOptions = self.options_of("als")
        return options

    def outside(self) -> Any:
        """What the chosen source reads outside of a run directory, as plain values; () where that is nothing.

        Raises:
            DataError: it is not there.
        """
        choice = self.choice(self.method)
        return choice.outside_of(self.options) if isinstance(choice, SourceChoice) else ()

    def has_spark(self) -> bool:
        """Whether the chosen source has a target of its own on Spark."""
        choice = self.choice(self.method)
        return isinstance(choice, SourceChoice) and bool(choice.spark)

    def needs(self) -> tuple[str, ...]:
        """Stages whose results the chosen source reads, beside prepare."""
        choice = self.choice(self.method)
        return choice.needs if isinstance(choice, SourceChoice) else ()
