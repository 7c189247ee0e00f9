# SPDX-License-Identifier: Apache-2.0
"""Candidate sets by the trained model: the items of highest inner product with each user's embedding at the cut-off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.candidates.ann import nearest
from pocketrec.cloud.candidates.sets import Candidates, popular_rows
from pocketrec.cloud.candidates.source import Past
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.device.base.errors import ConfigError

_ROWS = 256  # windows at a time


class EmbeddingCandidates:
    """See `pocketrec.cloud.candidates.source.CandidateSource`; every item is looked at, but in a large catalogue
    (`pocketrec.cloud.candidates.ann`)."""

    def build(self, _options: None, k: int, past: Past) -> Candidates:
        """See `CandidateSource.build`.

        Raises:
            ConfigError: no model, or no length of its window, is given.
        """
        if past.model is None or not past.window:
            raise ConfigError("candidates from embeddings want the trained model and its window: set Past.model and "
                              "Past.window")  # fmt: skip
        users, items = embedded_users(past.model, latest_windows(past.before, past.window))
        seen = [past.before.of(user)[0] for user in range(len(past.before))] if past.mask_seen else None
        rows, _ = nearest(users, items, k, seen, seed=past.seed, threads=past.threads, progress=past.progress,
                          say=past.say)  # fmt: skip
        return Candidates(past.before.users, rows, popular_rows(past.items, k))


def latest_windows(before: Sequences, window: int) -> NDArray[np.int32]:
    """The latest `window` known items of each user, int32 [U, T], oldest first, padded with 0 on the right."""
    found = np.zeros((len(before), window), np.int32)
    for row, user in zip(found, range(len(before)), strict=True):
        items = before.of(user)[0]
        items = items[items > 0][-window:]
        row[: len(items)] = items
    return found


def embedded_users(path: Path, windows: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """User embeddings [U, E] after the last event of each window, and item embeddings [N + 1, E], by a saved model.

    Raises:
        DataError: the model cannot be read.
    """
    from pocketrec.cloud.backbones import item_embeddings, load_model

    model = load_model(path)
    return embed_windows(model, windows), item_embeddings(model)


def embed_windows(model: Any, windows: NDArray[np.int32]) -> NDArray[np.float32]:
    """User embeddings after the last event of each window, float32 [U, E]."""
    import tensorflow as tf

    run = tf.function(lambda items: model(items, training=False)[:, -1], autograph=False)  # padding repeats the last
    found = np.empty((len(windows), int(model.output_shape[-1])), np.float32)
    for begin in range(0, len(windows), _ROWS):
        part = windows[begin : begin + _ROWS]
        padded = np.zeros((_ROWS, windows.shape[1]), np.int32)
        padded[: len(part)] = part
        found[begin : begin + _ROWS] = np.asarray(run(tf.constant(padded)))[: len(part)]
    return found
