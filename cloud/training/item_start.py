# SPDX-License-Identifier: Apache-2.0
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

import keras
import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.backbones import FC, item_table
from pocketrec.cloud.baselines.neighbours import fit_neighbours
from pocketrec.cloud.config.knn import KnnConfig

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences

_QUIET = 0.25  # of the last layer's kernel, so that popularity outweighs what a random network says of the history
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


def start_by_popularity(model: keras.Model, counts: NDArray[Any]) -> None:
    """Let the untrained model score items by the logarithm of their events, whatever the user had.

    One direction d of the item embeddings, all of whose numbers are alike in size, holds the logarithm, and the bias of
    the last layer points along it: an item bias that needs no tensor of its own, in the cloud, in the file or in an
    index of any library, and that training changes like the rest. From a bias of 0, some hundred steps of Adam reach
    .9 nats where a log's popularity spans 8.

    Args:
        model: as it was made.
        counts: int [N + 1], events of each row.
    """
    fc = model.get_layer(FC)
    size = int(fc.bias.shape[0])
    direction = np.where(np.arange(size) % 2, -1.0, 1.0) * size**-0.5  # of length 1
    logs = np.log(np.asarray(counts, np.float64) + 1)
    logs[1:] -= logs[1:].mean()
    logs[0] = 0
    scale = size**0.5  # most of the spread on the user's side: the rows also enter the model, and stay mostly random
    fc.kernel.assign(fc.kernel * _QUIET)
    fc.bias.assign_add((scale * direction).astype(np.float32))
    item_table(model).add((logs[:, None] * direction / scale).astype(np.float32))
