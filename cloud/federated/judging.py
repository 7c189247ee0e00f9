# SPDX-License-Identifier: Apache-2.0
"""Users' MRR@20 by the weights of a round, with the Keras model: what the rehearsal looks at. Needs TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.backbones import item_embeddings
from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.ranker import RankerConfig
from pocketrec.cloud.evaluation.ranking import Places
from pocketrec.cloud.evaluation.scoring import embed_positions, model_runner
from pocketrec.cloud.federated.events import LaterEvents
from pocketrec.cloud.metrics.metrics import user_values
from pocketrec.cloud.rankers import make_ranker

Weights = Mapping[str, NDArray[np.float32]]


class RoundJudge:
    """Ranks the last later events of every user that has them, after those that devices learn from.

    Args:
        model: the next-item model; it is left with the weights of the last call.
        put: puts the weights of a round into it.
        events: whose users are judged.
        evaluate: ties and mask.
        ranker: how embeddings become scores.
        window: events that the model looks back on.
        causal: whether the model is.
    """

    def __init__(
        self, model: keras.Model, put: Callable[[keras.Model, Weights], None], events: LaterEvents,
        evaluate: EvaluateConfig, ranker: RankerConfig, *, window: int, causal: bool,
    ) -> None:  # fmt: skip
        self._model, self._put, self._evaluate, self._ranker = model, put, evaluate, ranker
        before, after, learn = events.before, events.after, events.learn
        tested = (learn > 0) & (learn < after.lengths)
        some = after.select(tested)
        places = before.find_all(some.users)
        earlier = np.where(places >= 0, before.lengths[places], 0)
        whole = before.select(places[places >= 0]).followed_by(some)
        items = len(item_embeddings(model)) - 1
        self._places = Places.of(whole, items, window, earlier + learn[tested], causal=causal)
        self._run = model_runner(model)

    @property
    def users(self) -> int:
        """Users with a test position."""
        return len(np.unique(self._places.where.user))

    def values(self, weights: Weights) -> NDArray[np.float64]:
        """MRR@20 of each user, [users], under the weights of a round."""
        self._put(self._model, weights)
        embedded = embed_positions(self._model, self._places.where, self._run)
        scores = self._places.by_embedding(
            embedded, item_embeddings(self._model), make_ranker(self._ranker, self._model)
        )
        return user_values(self._places.ranks(scores, self._evaluate))
