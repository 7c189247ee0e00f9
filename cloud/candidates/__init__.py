"""Candidate sets: K items for each user over one seam, made by name.

A new source is one module with a class that follows `CandidateSource`, one line in `SOURCES`, its name in
`config.CANDIDATE_METHODS`, and one subclass of `CandidateContract` in the tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.candidates.als import AlsCandidates, AlsModel, fit_als
from pocketrec.cloud.candidates.popularity import PopularityCandidates
from pocketrec.cloud.candidates.sets import Candidates, popular_rows, recall_ceiling
from pocketrec.cloud.config.candidates import CandidatesConfig
from pocketrec.cloud.data.sequences import Sequences

__all__ = [
    "SOURCES",
    "AlsModel",
    "CandidateSource",
    "Candidates",
    "build",
    "fit_als",
    "popular_rows",
    "recall_ceiling",
]


class CandidateSource(Protocol):
    """Makes candidate sets of the events before the cut-off."""

    name: str

    def build(
        self,
        config: CandidatesConfig,
        before: Sequences,
        items: int,
        *,
        seed: int = 1,
        threads: int = 1,
        mask_seen: bool = False,
        als: AlsModel | None = None,
        unfinished: Path | None = None,
        progress: Progress = no_progress,
    ) -> Candidates:
        """One set for each user of `before`; equal seeds give equal sets.

        Args:
            config: k and the method's parameters.
            before: events before the cut-off; nothing later is given.
            items: N; rows are ordered by popularity.
            seed: of everything random.
            threads: 0 = one for each core; does not change the sets.
            mask_seen: leave out what the user has had (for logs that never repeat).
            als: an ALS model of the same events that is fitted already, for sources that use one.
            unfinished: file in which an interrupted call's sets may be kept; see `AlsModel.top`.
            progress: called with the users done.
        """
        ...


#: Every source by its name in ``[candidates] method``.
SOURCES: dict[str, CandidateSource] = {source.name: source for source in (AlsCandidates(), PopularityCandidates())}


def build(
    config: CandidatesConfig,
    before: Sequences,
    items: int,
    *,
    seed: int = 1,
    threads: int = 1,
    mask_seen: bool = False,
    als: AlsModel | None = None,
    unfinished: Path | None = None,
    progress: Progress = no_progress,
) -> Candidates:
    """Candidate sets by the method that the configuration names (see `CandidateSource.build`)."""
    return SOURCES[config.method].build(
        config, before, items, seed=seed, threads=threads, mask_seen=mask_seen, als=als, unfinished=unfinished,
        progress=progress,
    )  # fmt: skip
