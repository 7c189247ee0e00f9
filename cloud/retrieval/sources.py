# SPDX-License-Identifier: Apache-2.0
"""Where candidates may come from, and what each keeps of the ranker's exhaustive order (K5 to K7).

A source gives scores of all items for some users; the best c that the user has not had are its candidates. This module
knows nothing about runs or files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.evaluation.at_cut import AtCut, ScoresOf
from pocketrec.cloud.metrics.lists import hit_lists, list_values
from pocketrec.cloud.rankers.ranker import Ranker
from pocketrec.cloud.rankers.transitions import recent_of

Floats = NDArray[np.float32]
Reorder = Callable[[NDArray[np.int32]], NDArray[np.int32]]
"""Candidates int32 [U, c] -> the same in the ranker's order."""

#: So many of the ranker's best are what a source should keep.
GOLD: Final = 100


@dataclass(frozen=True)
class Source:
    """One source of candidates."""

    name: str
    scores: ScoresOf
    numbers: int
    """Bytes that it reads beside the user's own: its table."""


@dataclass(frozen=True)
class Kept:
    """What a source keeps with c candidates, one value a user."""

    keeps: NDArray[np.float64]
    """Share of the ranker's best `GOLD` of the whole catalogue that are among the candidates."""
    recall: NDArray[np.float64]
    """Share of the relevant items that are."""
    precision: NDArray[np.float64]
    """AP@10 of the candidates in the ranker's order: end to end."""


def table_sources(users: Floats, items: Floats, histories: list[NDArray[np.int32]]) -> list[Source]:
    """Queries over one item table [N + 1, E]: the user embedding [U, E] by inner product (float32, and on the rows as
    int8), by cosine, and the mean of the user's item embeddings (pseudo-user)."""
    scale = np.abs(items).max(axis=1, keepdims=True) / 127
    rounded = (np.rint(items / np.maximum(scale, 1e-30)) * scale).astype(np.float32)
    norms = np.linalg.norm(items, axis=1)
    unit = items / np.maximum(norms, 1e-12)[:, None]
    pseudo = np.stack([items[history].mean(axis=0) if len(history) else np.zeros(items.shape[1], np.float32)
                       for history in histories]).astype(np.float32) if histories else users[:0]  # fmt: skip
    rows, size = items.shape
    return [
        Source("embedding", lambda part: users[part] @ items.T, 4 * rows * size),
        Source("embedding, int8", lambda part: users[part] @ rounded.T, rows * (size + 4)),
        Source("embedding, cosine", lambda part: users[part] @ unit.T, 4 * rows * size),
        Source("pseudo-user", lambda part: pseudo[part] @ items.T, 4 * rows * size),
    ]


def kept(cut: AtCut, source: Source, rows: int, gold: NDArray[np.int32], counts: tuple[int, ...],
         reorder: Reorder) -> tuple[dict[int, Kept], float]:
    """What a source keeps, by number of candidates; and CPU milliseconds for one user's longest list.

    Args:
        cut: the users.
        source: gives scores.
        rows: N + 1.
        gold: the ranker's best `GOLD`, int32 [U, GOLD], padded with 0.
        counts: numbers of candidates c.
        reorder: puts candidates in the ranker's order.
    """
    started = time.process_time()
    longest = cut.lists(source.scores, rows, min(max(counts), rows - 1))
    spent = 1000 * (time.process_time() - started) / max(1, len(cut))
    found = {}
    for c in counts:
        part = longest[:, :c]
        wanted = [row[row > 0] for row in gold]
        keeps = np.array([np.isin(best, row).mean() if len(best) else 1.0 for best, row in
                          zip(wanted, part, strict=True)])  # fmt: skip
        hits = hit_lists(part, cut.relevant)
        recall = hits.sum(axis=1) / np.array([len(rows) for rows in cut.relevant])
        found[c] = Kept(keeps, recall, list_values(reorder(part)[:, :GOLD], cut.relevant)["map@10"])
    return found, spent


def means(values: Mapping[int, Kept]) -> dict[str, dict[str, float]]:
    """The means over users, for JSON."""
    return {str(c): {"keeps": float(found.keeps.mean()), "recall": float(found.recall.mean()),
                     "map@10": float(found.precision.mean())} for c, found in values.items()}  # fmt: skip


def ranked(cut: AtCut, users: Floats, items: Floats, ranker: Ranker, length: int = GOLD) -> NDArray[np.int32]:
    """The gold standard: the ranker's best of the whole catalogue, int32 [U, length]."""
    recent = recent_of(cut.histories)
    return cut.lists(lambda part: ranker.of_all(users[part], items, recent[part]), len(items), length)
