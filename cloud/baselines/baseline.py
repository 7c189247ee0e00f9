# SPDX-License-Identifier: Apache-2.0
"""What a baseline is: a system that needs no neural network, fitted to the events before the cut-off.

A baseline gives one score for every item row, for one user at one test position, so that all systems are ranked by the
same code on the very same positions. Item rows are in order of decreasing popularity (row 1 is the most popular). A new
baseline is one module with a class that follows `Baseline`, one line in the table
`pocketrec.cloud.config.baselines.BASELINES` (or an entry point of the group ``pocketrec.baselines``), and one subclass
of `BaselineContract` in the tests.

This module needs only numpy: the device processes of an evaluation import it.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress

if TYPE_CHECKING:
    from typing import Self

    from pocketrec.cloud.data.sequences import Sequences

Scores = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Past:
    """What a baseline may learn from."""

    before: Sequences
    """Events before the cut-off; nothing later is given."""
    items: int
    """N; rows are ordered by popularity."""
    seed: int = 1
    """Of everything random."""
    threads: int = 1
    """0 = one for each core; does not change the result."""
    progress: Progress = no_progress
    """Told of long work."""


class Baseline(abc.ABC):
    """A fitted baseline."""

    reads_user: ClassVar[bool] = False
    """Whether scores depend on who the user is: then it is not judged on sessions, whose users are all new, unless it
    reads the history too."""
    reads_history: ClassVar[bool] = False
    """Whether scores depend on the history."""

    @classmethod
    @abc.abstractmethod
    def fit(cls, options: Any, past: Past) -> Self | None:
        """Learn from the events before the cut-off; equal seeds give equal arrays. None = its options switch it off."""

    @abc.abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that it has learned, as plain arrays of numbers; no array is an object array."""

    @classmethod
    @abc.abstractmethod
    def restore(cls, arrays: Arrays) -> Self:
        """The inverse of `arrays`; takes arrays that are mapped from files and cannot be written."""

    @abc.abstractmethod
    def scores(self, history: NDArray[Any], user: str = "") -> Scores:
        """Score of every item row.

        Args:
            history: [n] int item rows that the user had so far, oldest first; zeros (unknown items) are passed over.
            user: id of the user.

        Returns:
            [N + 1] float32; row 0 (padding) means nothing.
        """

    def many(self, histories: Sequence[NDArray[Any]], users: Sequence[str]) -> Scores:
        """`scores` of n histories and their users, [n, N + 1]; may be a view that cannot be written."""
        if self.reads_history:
            return np.stack([self.scores(history, user) for history, user in zip(histories, users, strict=True)])
        nothing = np.zeros(0, np.int32)
        found = {user: self.scores(nothing, user) for user in (dict.fromkeys(users) if self.reads_user else users[:1])}
        if len(found) == 1:
            (row,) = found.values()
            return np.broadcast_to(row, (len(users), len(row)))
        return np.stack([found[user] for user in users])


def popularity_scores(rows: int) -> Scores:
    """Score of each item row by popularity: -1, -2, ... for rows 1, 2, ...

    Args:
        rows: size of the item table, the padding row included.

    Returns:
        [rows] float32; exact for up to 2**24 rows.
    """
    return -np.arange(rows, dtype=np.float32)
