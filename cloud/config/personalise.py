"""Table ``[personalise]``: naive fine-tuning, and the recipe where there is no rehearsal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from pocketrec.cloud.config.checks import at_least, known, one_of, rate, require
from pocketrec.device.base.choices import Choice, Table

#: Names that a configuration may hold; a test compares them with what is there.
WAYS: Final = ("partial", "head", "whole", "patch", "patch_parallel")
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
    """The recipe followed where rehearsal is off, and by the column ``naive`` of every evaluation."""

    way: str = "partial"
    """Which tensors the device trains: partial (last GRU + FC), head (FC), whole (all but the item table), patch or
    patch_parallel (adapters after, or beside, every frozen layer)."""
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

    CHOICES: ClassVar = {"optimizer": DEVICE_OPTIMIZERS}

    def __post_init__(self) -> None:
        one_of(self.way, WAYS, "personalise", "way")
        known(self.optimizer, DEVICE_OPTIMIZERS, "personalise", "optimizer")
        require(rate(self.learning_rate), "personalise", "learning_rate must be above 0 and finite")
        at_least(1, self, "personalise", "passes")
        at_least(0, self, "personalise", "proximal", "minimum_events")
