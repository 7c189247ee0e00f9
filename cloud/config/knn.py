"""Table ``[baselines.knn]``: the baseline item-kNN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pocketrec.cloud.config.checks import at_least, require


@dataclass(frozen=True)
class KnnConfig:
    """The baseline item-kNN of every evaluation (`pocketrec.cloud.baselines.neighbours`)."""

    neighbours: int = 100
    """Most similar items kept for each item, itself included; 0 = no such baseline."""
    shrink: float = 10.0
    """Term added under the cosine, which damps similarities that rest on few users."""
    decay: float = 0.9
    """Weight of an event of the history relative to the next one; 1 = all alike."""

    SPACE: ClassVar[dict[str, Any]] = {
        "neighbours": [20, 50, 100, 200, 500],
        "shrink": [0.0, 5.0, 10.0, 20.0, 50.0, 100.0],
        "decay": {"low": 0.4, "high": 1.0},
    }

    def __post_init__(self) -> None:
        at_least(0, self, "baselines.knn", "neighbours", "shrink")
        require(0 < self.decay <= 1, "baselines.knn", "decay must lie in (0, 1]")
