"""Table ``[baselines]``: what every evaluation compares with."""

from __future__ import annotations

from dataclasses import dataclass, field

from pocketrec.cloud.config.knn import KnnConfig


@dataclass(frozen=True)
class BaselinesConfig:
    """The baselines of every evaluation, the options of each in a table of its own. ALS has those of
    ``[candidates.als]``."""

    knn: KnnConfig = field(default_factory=KnnConfig)
