# SPDX-License-Identifier: Apache-2.0
"""Features of a ranker's training positions from what other users did.

A count of what came next holds the very event that a position asks for, which no device's future has. So the users are
dealt into folds, and what a position is told comes from a table of all other folds (cross-fitting). Devices get the
table of all users. This module knows nothing about networks.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.rankers.transitions import FEATURES, count_transitions
from pocketrec.cloud.training.retrieved import Retrieved

FOLDS: Final = 5
_CELLS: Final = 1 << 24  # numbers of retrieved items' embeddings at a time


def crossed_features(
    found: Retrieved, table: NDArray[np.float32], sequences: Sequences, most: int, window: int, seed: int,
    progress: Progress = no_progress,
) -> NDArray[np.float16]:
    """Features of what was retrieved at each position, float16 [P, c, F]; half a number is enough for a training.

    Args:
        found: positions of `sequences`.
        table: item embeddings, float32 [N + 1, E].
        sequences: events before the cut-off.
        most: M, items that are kept for each.
        window: events that the model sees.
        seed: of the folds.
        progress: called with the positions done.
    """
    folds = np.random.default_rng([seed, 8]).permutation(len(sequences)) % FOLDS  # (U,)
    events, event_users = sequences.items, sequences.event_users()
    features = np.empty((*found.rows.shape, FEATURES), np.float16)
    done, size = 0, max(1, _CELLS // (found.rows.shape[1] * table.shape[1]))
    for fold in np.unique(folds[found.user]):
        other = folds[event_users] != fold
        counted = count_transitions(events[other], event_users[other], len(table) - 1, most, window)
        own = np.flatnonzero(folds[found.user] == fold)
        for part in np.split(own, range(size, len(own), size)):
            rows = found.rows[part]
            product = np.einsum("pe,pce->pc", found.users[part], table[rows])
            features[part] = counted.features(found.recent[part], rows, product)
            done += len(part)
            progress(done, len(found.user), "features of other users' events")
    return features
