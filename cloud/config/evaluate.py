# SPDX-License-Identifier: Apache-2.0
"""Table ``[evaluate]``: how quality is measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from pocketrec.cloud.config.checks import LATER, at_least, one_of


@dataclass(frozen=True)
class EvaluateConfig:
    """How quality is measured."""

    mask_seen: bool = False
    """Items that the user has had are taken out of the ranking (for logs that never repeat)."""
    ties: str = "worst"
    """Rank of a target that shares its score with others: worst, best or average of the tied places."""
    users: int = 0
    """Users evaluated through the device code; 0 = all that have events to learn from and to test."""
    naive: bool = True
    """Also evaluate naive fine-tuning, on the events after the cut-off and on all: `PersonaliseConfig` without
    rehearsal, pull or guard."""
    central: bool = False
    """Also judge a model trained in the cloud on the events that devices learn from, with the same bonus for repeats:
    what privacy costs, if anything. It is for comparison only, and takes another training."""
    push: bool = field(default=False, metadata=LATER)
    """Also judge push mode: the device sends its user embedding, and a server scores the whole catalogue by it. The
    server learns the embedding of every request, and nothing else."""
    bootstrap: int = 2000
    """Resamples of users for the 95 % intervals."""

    def __post_init__(self) -> None:
        one_of(self.ties, ("worst", "best", "average"), "evaluate", "ties")
        at_least(0, self, "evaluate", "users")
        at_least(1, self, "evaluate", "bootstrap")
