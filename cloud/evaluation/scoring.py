# SPDX-License-Identifier: Apache-2.0
"""User embeddings and full-ranking ranks for every (context -> next item) position, on the Keras side.

For logs whose test is judged by the global model alone (sessions), and for validation in training. It knows nothing
about metrics; `pocketrec.cloud.metrics.metrics` turns ranks into figures.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.rankers.ranker import Ranker

_ROWS = 256  # rows embedded at a time
_SCORES = 1 << 22  # scores held at a time

Embed = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Positions:
    """Places at which a next item is to be ranked, in the order of the sequences.

    Unknown items (row 0) are in no context and are not a target.
    """

    windows: np.ndarray
    """int32 [n, T]: contexts, right-padded with 0."""
    window: np.ndarray
    """int64 [P]: the window of each position."""
    step: np.ndarray
    """int64 [P]: the step of the window whose output is the position's user embedding."""
    targets: np.ndarray
    """int32 [P]: the next item, never 0."""
    user: np.ndarray
    """int64 [P]: index of the sequence."""
    place: np.ndarray
    """int64 [P]: index of the target among the sequence's known items."""

    def __len__(self) -> int:
        """Number P of positions."""
        return len(self.targets)


def positions(
    sequences: Sequences, window: int, first: np.ndarray | None = None, *, exact: bool = True, causal: bool = True
) -> Positions:
    """Every position whose target is at or after `first`, each with the up to `window` items before it.

    Args:
        sequences: histories; a sequence's first known item is never a target (nothing comes before it).
        window: T.
        first: int64 [U], index (among all events of the sequence, known or not) of the first event that is a
            target; None = 0 throughout.
        exact: True: a position sees exactly the last `window` items before it. False: at least the last
            `window` / 2 where there are as many; several times cheaper on long sequences.
        causal: False: each position has a window of its own, with nothing in it that comes later; exact in any case.
    """
    windows: list[np.ndarray] = []
    entries: list[tuple[int, int, int, int, int]] = []
    hop = 1 if exact or not causal else max(1, window // 2)
    for user in range(len(sequences)):
        events = sequences.of(user)[0]
        items = events[events != 0]
        start = 1 if first is None else max(1, int((events[: int(first[user])] != 0).sum()))
        while start < len(items):
            # One window holds the context of the targets start..end-1, `start` with as much history as fits.
            begin = max(0, start - (window - hop + 1))
            end = min(len(items), begin + window + 1) if causal else start + 1
            row = np.zeros(window, np.int32)
            row[: end - 1 - begin] = items[begin : end - 1]
            entries += [(len(windows), t - 1 - begin, int(items[t]), user, t) for t in range(start, end)]
            windows.append(row)
            start = end
    columns = np.array(entries, np.int64).reshape(-1, 5)
    stacked = np.stack(windows) if windows else np.zeros((0, window), np.int32)
    return Positions(
        stacked, columns[:, 0], columns[:, 1], columns[:, 2].astype(np.int32), columns[:, 3], columns[:, 4]
    )


def embed_positions(model: keras.Model, where: Positions, embed: Embed | None = None) -> np.ndarray:
    """User embedding of every position, float32 [P, E].

    Args:
        model: the next-item model.
        where: the positions.
        embed: int32 [B, T] -> float32 [B, T, E], in place of the model.
    """
    run = embed or model_runner(model)
    size = int(model.output_shape[-1])
    result = np.empty((len(where), size), np.float32)
    order = np.argsort(where.window, kind="stable")
    bounds = np.searchsorted(where.window[order], np.arange(0, len(where.windows) + _ROWS, _ROWS))
    for i, (begin, end) in enumerate(itertools.pairwise(bounds)):
        rows = where.windows[i * _ROWS : (i + 1) * _ROWS]
        padded = np.zeros((_ROWS, rows.shape[1]), np.int32)
        padded[: len(rows)] = rows
        chosen = order[begin:end]
        result[chosen] = run(padded)[where.window[chosen] - i * _ROWS, where.step[chosen]]
    return result


def full_ranks(
    embeddings: np.ndarray, targets: np.ndarray, table: np.ndarray, ranker: Ranker,
    seen: list[np.ndarray] | None = None,
) -> np.ndarray:
    """Rank of each target among all items, int64 [P]; 1 = best; ties count against the target.

    Args:
        embeddings: float32 [P, E].
        targets: int32 [P], never 0.
        table: item embeddings, float32 [N + 1, E]; row 0 is left out.
        ranker: how embeddings become scores.
        seen: rows taken out of each position's ranking (the target itself stays in); None = none.
    """
    result = np.empty(len(targets), np.int64)
    step = max(1, _SCORES // len(table))
    for begin in range(0, len(targets), step):
        part = slice(begin, begin + step)
        scores = ranker.scores(embeddings[part], table)  # (P, N + 1)
        own = scores[np.arange(len(scores)), targets[part]].copy()
        scores[:, 0] = -np.inf
        if seen is not None:
            for row, gone in zip(scores, seen[part], strict=True):
                row[gone] = -np.inf
            scores[np.arange(len(scores)), targets[part]] = own
        result[part] = (scores >= own[:, np.newaxis]).sum(1)
    return result


def seen_before(sequences: Sequences, where: Positions) -> list[np.ndarray]:
    """For each position, the item rows that its sequence holds before the target."""
    known = [items[items != 0] for items in (sequences.of(user)[0] for user in range(len(sequences)))]
    return [known[user][:place] for user, place in zip(where.user.tolist(), where.place.tolist(), strict=True)]


def model_runner(model: keras.Model) -> Embed:
    """The model as one graph, int32 [B, T] -> float32 [B, T, E]; make it once and pass it on where it runs again."""

    @tf.function(reduce_retracing=True, autograph=False)
    def run(items: tf.Tensor) -> tf.Tensor:
        return model(items, training=False)

    return lambda items: np.asarray(run(tf.constant(items)))
