"""Popularity, item-kNN and ALS on the clients' training events, in the form of scores of all items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.baselines.baselines import popularity_scores
from pocketrec.cloud.baselines.neighbours import fit_neighbours
from pocketrec.cloud.candidates.als import fit_als
from pocketrec.cloud.federated.pfedrec.config import PFedRecRun
from pocketrec.cloud.federated.pfedrec.data import Split
from pocketrec.cloud.federated.pfedrec.evaluation import Scorer


def baselines(config: PFedRecRun, split: Split, progress: Progress = no_progress) -> dict[str, Scorer]:
    """Fit every baseline.

    Args:
        config: [candidates.als] for ALS, [baselines.knn] for item-kNN (none where it has no neighbours).
        split: the clients.
        progress: called with the alternations of ALS.
    """
    before, items = split.sequences(), split.items
    popular = popularity_scores(items + 1)[1:]
    found: dict[str, Scorer] = {"popularity": lambda first, last: np.tile(popular, (last - first, 1))}
    if config.baselines.knn.neighbours:
        neighbours = fit_neighbours(config.baselines.knn, before, items)

        def by_neighbours(first: int, last: int) -> NDArray[np.float32]:
            return np.stack([neighbours.scores(before.of(user)[0])[1:] for user in range(first, last)])

        found["item-kNN"] = by_neighbours
    als = fit_als(config.candidates.als, before, items, config.seed, config.resources.threads, progress)
    found["ALS"] = lambda first, last: als.user_factors[first:last] @ als.item_factors[1:].T
    return found
