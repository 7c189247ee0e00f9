# SPDX-License-Identifier: Apache-2.0
"""Ranks on a log without personal training (sessions, or a log's own split): the Keras model and the baselines.

Every known event of the test part but the first of its sequence is a test position; the context is the sequence's own
latest `window` events before it. This module needs TensorFlow; `pocketrec.cloud.evaluation.evaluate.global_metrics`
takes what it returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.backbones import item_embeddings
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.ranker import INNER_PRODUCT, RankerConfig
from pocketrec.cloud.evaluation.ranking import Places
from pocketrec.cloud.evaluation.scoring import embed_positions
from pocketrec.cloud.rankers import make_ranker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pocketrec.cloud.baselines.baseline import Baseline
    from pocketrec.cloud.data.sequences import Sequences
    from pocketrec.device.contract.neighbours import Neighbours


def sequence_ranks(
    model: keras.Model,
    after: Sequences,
    shape: ModelConfig,
    evaluate: EvaluateConfig,
    baselines: Mapping[str, Baseline] | None = None,
    ranker: RankerConfig = INNER_PRODUCT,
    progress: Progress = no_progress,
    neighbours: Neighbours | None = None,
) -> dict[str, list[NDArray[np.float64]]]:
    """Ranks of every test position, by system (``global``, ``neighbours`` where there are some, and each baseline) and
    sequence.

    Sequences without a position are left out.

    Args:
        model: the next-item model.
        after: the test part.
        shape: of the model, of which its window and whether it is causal are looked at.
        evaluate: ties and mask.
        baselines: fitted ones by name, such as `pocketrec.cloud.baselines.files.load_baselines` gives; None = none.
        ranker: how the model's embeddings become scores.
        progress: called after every block of the model's positions.
        neighbours: that devices add to the model's scores: one more system, ``neighbours``; None = none.
    """
    table = item_embeddings(model)  # (N + 1, E)
    places = Places.of(after, len(table) - 1, shape.window, causal=shape.causal)
    embedded = embed_positions(model, places.where)
    systems = {"global": places.by_embedding(embedded, table, make_ranker(ranker, model))}
    if neighbours is not None:
        systems["neighbours"] = places.with_neighbours(systems["global"], neighbours)
    systems |= {name: places.by_baseline(baseline) for name, baseline in (baselines or {}).items()}
    watched = {"global": progress}
    return {name: places.ranks(scores, evaluate, watched.get(name, no_progress)) for name, scores in systems.items()}
