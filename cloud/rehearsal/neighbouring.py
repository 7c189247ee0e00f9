# SPDX-License-Identifier: Apache-2.0
"""How strongly devices add item-kNN to the network: judged on rehearsed users, before the bonus for repeats is fitted.

Neither the network of the rehearsal nor the table of neighbours has seen anything after the earlier cut. Each strength
is judged with no bonus for repeats and with every one that the fitting begins from, and counts as much as its best; so
neighbours that only say what the bonus would say anyway are not shipped. They are shipped where they gain more than one
standard error of the paired difference. A strength of `ALONE` leaves the network to decide between equals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.fleet.device import DeviceUser, known_positions
from pocketrec.cloud.rehearsal.positions import Positions, outline
from pocketrec.device.contract.neighbours import Neighbours
from pocketrec.device.contract.repeats import Repeats

#: Strengths tried; with the last one the neighbours alone decide.
STRENGTHS: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0)
ALONE: Final = STRENGTHS[-1]
USERS: Final = 300  # that judge
_CELLS: Final = 10**8  # scores looked at for a strength, and fewer users where that would be more

ScoresOf = Callable[[int], NDArray[np.float32]]
"""Index of a user -> float32 [its places, N + 1], scores of all items."""


@dataclass(frozen=True)
class Chosen:
    """What was tried."""

    strength: float
    """The one that is taken; 0 = no neighbours are shipped."""
    tried: dict[float, float]
    """Strength -> mean reciprocal rank, with the bonus for repeats that suits it best."""
    users: int
    """Users that judged."""

    def to_dict(self) -> dict[str, Any]:
        """For ``neighbours.json``."""
        tried = [{"strength": strength, "mrr@20": value} for strength, value in self.tried.items()]
        return {"strength": self.strength, "users": self.users, "tried": tried}


def choose_strength(
    users: Sequence[DeviceUser],
    places: Sequence[NDArray[np.int64]],
    scores_of: ScoresOf,
    neighbours: Neighbours,
    bonuses: Sequence[Repeats],
    ties: str = "worst",
    progress: Progress = no_progress,
    most: int = USERS,
) -> Chosen:
    """Judge each of `STRENGTHS`.

    Args:
        users: rehearsed users.
        places: of each, which of its known events are judged.
        scores_of: the network's scores; items that are left out have minus infinity.
        neighbours: made of the events that the network was trained on.
        bonuses: that the fitting begins from; none where seen items are masked.
        ties: policy for equal scores.
        progress: called after every strength.
        most: users that judge, at most; fewer where there are many scores to look at.
    """
    rows = len(neighbours.scales)
    each = max(1, sum(len(own) for own in places) // max(1, len(users)))
    count = min(len(users), most, max(1, _CELLS // (rows * each)))
    chosen = np.linspace(0, len(users) - 1, count).round().astype(int).tolist() if len(users) else []
    near = {index: raised(neighbours.times(1.0), users[index], places[index]) for index in chosen}
    positions = outline([users[index] for index in chosen], [places[index] for index in chosen])
    recencies: dict[tuple[float, float, float], NDArray[np.float32]] = {}  # they are of the histories: alike for all
    seen: dict[float, Positions] = {}
    for step, strength in enumerate(STRENGTHS):

        def blended(index: int, strength: float = strength) -> NDArray[np.float32]:
            scores = scores_of(chosen[index])
            if strength:
                add_rows(scores, near[chosen[index]], strength)
            return scores

        seen[strength] = replace(positions.scored(blended, ties), recencies=recencies)
        progress(step + 1, len(STRENGTHS), "strengths of the neighbours")
    values = {strength: own.means(Repeats()) for strength, own in seen.items()}
    for bonus in bonuses:
        for strength, own in seen.items():
            means = own.means(bonus)
            if len(means) and means.mean() > values[strength].mean():
                values[strength] = means
    tried = {strength: float(means.mean()) if len(means) else 0.0 for strength, means in values.items()}
    best = max(tried, key=lambda strength: (tried[strength], -strength))
    gain = values[best] - values[0.0]
    clear = len(gain) > 1 and gain.mean() > gain.std(ddof=1) / math.sqrt(len(gain))
    return Chosen(best if clear else 0.0, tried, len(chosen))


def raised(
    neighbours: Neighbours, user: DeviceUser, places: NDArray[np.int64]
) -> list[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """`Neighbours.bonus` before each of a user's known events."""
    rows, _ = known_positions(user)
    return [neighbours.bonus(rows[:place]) for place in places]


def add_rows(
    scores: NDArray[np.float32], near: Sequence[tuple[NDArray[np.int32], NDArray[np.float32]]], strength: float = 1.0
) -> None:
    """Raise scores float32 [P, N + 1] in place, a row for each position."""
    for row, (items, bonus) in zip(scores, near, strict=True):
        row[items] += np.float32(strength) * bonus
