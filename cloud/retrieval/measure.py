# SPDX-License-Identifier: Apache-2.0
"""One run measured at its cut-off: systems and sources of candidates, one value a user for each figure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.candidates.embedding import embedded_users
from pocketrec.cloud.candidates.mix import mixed
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.data.prepared import load_cloud, load_devices
from pocketrec.cloud.data.split import rehearsal_split
from pocketrec.cloud.evaluation.at_cut import LENGTH, AtCut
from pocketrec.cloud.metrics.lists import list_values
from pocketrec.cloud.rankers.ranker import Ranker
from pocketrec.cloud.rankers.transitions import recent_of
from pocketrec.cloud.retrieval.baselines import GRID, fitted, scores_of, tuned
from pocketrec.cloud.retrieval.sources import GOLD, Kept, Source, kept, ranked, table_sources
from pocketrec.cloud.training.judging import reordered
from pocketrec.device.base.errors import DataError

#: Number of candidates of the system "two stages".
STAGES: Final = "two stages"
_EARLIER: Final = 0.85  # share of the past before the cut that tunes the baselines


@dataclass
class Measured:
    """Figures of one run, a value for each Old user (and of systems, for each New one)."""

    users: list[str]
    """Ids, Old ones first."""
    old: int
    """Number of Old users."""
    systems: dict[str, dict[str, NDArray[np.float64]]] = field(default_factory=dict)
    """System -> measure of lists -> [U]."""
    sources: dict[str, dict[int, Kept]] = field(default_factory=dict)
    """Source -> candidates -> what it keeps, for Old users."""
    costs: dict[str, dict[str, float]] = field(default_factory=dict)
    """Source -> CPU milliseconds a user, bytes of its table."""
    options: dict[str, Any] = field(default_factory=dict)
    """Baseline -> the options that were chosen, in words."""
    cold: dict[str, int] = field(default_factory=dict)
    """Events and items after the cut-off that no model of the past can say."""


def measure(
    config: RunConfig, folder: Path, ranker: Ranker, counts: tuple[int, ...], most: int = 0,
    chosen: dict[str, Any] | None = None, progress: Progress = no_progress,
) -> Measured:
    """Measure a run.

    Args:
        config: of the run.
        folder: its directory.
        ranker: of the second stage.
        counts: numbers of candidates.
        most: users of each kind; 0 = all.
        chosen: options of the baselines that another run of the same log has found; None = they are tuned.
        progress: called with what is done.

    Raises:
        DataError: a file is missing, or nobody can be judged.
    """
    data, devices = load_cloud(folder), load_devices(folder)
    cut = AtCut.of(data.before, devices.after, most, config.seed)
    if not cut.old.any():
        raise DataError(f"{folder}: no user has events before the cut-off and new items after it: nobody can be judged")
    users, items = embedded_users(folder / "train" / "model.keras", cut.windows(config.model.window))
    old, recent = int(cut.old.sum()), recent_of(cut.histories)
    found = Measured(cut.users.tolist(), old)
    before = AtCut(cut.users[:old], cut.old[:old], cut.histories[:old], cut.relevant[:old])
    gold = ranked(before, users[:old], items, ranker)
    rows = len(items)

    def reorder(candidates: NDArray[np.int32]) -> NDArray[np.int32]:
        return reordered(users[:old], candidates, items, ranker, recent[:old])

    baselines = {}
    options = chosen or _tuned(config, data, progress)
    for name, (kind, _) in GRID.items():
        baselines[name] = fitted(kind, options[name], data.before, rows - 1, config.seed)
        found.options[name] = options[name]
        _add(found, name, cut, cut.lists(scores_of(baselines[name], cut), rows))
    sources = [*table_sources(users[:old], items, before.histories),
               *(Source(name, scores_of(baselines[name], before), 4 * rows) for name in baselines)]  # fmt: skip
    for place, source in enumerate(sources):
        found.sources[source.name], spent = kept(before, source, rows, gold, counts, reorder)
        found.costs[source.name] = {"cpu_ms": spent, "bytes": source.numbers}
        progress(place + 1, len(sources) + 1, f"candidates by {source.name}")
    _mix(found, before, sources, rows, gold, counts, reorder)
    _add(found, "inner product", cut, cut.lists(lambda part: users[part] @ items.T, rows))
    _add(found, "exhaustive ranker", cut, ranked(cut, users, items, ranker, LENGTH))
    retrieved = cut.lists(lambda part: users[part] @ items.T, rows, config.ranker.candidates)
    _add(found, STAGES, cut, reordered(users, retrieved, items, ranker, recent)[:, :LENGTH])
    found.cold = {name: int(_summary(folder)[name]) for name in ("unknown_after", "unknown_items_after")}
    return found


def _summary(folder: Path) -> dict[str, Any]:
    from pocketrec.cloud.data.prepared import load_summary

    return load_summary(folder)


def _tuned(config: RunConfig, data: Any, progress: Progress) -> dict[str, Any]:
    earlier, later, _ = rehearsal_split(data.before, _EARLIER, per_user=config.split.kind == "per_user")
    found = tuned(earlier, later, len(data.vocabulary), config.seed, progress)
    return {name: options for name, (options, _) in found.items()}


def _add(found: Measured, name: str, cut: AtCut, lists: NDArray[np.int32]) -> None:
    found.systems[name] = list_values(lists, cut.relevant)


def _mix(found: Measured, before: AtCut, sources: list[Source], rows: int, gold: NDArray[np.int32],
         counts: tuple[int, ...], reorder: Any) -> None:
    """Half of the places by embedding, three tenths by ALS, two by popularity."""
    shares = {"embedding": 0.5, "als": 0.3, "popularity": 0.2}
    length = min(max(counts), rows - 1)
    lists = [before.lists(source.scores, rows, length) for name in shares for source in sources if source.name == name]
    found.sources["mix"] = {}
    for c in counts:
        part = mixed(lists, list(shares.values()), min(c, length))
        keeps = np.array([np.isin(best[best > 0], row).mean() for best, row in zip(gold, part, strict=True)])
        hits = np.array([np.isin(new, row).mean() for new, row in zip(before.relevant, part, strict=True)])
        ends = list_values(reorder(part)[:, :GOLD], before.relevant)["map@10"]
        found.sources["mix"][c] = Kept(keeps, hits, ends)
    found.costs["mix"] = {"cpu_ms": sum(found.costs[name]["cpu_ms"] for name in shares),
                          "bytes": sum(found.costs[name]["bytes"] for name in shares)}  # fmt: skip
