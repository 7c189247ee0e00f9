# SPDX-License-Identifier: Apache-2.0
"""The inner product of user and item embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.rankers.ranker import Ranker


class InnerProduct(Ranker):
    """score(u, i) = <e_u, e_i>. See `Ranker`."""

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> InnerProduct:
        """See `Ranker.restore`."""
        return cls()

    def scores(self, users: NDArray[np.float32], items: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Ranker.scores`."""
        found: NDArray[np.float32] = users @ items.T
        return found

    def each(self, users: NDArray[np.float32], items: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Ranker.each`."""
        found: NDArray[np.float32] = np.einsum("pe,pce->pc", users, items)
        return found
