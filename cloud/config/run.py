# SPDX-License-Identifier: Apache-2.0
"""The configuration of a run: frozen dataclasses, read from TOML, checked when made.

A configuration file has one table for each field of `RunConfig` (``[data]``, ``[split]``, ...; each in a module of this
folder) and ``seed`` at the top level. Everything that shapes the result is here and is stored, resolved, in the run
directory; where and how fast it runs (threads, processes) is in `ResourceConfig` and changes figures by rounding at
most.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from pocketrec.cloud.config.baselines import BaselinesConfig
from pocketrec.cloud.config.candidates import CandidatesConfig
from pocketrec.cloud.config.checks import require
from pocketrec.cloud.config.compare import CompareConfig
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.export import ExportConfig, LeanConfig
from pocketrec.cloud.config.federate import FederateConfig
from pocketrec.cloud.config.items import ItemsConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.personalise import PersonaliseConfig
from pocketrec.cloud.config.ranker import RankerConfig
from pocketrec.cloud.config.refit import RefitConfig
from pocketrec.cloud.config.rehearse import RehearseConfig
from pocketrec.cloud.config.resources import ResourceConfig
from pocketrec.cloud.config.search import SearchConfig
from pocketrec.cloud.config.section import to_plain
from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.config.training import PruneConfig, TrainConfig
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract.names import RANKER_WAY, RANKNET

_SEEDS: Final = 2**31  # what every generator of random numbers takes


@dataclass(frozen=True)
class RunConfig:
    """A whole run."""

    seed: int = 1
    """Seed of everything random."""
    data: DataConfig = field(default_factory=lambda: DataConfig(set="synthetic"))
    items: ItemsConfig = field(default_factory=ItemsConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    prune: PruneConfig = field(default_factory=PruneConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)
    candidates: CandidatesConfig = field(default_factory=CandidatesConfig)
    baselines: BaselinesConfig = field(default_factory=BaselinesConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    lean: LeanConfig = field(default_factory=LeanConfig)
    personalise: PersonaliseConfig = field(default_factory=PersonaliseConfig)
    rehearse: RehearseConfig = field(default_factory=RehearseConfig)
    compare: CompareConfig = field(default_factory=CompareConfig)
    federate: FederateConfig = field(default_factory=FederateConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    refit: RefitConfig = field(default_factory=RefitConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    resources: ResourceConfig = field(default_factory=ResourceConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < _SEEDS:
            raise ConfigError(f"seed must lie between 0 and {_SEEDS - 1}, and is {self.seed}")
        if self.lean.enabled and self.split.of_sessions:
            raise ConfigError("[lean] items come with the candidate sets, which sessions have none of: enabled = false")
        if self.candidates.method == "none":
            require(self.export.retrieve > 0, "candidates", "method none needs devices that search the catalogue by "
                    "themselves: set export.retrieve, such as 200")  # fmt: skip
            require(not self.lean.enabled, "candidates", "method none leaves [lean] without its shards: set "
                    "lean.enabled = false, or candidates.method = \"als\"")  # fmt: skip
        if self.may_train_ranker:
            require(self.ranker.kind == RANKNET and self.ranker.inner, "ranker", "the way ranker trains the tensors of "
                    "ranknet, with the inner product in its score: set kind = \"ranknet\" and inner = true, or take "
                    "another way in personalise.way and rehearse.ways")  # fmt: skip
            require(not self.data.privacy, "data", "privacy is not there for the way ranker: its other models have no "
                    "ranker; take another way")  # fmt: skip
            require(not self.lean.enabled, "lean", "enabled = true is not there for the way ranker, whose devices look "
                    "at all items: take another way, or set lean.enabled = false")  # fmt: skip
            require(not self.ranker.transitions, "ranker", "transitions is not there for the way ranker, whose steps "
                    "take user embeddings and no events: set transitions = 0, or take another way")  # fmt: skip
        require(not (self.ranker.transitions and self.lean.enabled), "lean", "enabled = true is not there for a ranker "
                "with transitions, whose table is of all items: set ranker.transitions = 0")  # fmt: skip
        require(not self.data.privacy or self.resources.engine != "spark", "data", "privacy is not there for Spark: "
                "prepare without --engine spark")  # fmt: skip
        if self.model.content and not self.items.path:
            raise ConfigError("[model] content = true wants a table of items: name it with items.path")
        described = self.items.categories or self.items.numbers
        require(not self.model.content or bool(described), "model", "content = true makes embeddings of categories and "
                "numbers: name columns in items.categories or items.numbers")  # fmt: skip

    @property
    def may_train_ranker(self) -> bool:
        """Whether a recipe of the run may train the ranker of a second stage (way ``ranker``)."""
        return RANKER_WAY in (self.personalise.way, *(self.rehearse.ways if self.rehearse.enabled else ()))

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain tables, ready for JSON or TOML."""
        return to_plain(self)
