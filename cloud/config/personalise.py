# SPDX-License-Identifier: Apache-2.0
"""Table ``[personalise]``: naive fine-tuning, and the recipe where there is no rehearsal; and the table of ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from pocketrec.cloud.config.checks import at_least, known, rate, require
from pocketrec.device.base.choices import Choice, Table
from pocketrec.device.contract.names import RANKER_WAY

#: Ways over a model's layers.
WAYS: Final = Table(
    "personalise.way",
    {
        "partial": Choice("pocketrec.cloud.ways.parts:Partial", "last layer of the body, and the head: GRU and FC"),
        "head": Choice("pocketrec.cloud.ways.parts:Head", "the last layer alone, such as FC"),
        "whole": Choice("pocketrec.cloud.ways.parts:Whole", "all but the item table"),
        "patch": Choice("pocketrec.cloud.ways.patch:Serial", "adapters after frozen layers"),
        "patch_parallel": Choice("pocketrec.cloud.ways.patch:Parallel", "adapters beside frozen layers"),
    },
    "pocketrec.ways",
)
#: Those, and the way that trains a ranker and no layer.
DEVICE_WAYS: Final = Table(
    "personalise.way",
    {
        **WAYS.own,
        RANKER_WAY: Choice("pocketrec.cloud.ways.ranker:Ranker", "the ranker of the second stage, ranknet, alone"),
    },
    "pocketrec.ways",
)
DEVICE_OPTIMIZERS: Final = Table(
    "personalise.optimizer",
    {
        "sgd": Choice("pocketrec.export.graph.optimizers:SGD", "w <- w - rate g"),
        "adagrad": Choice(
            "pocketrec.export.graph.optimizers:Adagrad", "Duchi et al. 2011, with accumulators that start at zero"
        ),
        "adam": Choice("pocketrec.export.graph.optimizers:Adam", "Kingma and Ba 2015"),
    },
)


@dataclass(frozen=True)
class PersonaliseConfig:
    """The recipe followed where rehearsal is off, and by ``naive`` and ``naive_all`` of every evaluation."""

    way: str = "partial"
    """Which tensors the device trains: partial (last GRU + FC), head (FC), whole (all but the item table), patch or
    patch_parallel (adapters after, or beside, every frozen layer), or ranker (that of a second stage; partial where
    none ships)."""
    optimizer: str = "adagrad"
    """Rule of a device's update."""
    learning_rate: float = 0.02
    """Rate of every step."""
    passes: int = 10
    """Passes over the user's windows."""
    proximal: float = 0.0
    """Strength of the pull to the global weights."""
    minimum_events: int = 1
    """With fewer events to learn from, the global model is left alone."""

    CHOICES: ClassVar = {"way": DEVICE_WAYS, "optimizer": DEVICE_OPTIMIZERS}

    def __post_init__(self) -> None:
        known(self.way, DEVICE_WAYS, "personalise", "way")
        known(self.optimizer, DEVICE_OPTIMIZERS, "personalise", "optimizer")
        require(rate(self.learning_rate), "personalise", "learning_rate must be above 0 and finite")
        at_least(1, self, "personalise", "passes")
        at_least(0, self, "personalise", "proximal", "minimum_events")
