"""Ranks on a log without personal training (sessions, or a log's own split): the Keras model and the baselines.

Every known event of the test part but the first of its sequence is a test position; the context is the sequence's own
latest `window` events before it. This module needs TensorFlow; `pocketrec.cloud.evaluate.global_metrics` takes what
it returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.baselines import popularity_scores, recent_scores
from pocketrec.cloud.config import EvaluateConfig
from pocketrec.cloud.metrics import ranks
from pocketrec.cloud.models import item_embeddings
from pocketrec.cloud.progress import Progress, no_progress
from pocketrec.cloud.scoring import embed_positions, positions, seen_before

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences
    from pocketrec.cloud.neighbours import ItemNeighbours

_CELLS = 1 << 22  # scores ranked at a time


def sequence_ranks(
    model: keras.Model,
    after: Sequences,
    window: int,
    evaluate: EvaluateConfig,
    neighbours: ItemNeighbours | None = None,
    progress: Progress = no_progress,
) -> dict[str, list[NDArray[np.float64]]]:
    """Ranks of every test position, by system (``global``, ``popularity``, ``recent``, ``item_knn``) and sequence.

    Sequences without a position are left out. ALS has no factor for a session, so it would equal popularity and is
    left out too.

    Args:
        model: the next-item model.
        after: the test part.
        window: T.
        evaluate: ties and mask.
        neighbours: None = no baseline ``item_knn``.
        progress: told after every block of positions.
    """
    where = positions(after, window)
    embedded = embed_positions(model, where)  # (P, E)
    table = item_embeddings(model)  # (N + 1, E)
    seen = seen_before(after, where)
    names = ("global", "popularity", "recent", *(("item_knn",) if neighbours else ()))
    found = {name: np.empty(len(where)) for name in names}
    popular = popularity_scores(len(table))
    step = max(1, _CELLS // len(table))
    for begin in range(0, len(where), step):
        part = slice(begin, min(begin + step, len(where)))
        targets, histories = where.targets[part], seen[part]
        masked = None
        if evaluate.mask_seen:
            masked = np.zeros((len(targets), len(table)), bool)
            for row, history in zip(masked, histories, strict=True):
                row[history] = True
        scores = {
            "global": embedded[part] @ table.T,
            "popularity": np.broadcast_to(popular, (len(targets), len(table))),
            "recent": np.stack([recent_scores(history, len(table)) for history in histories]),
        }
        if neighbours:
            scores["item_knn"] = np.stack([neighbours.scores(history) for history in histories])
        for name, values in scores.items():
            found[name][part] = ranks(values, targets, evaluate.ties, masked)
        progress(part.stop, len(where))
    starts = np.flatnonzero(np.diff(where.user, prepend=-1))  # positions are in the order of the sequences
    return {name: np.split(values, starts[1:]) if len(values) else [] for name, values in found.items()}
