# SPDX-License-Identifier: Apache-2.0
"""What a ranker is in numpy: what evaluation, fleet and rehearsal score with. Needs numpy only."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from typing import Self

#: Name of the Keras layer that holds a ranker's own tensors, where it has any: they are trained with the model, and
#: kept in its file.
RANKER_LAYER: Final = "ranker"


class Ranker(abc.ABC):
    """Scores of items for users, from their embeddings."""

    @classmethod
    @abc.abstractmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The ranker with its own tensors, by name; empty for one that has none."""

    @abc.abstractmethod
    def scores(self, users: NDArray[np.float32], items: NDArray[np.float32]) -> NDArray[np.float32]:
        """The score of every item for every user, larger is better.

        Args:
            users: user embeddings, float32 [..., E].
            items: item embeddings, float32 [M, E].

        Returns:
            float32 [..., M], an array that the caller may write to.
        """

    def each(self, users: NDArray[np.float32], items: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of each user's own items: float32 [P, E] and [P, C, E] -> [P, C]."""
        found = [self.scores(user, own) for user, own in zip(users, items, strict=True)]
        return np.stack(found) if found else np.zeros(items.shape[:2], np.float32)

    def of_rows(
        self, users: NDArray[np.float32], table: NDArray[np.float32], rows: NDArray[np.int32],
        recent: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """Scores of some items of the catalogue for each user, for rankers that look at more than embeddings too.

        Args:
            users: float32 [P, E].
            table: item embeddings, float32 [N + 1, E].
            rows: int32 [P, C], rows of the table.
            recent: int32 [P, n], each user's latest events, the last one first, 0 = none
                (`pocketrec.cloud.rankers.transitions.recent_of`).

        Returns:
            float32 [P, C].
        """
        return self.each(users, table[rows])

    def of_all(
        self, users: NDArray[np.float32], table: NDArray[np.float32], recent: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """The same of the whole catalogue, float32 [P, N + 1]."""
        return self.scores(users, table)
