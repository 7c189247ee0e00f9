"""Item embeddings that start alike where items were had by the same users.

From few events a model learns slowly which of some thousand items belong together, yet it can be read off the log: the
leading eigenvectors of the items' similarities (cosine over users, as item-kNN has them) are factors whose inner
products are close to those similarities (as implicit factors of co-occurrence in Levy and Goldberg, NIPS 2014). Added
to the random start, and with a GRU that starts by copying (`pocketrec.cloud.backbones.gru_start`), the untrained model
scores like item-kNN of low rank, and training continues from there. This module knows nothing about cut-offs: it is
given the events before them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.baselines.neighbours import fit_neighbours
from pocketrec.cloud.config.knn import KnnConfig

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences

_SIMILARITY = KnnConfig(neighbours=1000, shrink=5.0)


def similarity_factors(before: Sequences, items: int, size: int, seed: int) -> NDArray[Any]:
    """Factors of the items' similarities, turned at random so that every coordinate weighs alike.

    Args:
        before: events before the cut-off.
        items: N.
        size: E, number of factors; those beyond the rank of the similarities are zero.
        seed: of the turn.

    Returns:
        [N + 1, E] float32; the inner product of two rows is about the similarity of the items, at most 1.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import eigsh

    found = fit_neighbours(_SIMILARITY, before, items)
    similar = csr_matrix((found.similarities.astype(np.float64), found.items, found.offsets), (items + 1, items + 1))
    rank = min(size, items)
    values, vectors = eigsh((similar + similar.T) / 2, k=rank, which="LA", v0=np.ones(items + 1))
    turn, _ = np.linalg.qr(np.random.default_rng([seed, 2]).normal(size=(size, size)))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)) @ turn[:rank], np.float32)
