"""What this person comes back to: a bonus for items of the person's own history, the recent ones most.

A global model forgets a person's habits as soon as they leave its window, and it has never seen those formed after
the cut-off. A continuous cache (Grave, Joulin and Usunier, ICLR 2017) over the history that only the device has gives
them back without any training. With r_i = sum over the events j of item i of decay^(events since j), an item's score
is raised by

    strength * log(1 + 100 r_i)

so that the item of the latest event gains 4.6 strength, and an item that never occurred gains nothing. This module
knows nothing about models; whether a log repeats at all is for the rehearsal to find out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_SHARPNESS = 100.0
_NEGLIGIBLE = 1e-6  # share of the latest event's weight under which older events are passed over


@dataclass(frozen=True)
class Repeats:
    """How strongly a history raises its own items; the table ``repeats`` of recipe.json."""

    strength: float = 0.0
    """Bonus for each nat of log(1 + 100 r); 0 = off."""
    decay: float = 0.8
    """Weight of an event relative to the next one, in (0, 1)."""

    def __post_init__(self) -> None:
        if not (self.strength >= 0 and 0 < self.decay < 1):
            raise ValueError("repeats: strength must be at least 0 and decay lie in (0, 1)")

    def times(self, share: float) -> Repeats:
        """The same with `share` of the strength."""
        return Repeats(self.strength * share, self.decay)

    def bonus(self, rows: Array) -> tuple[Array, Array]:
        """The bonus after a history.

        Args:
            rows: int32 [n], oldest first, no 0.

        Returns:
            Item rows int32 [m], ascending, each once, and their bonus float32 [m]; all other items have none.
        """
        latest = rows[max(0, len(rows) - math.ceil(math.log(_NEGLIGIBLE) / math.log(self.decay))) :]
        items, place = np.unique(latest, return_inverse=True)
        weights = self.decay ** np.arange(len(latest) - 1, -1, -1)  # (n,)
        recency = np.bincount(place, weights, minlength=len(items))  # (m,)
        return items.astype(np.int32), (self.strength * np.log1p(_SHARPNESS * recency)).astype(np.float32)

    def add_to(self, scores: Array, candidates: Array, rows: Array) -> Array:
        """Scores float32 [c] of candidate rows int32 [c] with the bonus after the history `rows`."""
        if not self.strength or not len(rows):
            return scores
        items, bonus = self.bonus(rows)
        place = np.searchsorted(items, candidates).clip(max=len(items) - 1)
        raised: Array = scores + np.where(items[place] == candidates, bonus[place], np.float32(0))
        return raised

    def add_to_catalogue(self, scores: Array, rows: Array) -> None:
        """Raise the scores float32 [N + 1] of all rows in place, after the history `rows`."""
        if self.strength and len(rows):
            items, bonus = self.bonus(rows)
            scores[items] += bonus
