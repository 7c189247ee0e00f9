# SPDX-License-Identifier: Apache-2.0
"""Table ``[compare]``: ways to personalise side by side."""

from __future__ import annotations

from dataclasses import dataclass, field

from pocketrec.cloud.config.checks import LATER, known, rate, require
from pocketrec.cloud.config.personalise import DEVICE_OPTIMIZERS, WAYS


@dataclass(frozen=True)
class CompareConfig:
    """Ways to personalise side by side (`pocketrec compare`), each with the recipe of a rehearsal of its own. Its grid
    is that of [rehearse] but for ways, optimisers and rates. Shapes no run."""

    ways: list[str] = field(default_factory=lambda: list(WAYS.own))
    """Ways to personalise."""
    optimizers: list[str] = field(default_factory=lambda: list(DEVICE_OPTIMIZERS))
    """Device optimisers, each with every way."""
    learning_rates: dict[str, list[float]] = field(
        default_factory=lambda: {"sgd": [0.2, 1.0], "adagrad": [0.005, 0.02], "adam": [0.001, 0.005]}
    )
    """Rates by optimiser: what is much for one is nothing for another."""
    federated: bool = field(default=False, metadata=LATER)
    """Also what federated rounds make of the shared model ([federate]), beside training in the cloud."""

    def __post_init__(self) -> None:
        require(bool(self.ways and self.optimizers), "compare", "ways and optimizers must not be empty")
        for way in self.ways:
            known(way, WAYS, "compare", "ways")
        for optimizer in self.optimizers:
            known(optimizer, DEVICE_OPTIMIZERS, "compare", "optimizers")
            rates = self.learning_rates.get(optimizer, [])
            require(bool(rates) and all(map(rate, rates)), "compare",
                     f"learning_rates.{optimizer} must be a list of rates above 0")
