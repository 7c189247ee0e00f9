# SPDX-License-Identifier: Apache-2.0
"""How strongly item-kNN is added to the network where users never come back: sessions, or a log with its own split.

Nobody is made personal there, so nothing else is rehearsed. An early model, trained on the sessions before an
earlier cut, is judged on those after it, with neighbours made of the same early events; in Keras, as the evaluation of
such a log is made. This module needs TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import keras
import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.backbones import item_embeddings
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.data.split import continued
from pocketrec.cloud.evaluation.ranking import Places
from pocketrec.cloud.evaluation.scoring import embed_positions
from pocketrec.cloud.fleet.device import DeviceUser, known_positions
from pocketrec.cloud.rankers import make_ranker
from pocketrec.cloud.rehearsal.neighbouring import Chosen, choose_strength

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences
    from pocketrec.device.contract.neighbours import Neighbours

#: Sessions that judge, at most. They are short: 300 of them, as many as there are users elsewhere, would not tell a
#: gain of one hundredth from none.
_SESSIONS: Final = 3000


def blend(
    model: keras.Model,
    earlier: Sequences,
    later: Sequences,
    neighbours: Neighbours,
    config: RunConfig,
    progress: Progress = no_progress,
) -> Chosen:
    """Judge each strength on a seeded sample of the sessions after the earlier cut.

    Args:
        model: the early model.
        earlier: what it was trained on.
        later: events after the cut.
        neighbours: made of `earlier`.
        config: the model's shape, how its embeddings become scores, ties and mask, seed of the sample.
        progress: called after every strength.

    Returns:
        What was tried, and the strength that is taken: 0 where none clearly gains.
    """
    if len(later) > _SESSIONS:
        later = later.select(np.sort(np.random.default_rng(config.seed).choice(len(later), _SESSIONS, replace=False)))
    whole, first = continued(earlier, later)
    table = item_embeddings(model)  # (N + 1, E)
    where = Places.of(whole, len(table) - 1, config.model.window, first, causal=config.model.causal).where
    embedded = embed_positions(model, where)  # (P, E)
    ranker = make_ranker(config.ranker.first, model)
    judged, starts = np.unique(where.user, return_index=True)
    parts = np.split(np.arange(len(where)), starts[1:]) if len(where) else []
    users = [_user(whole, int(place), int(first[place])) for place in judged]

    def scores_of(index: int) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = ranker.scores(embedded[parts[index]], table)
        if config.evaluate.mask_seen:
            known, _ = known_positions(users[index])
            for row, place in zip(scores, where.place[parts[index]], strict=True):
                row[known[:place]] = -np.inf
        return scores

    places = [where.place[part] for part in parts]
    return choose_strength(users, places, scores_of, neighbours, (), config.evaluate.ties, progress, most=_SESSIONS)


def is_trainable(sequences: Sequences) -> bool:
    """Whether a model can be trained on the events: some user has two known ones."""
    known = sequences.event_users()[sequences.items > 0]
    return bool(np.bincount(known).max(initial=0) > 1)


def _user(whole: Sequences, place: int, first: int) -> DeviceUser:
    events, times = whole.of(place)
    known = np.asarray(times, np.float64)
    return DeviceUser(whole.users[place], events[:first], events[:0], events[first:], times=known)
