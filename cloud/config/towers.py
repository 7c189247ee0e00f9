# SPDX-License-Identifier: Apache-2.0
"""Table ``[model.towers]``: options of backbone ``towers``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pocketrec.cloud.config.checks import at_least, require


@dataclass(frozen=True)
class TowersOptions:
    """UserNet of backbone ``towers``."""

    hidden: int = 128
    """Units of the layer between the profile and the user embedding."""
    hidden_dropout: float = 0.0
    """Dropout of that layer's output, in training only."""

    SPACE: ClassVar[dict[str, Any]] = {"hidden": [64, 128, 256], "hidden_dropout": [0.0, 0.2, 0.4]}
    """What `pocketrec search` tries where ``[search.space]`` names nothing."""

    def __post_init__(self) -> None:
        at_least(1, self, "model.towers", "hidden")
        require(0 <= self.hidden_dropout < 1, "model.towers", "hidden_dropout must lie in [0, 1)")
