# SPDX-License-Identifier: Apache-2.0
"""The ranker cosine in numpy: a function for devices, and the cloud's class, which is not needed there."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCALE = 10.0
TINY = 1e-6  # under the root of a norm: padding is all zero
Floats = NDArray[np.float32]


def unit(vectors: Floats) -> Floats:
    """Vectors float32 [..., E] over their norms; all zero stays all zero."""
    return vectors / np.sqrt((vectors * vectors).sum(-1, keepdims=True) + np.float32(TINY))


def cosine(embedding: Floats, items: Floats) -> Floats:
    """Scores float32 [n] of items float32 [n, E] for an embedding float32 [E]."""
    scores: Floats = np.float32(SCALE) * (unit(items) @ unit(embedding))
    return scores


class Cosine:
    """score(u, i) = 10 cos(u, i). See `pocketrec.cloud.rankers.ranker.Ranker`."""

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> "Cosine":
        """It has no tensors of its own."""
        return cls()

    def scores(self, users: Floats, items: Floats) -> Floats:
        """Scores float32 [..., M] of items float32 [M, E] for users float32 [..., E]."""
        found: Floats = np.float32(SCALE) * (unit(users) @ unit(items).T)
        return found
