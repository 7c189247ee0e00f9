# SPDX-License-Identifier: Apache-2.0
"""Table ``[search]``: random search before the cut-off."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from pocketrec.cloud.config.checks import at_least, require

#: System that can be searched -> the sections of the configuration that shape it; other baselines have their own.
SECTIONS: Final = {"global": ("model", "train"), "als": ("candidates.als",), "item_knn": ("baselines.knn",)}


@dataclass(frozen=True)
class SearchConfig:
    """Random search (`pocketrec search`), judged before the cut-off; shapes no run."""

    quantile: float = 0.9
    """Share of the events before the cut-off that trials learn from; the rest judges them."""
    users: int = 1000
    """Users that judge (all, where there are fewer); 0 = all."""
    space: dict[str, Any] = field(default_factory=dict)
    """What is tried: key -> list of choices, or a range such as ``{low = 0.1, high = 0.7}``, with ``log = true`` for
    one that is uniform in the logarithm. Keys of model and train are for the global model, of candidates.als for ALS,
    of baselines.knn for item-kNN; a system without any has a space that comes with it (`SPACE` of its sections)."""

    def __post_init__(self) -> None:
        require(0 < self.quantile < 1, "search", "quantile must lie in (0, 1)")
        at_least(0, self, "search", "users")
