# SPDX-License-Identifier: Apache-2.0
"""A short search for the options of item-kNN, so that a baseline is not beaten for being badly set.

The past is cut again and judges, as in `pocketrec.cloud.search.search`: the very same positions and measure, nothing
after the cut-off. One option after the other is varied, twice over at most; no value is drawn, so equal logs give
equal options. Similarities are found once for each shrink term, of which the other options are read off.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.baselines.neighbours import ItemNeighbours, fit_neighbours
from pocketrec.cloud.config.knn import KnnConfig, options_in_words
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.search import SearchConfig
from pocketrec.cloud.data.prepared import CloudData
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.search.search import MEASURE, Figures, Slice

#: What is tried, one line after the other, each from the best so far.
AXES: Final[tuple[list[dict[str, Any]], ...]] = (
    [{"own": own} for own in (True, False)],
    [{"decay": decay} for decay in (0.3, 0.5, 0.7, 0.8, 0.9, 1.0)],
    [{"shrink": shrink} for shrink in (0.0, 5.0, 20.0, 100.0)],
    [{"neighbours": neighbours} for neighbours in (20, 50, 100, 200)],
)  # fmt: skip
_ROUNDS: Final = 2
_USERS: Final = 500  # that judge
_POSITIONS: Final = 2000  # that judge, about: fewer users do where they have many events
_CELLS: Final = 5 * 10**7  # scores ranked for a setting, and fewer in a large catalogue
_EVENTS: Final = 5 * 10**6  # that similarities are found of: those of more come from a sample of the users


@dataclass(frozen=True)
class Tuned:
    """What the search found."""

    chosen: KnnConfig
    """The best options, which are to be taken as they stand."""
    tried: list[tuple[KnnConfig, Figures]]
    """All that was tried, the configured options first, with every measure."""
    positions: int
    """Positions that judged."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        tried = [{**_options(config), **{name: figures[name] for name in (MEASURE, "recall@20")}}
                 for config, figures in self.tried]  # fmt: skip
        return {"chosen": _options(self.chosen), "positions": self.positions, "measure": MEASURE, "tried": tried}

    def in_words(self) -> str:
        """One line: what was chosen, and what it was worth."""
        score = {config: figures[MEASURE] for config, figures in self.tried}
        return (
            f"item_knn tuned before the cut-off: {options_in_words(_options(self.chosen))}; {MEASURE} "
            f"{self.tried[0][1][MEASURE]:.4f} as configured, {score[self.chosen]:.4f} tuned "
            f"({len(self.tried)} settings, {self.positions:,} positions)"
        )


def tune_neighbours(config: RunConfig, data: CloudData, progress: Progress = no_progress) -> Tuned:
    """Search the options of item-kNN around the configured ones, which win where nothing is better.

    Args:
        config: of the run; its split, rules of ranking and seed.
        data: what lies before the cut-off.
        progress: called after every setting.

    Raises:
        DataError: the past is too short to be cut again.
    """
    judge = _judge(config, data)
    places = judge.places(1)
    past = _sample(judge.earlier, config.seed)
    wide: dict[float, ItemNeighbours] = {}  # shrink -> similarities; the latest only, for they are large
    figures: dict[KnnConfig, Figures] = {}

    def score(options: KnnConfig) -> float:
        if options not in figures:
            if options.shrink not in wide:
                wide.clear()
                most = dataclasses.replace(options, neighbours=1 + _most(config.baselines.knn), own=True)
                wide[options.shrink] = fit_neighbours(most, past, judge.items)
            scores = places.by_baseline(wide[options.shrink].narrowed(options))
            figures[options] = judge.figures(places, scores, config)
            total = 1 + sum(map(len, AXES))
            progress(len(figures), max(total, len(figures)), "settings of item-kNN")
        return figures[options][MEASURE]

    best = dataclasses.replace(config.baselines.knn, tune=False)
    for _ in range(_ROUNDS):
        begun = best
        for axis in AXES:
            best = max([best, *(dataclasses.replace(best, **values) for values in axis)], key=score)
        if best == begun:
            break
    return Tuned(best, list(figures.items()), len(places.where))


def _judge(config: RunConfig, data: CloudData) -> Slice:
    """The later part of the past, with so many users that a setting is judged on about the wanted positions."""
    most = min(_POSITIONS, _CELLS // (len(data.vocabulary) + 1))
    users = _USERS
    while True:
        judge = Slice(dataclasses.replace(config, search=SearchConfig(users=users)), data)
        count = len(judge.places(1).where)
        if count <= 1.2 * most or users == 1:
            return judge
        users = min(users - 1, max(1, users * most // count))


def _sample(past: Sequences, seed: int) -> Sequences:
    if past.events <= _EVENTS:
        return past
    count = max(1, len(past) * _EVENTS // past.events)
    return past.select(np.random.default_rng(seed).choice(len(past), count, replace=False))


def _most(configured: KnnConfig) -> int:
    return max(configured.neighbours, *(values["neighbours"] for values in AXES[-1]))


def _options(config: KnnConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in ("neighbours", "shrink", "decay", "own")}
