# SPDX-License-Identifier: Apache-2.0
"""Simple systems at the cut-off, tuned on an earlier cut of the past (K9): popularity, recent or not, item-kNN, ALS.

MAP@10 of one list a user at the earlier cut decides; nothing after the true cut-off is looked at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.baselines.als import Als
from pocketrec.cloud.baselines.baseline import Baseline, Past
from pocketrec.cloud.baselines.neighbours import ItemNeighbours
from pocketrec.cloud.baselines.popularity import Popularity, RecentPopularity
from pocketrec.cloud.config.baselines import RecentPopularityConfig
from pocketrec.cloud.config.candidates import AlsOptions
from pocketrec.cloud.config.knn import KnnConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.evaluation.at_cut import AtCut, ScoresOf
from pocketrec.cloud.metrics.lists import list_values

_MEASURE: Final = "map@10"
#: What is tried; the first of each is the default of a run.
GRID: Final[dict[str, tuple[type[Baseline], Sequence[Any]]]] = {
    "popularity": (Popularity, [None]),
    "recent_popularity": (RecentPopularity, [RecentPopularityConfig(share) for share in (0.1, 0.03, 0.3)]),
    "item_knn": (ItemNeighbours, [
        KnnConfig(neighbours, shrink, decay, tune=False)
        for decay in (1.0, 0.99) for neighbours, shrink in ((200, 20.0), (50, 20.0), (500, 100.0))
    ]),
    "als": (Als, [
        dataclasses.replace(AlsOptions(), regularization=regularization, alpha=alpha)
        for regularization, alpha in ((0.05, 2.0), (5.0, 8.0), (20.0, 8.0), (5.0, 2.0))
    ]),
}  # fmt: skip


def tuned(
    earlier: Sequences, later: Sequences, items: int, seed: int, progress: Progress = no_progress
) -> dict[str, tuple[Any, float]]:
    """The best options of each baseline, and its MAP@10 at the earlier cut.

    Args:
        earlier: events before the earlier cut.
        later: those between it and the cut-off.
        items: N.
        seed: of everything random.
        progress: called with the settings tried.
    """
    cut = AtCut.of(earlier, later.select(earlier.find_all(later.users) >= 0))
    found: dict[str, tuple[Any, float]] = {}
    total, done = sum(len(options) for _, options in GRID.values()), 0
    for name, (kind, every) in GRID.items():
        for options in every:
            if len(every) == 1:
                figure = float("nan")
            else:
                lists = cut.lists(scores_of(fitted(kind, options, earlier, items, seed), cut), items + 1)
                figure = float(list_values(lists, cut.relevant)[_MEASURE].mean()) if len(cut) else 0.0
            if name not in found or figure > found[name][1]:
                found[name] = options, figure
            done += 1
            progress(done, total, "settings of baselines")
    return found


def fitted(kind: type[Baseline], options: Any, before: Sequences, items: int, seed: int) -> Baseline:
    """A baseline on the events before a cut."""
    made = kind.fit(options, Past(before, items, seed))
    assert made is not None  # no line of `GRID` switches one off
    return made


def scores_of(baseline: Baseline, cut: AtCut) -> ScoresOf:
    """A baseline's scores of the users at a cut."""

    def scores(part: slice) -> NDArray[Any]:
        return np.asarray(baseline.many(cut.histories[part], cut.users[part].tolist()))

    return scores


