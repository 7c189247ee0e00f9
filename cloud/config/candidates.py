"""Table ``[candidates]``: the candidate sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pocketrec.cloud.config.checks import at_least, one_of

#: Names that a configuration may hold; a test compares them with what is there.
CANDIDATE_METHODS: Final = ("als", "popularity")


@dataclass(frozen=True)
class CandidatesConfig:
    """Candidate sets, one of K items for each user."""

    method: str = "als"
    """Name in the candidates registry (`pocketrec.cloud.candidates`): als or popularity."""
    k: int = 100
    """Items in a set."""
    factors: int = 64
    """ALS: size of the factors."""
    regularization: float = 0.05
    """ALS: weight of the L2 penalty."""
    alpha: float = 2.0
    """ALS: weight of an observed count (Hu, Koren, Volinsky 2008, c = 1 + alpha r)."""
    iterations: int = 15
    """ALS: number of alternations."""
    head: int = 100_000
    """ALS: sets are taken from so many of the most popular items, for of an item of few events ALS knows little and
    ranking costs users x items; 0 = from all."""

    def __post_init__(self) -> None:
        one_of(self.method, CANDIDATE_METHODS, "candidates", "method")
        at_least(1, self, "candidates", "k", "factors", "iterations")
        at_least(0, self, "candidates", "regularization", "alpha", "head")
