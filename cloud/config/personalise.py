"""Table ``[personalise]``: naive fine-tuning, and the recipe where there is no rehearsal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pocketrec.cloud.config.checks import at_least, one_of, rate, require

#: Names that a configuration may hold; a test compares them with what is there.
WAYS: Final = ("partial", "head", "whole", "patch", "patch_parallel")
DEVICE_OPTIMIZERS: Final = ("sgd", "adagrad", "adam")


@dataclass(frozen=True)
class PersonaliseConfig:
    """The recipe followed where rehearsal is off, and by the column ``naive`` of every evaluation."""

    way: str = "partial"
    """Which tensors the device trains: partial (last GRU + FC), head (FC), whole (all but the item table), patch or
    patch_parallel (adapters after, or beside, every frozen layer)."""
    optimizer: str = "adagrad"
    """sgd, adagrad or adam."""
    learning_rate: float = 0.02
    """Rate of every step."""
    passes: int = 10
    """Passes over the user's windows."""
    proximal: float = 0.0
    """Strength of the pull to the global weights."""
    minimum_events: int = 1
    """With fewer events to learn from, the global model is left alone."""

    def __post_init__(self) -> None:
        one_of(self.way, WAYS, "personalise", "way")
        one_of(self.optimizer, DEVICE_OPTIMIZERS, "personalise", "optimizer")
        require(rate(self.learning_rate), "personalise", "learning_rate must be above 0 and finite")
        at_least(1, self, "personalise", "passes")
        at_least(0, self, "personalise", "proximal", "minimum_events")
