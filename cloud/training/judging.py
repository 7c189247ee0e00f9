# SPDX-License-Identifier: Apache-2.0
"""A ranker beside the inner product on events that neither was trained on: one figure a user for each.

Next items where the model is trained for these, lists at the cut where it is trained for later items. This module
knows nothing about what follows from the figures.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.backbones import item_embeddings
from pocketrec.cloud.candidates.embedding import embed_windows
from pocketrec.cloud.candidates.exact import exact_top
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.evaluation.at_cut import AtCut
from pocketrec.cloud.metrics.lists import list_values
from pocketrec.cloud.metrics.metrics import HEADLINE, user_values
from pocketrec.cloud.rankers.ranker import Ranker
from pocketrec.cloud.rankers.transitions import recent_of
from pocketrec.cloud.training.retrieved import reranked, retrieve_positions
from pocketrec.device.base.errors import DataError

Figures = tuple[str, NDArray[Any], NDArray[Any]]
"""The measure, and its value for each user with the ranker and without."""
_LISTS = "map@10"


def next_figures(
    config: RunConfig, model: keras.Model, ranker: Ranker, past: Sequences, later: Sequences, most: int
) -> Figures:
    """The headline of next items, whole ranking: an item that was not retrieved is a miss for both.

    Args:
        config: of the run.
        model: trained on `past`.
        ranker: over it.
        past: earlier events.
        later: those after them.
        most: users that judge, at most.

    Raises:
        DataError: nobody can be judged.
    """
    part = later.select(judging_users(past, later, most, config.seed))
    whole = past.select(past.find_all(part.users)).followed_by(part)
    first = whole.lengths - part.lengths[part.find_all(whole.users)]
    found = retrieve_positions(
        model, whole, first, config.model, config.ranker, mask_seen=config.evaluate.mask_seen
    )
    if not len(found.targets):
        raise DataError("nobody has events on both sides of the earlier cut: the ranker cannot be judged; leave it out")
    return HEADLINE, *figures_of(found, item_embeddings(model), ranker)


def judging_users(past: Sequences, later: Sequences, most: int, seed: int) -> NDArray[np.int64]:
    """Places in `later` of users with events in both, ascending; `most` of them, drawn by the seed, where there are
    more."""
    places = np.flatnonzero(past.find_all(later.users) >= 0)
    return places if len(places) <= most else np.sort(np.random.default_rng(seed).choice(places, most, replace=False))


def figures_of(found: Any, table: NDArray[np.float32], ranker: Ranker) -> tuple[NDArray[Any], NDArray[Any]]:
    """The headline of each user, with the ranker and by the order in which items were retrieved."""
    retrieved = np.argmax(found.rows == found.targets[:, None], axis=1) + 1.0
    plain = np.where(found.found, retrieved, np.inf)
    starts = np.flatnonzero(np.diff(found.user, prepend=-1))[1:]
    ours, other = (user_values(np.split(rank, starts)) for rank in (reranked(found, table, ranker), plain))
    return ours, other


def list_figures(
    config: RunConfig, model: keras.Model, ranker: Ranker, past: Sequences, later: Sequences, most: int
) -> Figures:
    """MAP@10 of one list a user at the earlier cut; arguments as of `next_figures`.

    Raises:
        DataError: nobody can be judged.
    """
    cut = AtCut.of(past, later.select(past.find_all(later.users) >= 0), most, config.seed)
    if not len(cut):
        raise DataError("nobody has events on both sides of the earlier cut: the ranker cannot be judged; leave it out")
    users, table = embed_windows(model, cut.windows(config.model.window)), item_embeddings(model)
    rows, _ = exact_top(users, table, config.ranker.candidates, cut.histories)
    both = reordered(users, rows, table, ranker, recent_of(cut.histories)), rows
    ours, plain = (list_values(lists, cut.relevant)[_LISTS] for lists in both)
    return _LISTS, ours, plain


def reordered(
    users: NDArray[np.float32], rows: NDArray[np.int32], table: NDArray[np.float32], ranker: Ranker,
    recent: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Retrieved rows int32 [U, c] in the order of the ranker's scores (equal ones as they stand), 0 at the end;
    `recent` as of `Ranker.of_rows`."""
    scores = np.where(rows > 0, ranker.of_rows(users, table, rows, recent), -np.inf)
    found: NDArray[np.int32] = np.take_along_axis(rows, np.argsort(-scores, axis=1, kind="stable"), 1)
    return found
