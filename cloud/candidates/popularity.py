"""The same popular items for everybody."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.candidates.als import AlsModel
from pocketrec.cloud.candidates.sets import Candidates, popular_rows
from pocketrec.cloud.config.candidates import CandidatesConfig
from pocketrec.cloud.data.sequences import Sequences


class PopularityCandidates:
    """The K most popular items before the cut-off, less those that the user has had where `mask_seen`."""

    name = "popularity"

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
        """See `CandidateSource.build`."""
        popular = popular_rows(items, config.k)
        rows = np.tile(popular, (len(before), 1))
        if mask_seen:
            for user in range(len(before)):
                seen = before.of(user)[0]
                left = np.setdiff1d(np.arange(1, min(items, config.k + len(seen)) + 1), seen)[: config.k]
                rows[user] = 0
                rows[user, : len(left)] = left
        return Candidates(before.users, rows.astype(np.int32), popular)
