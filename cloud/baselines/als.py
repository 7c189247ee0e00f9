# SPDX-License-Identifier: Apache-2.0
"""ALS as a baseline: inner products of the user's factor with all item factors.

The factors of both are kept in plain arrays, so that the processes of an evaluation share one copy in memory; fitting
needs `implicit`, scoring needs numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.arrays import pack_texts, unpack_texts
from pocketrec.cloud.baselines.baseline import Arrays, Baseline, Past, Scores, popularity_scores

if TYPE_CHECKING:
    from pocketrec.cloud.candidates.als import AlsModel
    from pocketrec.cloud.config.candidates import AlsOptions


@dataclass(frozen=True)
class Als(Baseline):
    """Implicit-feedback ALS (`pocketrec.cloud.candidates.als`); popularity for a user that it has not seen."""

    reads_user = True

    user_bytes: NDArray[np.uint8]
    """Ids of the users, sorted, in UTF-8, one after another."""
    user_offsets: NDArray[np.int64]
    """[U + 1]: where each begins and ends."""
    user_factors: NDArray[np.float32]
    """[U, F]."""
    item_factors: NDArray[np.float32]
    """[N + 1, F]; row 0 (padding) is zero."""

    @classmethod
    def fit(cls, options: AlsOptions, past: Past) -> Als:
        """See `Baseline.fit`."""
        from pocketrec.cloud.candidates.als import fit_als

        return cls.of(fit_als(options, past.before, past.items, past.seed, past.threads, past.progress))

    @classmethod
    def of(cls, model: AlsModel) -> Als:
        """The baseline of factors that are fitted already."""
        return cls(*pack_texts(model.users), model.user_factors, model.item_factors)

    def model(self) -> AlsModel:
        """Its factors, for making candidate sets."""
        from pocketrec.cloud.candidates.als import AlsModel

        return AlsModel(unpack_texts(self.user_bytes, self.user_offsets), self.user_factors, self.item_factors)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `Baseline.arrays`."""
        return dict(vars(self))

    @classmethod
    def restore(cls, arrays: Arrays) -> Als:
        """See `Baseline.restore`."""
        return cls(**arrays)

    def scores(self, history: NDArray[Any], user: str = "") -> Scores:
        """See `Baseline.scores`."""
        place = self._place(user)
        if place is None:
            return popularity_scores(len(self.item_factors))
        scores: Scores = (self.item_factors @ self.user_factors[place]).astype(np.float32)
        return scores

    def many(self, histories: Sequence[NDArray[Any]], users: Sequence[str]) -> Scores:
        """See `Baseline.many`; different users that it knows are one product of matrices."""
        found = [self._place(user) for user in users] if len(set(users)) > 1 else []
        places = [place for place in found if place is not None]
        if len(places) < len(users):
            return super().many(histories, users)
        scores = np.zeros((len(users), len(self.item_factors)), np.float32)
        scores[:, 1:] = self.user_factors[places] @ self.item_factors[1:].T
        return scores

    def _place(self, user: str) -> int | None:
        """Place of a user by bisection: bytes of UTF-8 are in the order of their code points."""
        wanted = user.encode("utf-8")
        low, high = 0, len(self.user_factors)
        while low < high:
            middle = (low + high) // 2
            if self._id(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self.user_factors) and self._id(low) == wanted else None

    def _id(self, place: int) -> bytes:
        return self.user_bytes[self.user_offsets[place] : self.user_offsets[place + 1]].tobytes()
