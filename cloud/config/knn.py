# SPDX-License-Identifier: Apache-2.0
"""Table ``[baselines.knn]``: the baseline item-kNN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pocketrec.cloud.config.checks import LATER, at_least, require


@dataclass(frozen=True)
class KnnConfig:
    """The baseline item-kNN of every evaluation (`pocketrec.cloud.baselines.neighbours`), tuned before the cut-off."""

    neighbours: int = 100
    """Most similar items kept for each item; 0 = no such baseline."""
    shrink: float = 10.0
    """Term added under the cosine, which damps similarities that rest on few users."""
    decay: float = 0.9
    """Weight of an event of the history relative to the next one; 1 = all alike."""
    own: bool = field(default=True, metadata=LATER)
    """An item is its own most similar one, for logs on which people come back at once to what they had."""
    tune: bool = field(default=True, metadata=LATER)
    """The values above are where a short search before the cut-off begins (`pocketrec.cloud.search.neighbours`); off:
    they are taken as they stand."""

    SPACE: ClassVar[dict[str, Any]] = {
        "neighbours": [20, 50, 100, 200, 500],
        "shrink": [0.0, 5.0, 10.0, 20.0, 50.0, 100.0],
        "decay": {"low": 0.4, "high": 1.0},
        "own": [True, False],
    }

    def __post_init__(self) -> None:
        at_least(0, self, "baselines.knn", "neighbours", "shrink")
        require(0 < self.decay <= 1, "baselines.knn", "decay must lie in (0, 1]")


def options_in_words(options: Mapping[str, Any]) -> str:
    """``decay 0.8, shrink 5, 200 neighbours, an item its own among them``."""
    own = "an item its own among them" if options["own"] else "none its own"
    return f"decay {options['decay']:g}, shrink {options['shrink']:g}, {options['neighbours']} neighbours, {own}"
