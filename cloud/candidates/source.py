# SPDX-License-Identifier: Apache-2.0
"""What a source of candidate sets is: the seam between where candidates come from and everything that uses them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.candidates.sets import Candidates
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class Past:
    """All that a source may look at; nothing at or after the cut-off is in it."""

    before: Sequences
    """Events before the cut-off."""
    items: int
    """N; rows are ordered by popularity."""
    vocabulary: Vocabulary | None = None
    """Ids of the items, where they are known."""
    model: Path | None = None
    """The trained next-item model (``.keras``), for a source whose line needs stage ``train``."""
    window: int = 0
    """T: events that the model looks back on."""
    als: Any = None
    """The baseline ALS (`pocketrec.cloud.candidates.als.AlsModel`), fitted to the same events; None = not yet."""
    seed: int = 1
    """Of everything random."""
    threads: int = 1
    """0 = one for each core; does not change the sets."""
    mask_seen: bool = False
    """Leave out what the user has had (for logs that never repeat)."""
    scratch: Path | None = None
    """A file in which an interrupted call's sets may be kept; whoever has saved the sets removes it. None = nowhere."""
    spark: Any = None
    """The Spark session, for a source on Spark."""
    progress: Progress = no_progress
    """Called with the users done."""
    say: Callable[[str], None] = lambda line: None
    """Takes lines about what was found, for the person at the terminal."""


class CandidateSource(Protocol):
    """Makes candidate sets of the events before the cut-off."""

    def build(self, options: Any, k: int, past: Past) -> Candidates:
        """One set for each user of ``past.before``; equal seeds give equal sets.

        Args:
            options: of the source; None where it has none.
            k: items in a set, each once, best first; of fewer, the set is padded with 0.
            past: what it may look at.
        """
        ...
