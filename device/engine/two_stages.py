# SPDX-License-Identifier: Apache-2.0
"""The signatures of a model file that searches its whole catalogue, ranks what was found, and trains the ranker: a part
of `Model`. And what the two stages make of the scores of a whole catalogue, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.contract import names as contract
from pocketrec.device.engine.retrieve import largest


def with_ranked(scores: Array, rows: Array, ranked: Array) -> Array:
    """Scores of all items of which some were ranked again: those as they were ranked, and the others as they were, but
    none above the worst of them.

    Args:
        scores: float32 [N + 1], of the first stage.
        rows: int32 [m], m above 0.
        ranked: float32 [m], their scores by the second.

    Returns:
        float32 [N + 1].
    """
    found: Array = np.minimum(scores, ranked.min())
    found[rows] = ranked
    return found


def found_rows(scores: Array, history: Array, k: int) -> Array:
    """What a device that searches the catalogue ranks: the `k` best items and those of the history.

    Args:
        scores: float32 [N + 1], of the first stage.
        history: int32 [n] item rows, no 0.
        k: items that are found.

    Returns:
        int32 rows, ascending, each once, never 0.
    """
    found, _ = largest(np.arange(1, len(scores), dtype=np.int32), scores[1:], k)
    return np.union1d(found, history).astype(np.int32)


class TwoStages:
    """What `Model` offers of a file that has the signatures ``retrieve`` or ``rank``."""

    retrieves: bool
    """Whether the file finds items of the whole catalogue (`retrieve`)."""
    ranks: bool
    """Whether the file has a ranker of a second stage (`rank`)."""
    positions: int
    """Targets P of a train step that takes user embeddings, as where the ranker trains and nothing that a user
    embedding depends on; 0 = steps take windows."""
    batch: int
    window: int
    embedding: int

    @property
    def ranked(self) -> int:
        """Items that one call of the signature ``rank`` scores, as many as a device finds; 0 = no such signature."""
        return int(self._signature(contract.RANK_CANDIDATES)[contract.CANDIDATES][0][0]) if self.ranks else 0

    def embed_windows(self, items: Array) -> Array:
        """User embeddings, float32 [B, targets, E], after every event of windows, int32 [B, T], right-padded with 0.

        Raises:
            ValueError: a wrong shape or dtype, a row that the item table lacks, or a file whose steps take windows
                (`positions`).
        """
        if not self.positions:
            raise ValueError("the model file has no signature embed_windows: its train steps take windows")
        return self._call(contract.EMBED_WINDOWS, {contract.ITEMS: items})[contract.USER_EMBEDDINGS]

    def steps(self, items: Array, targets: Array, count: int = 0) -> tuple[Array, Array]:
        """What the train steps, or the calls of an evaluation, take of windows.

        Where steps take windows, the same. Else user embeddings of the targets that count, in their order, spread
        evenly over the steps, of which each may have some that do not count at its end.

        Args:
            items: int32 [S, B, T].
            targets: int32 [S, B, targets].
            count: steps to make, at least as many as the targets fill; 0 = as few as there may be.

        Returns:
            The two; or float32 [S', P, E] and int32 [S', P].
        """
        if not self.positions:
            return items, targets
        size, counted = self.positions, targets > 0
        users = [self.embed_windows(part)[own] for part, own in zip(items, counted, strict=True)]
        rows = targets[counted]  # (n,)
        count = count or -(-len(rows) // size)
        made = np.zeros((count, size, self.embedding), np.float32), np.zeros((count, size), np.int32)
        if not count:
            return made
        places = np.array_split(np.arange(len(rows)), count)
        together = np.concatenate(users)  # (n, E)
        for step, part in enumerate(places):
            made[0][step, : len(part)], made[1][step, : len(part)] = together[part], rows[part]
        return made

    def reordered(self, items: Array, scores: Array, history: Array) -> Array:
        """Scores of all items by both stages: what the device finds, and own items, by the ranker; all others behind.

        Args:
            items: int32 [1, T], the events before.
            scores: float32 [N + 1], inner products with the user embedding after them.
            history: int32 [n], all events before.

        Returns:
            float32 [N + 1].
        """
        rows = found_rows(scores, history, self.ranked)
        return with_ranked(scores, rows, self.rank(items, rows))

    def rank(self, items: Array, candidates: Array) -> Array:
        """Scores, float32 [n], by the ranker of the second stage, of candidate rows, int32 [n], after the events
        `items`, int32 [1, T]; any number of rows, as many at a time as the signature takes.

        Raises:
            ValueError: a wrong shape or dtype, a row that the item table lacks, or a file without the signature
                (`ranks`).
        """
        if not self.ranks:
            raise ValueError("the model file has no signature rank: export with ranker.kind = \"ranknet\"")
        (count,) = self._signature(contract.RANK_CANDIDATES)[contract.CANDIDATES][0]
        scores = np.zeros(len(candidates), np.float32)
        for start in range(0, len(candidates), count):
            part = candidates[start : start + count]
            padded = np.zeros(count, candidates.dtype)
            padded[: len(part)] = part
            inputs = {contract.ITEMS: items, contract.CANDIDATES: padded}
            found = self._call(contract.RANK_CANDIDATES, inputs)[contract.SCORES].reshape(count)
            scores[start : start + count] = found[: len(part)]
        return scores

    def retrieve(self, items: Array) -> tuple[Array, Array]:
        """The K best items of the whole catalogue by the inner product, after the events `items`, int32 [1, T].

        Returns:
            Rows int32 [K], each once and never 0, and scores float32 [K], best first; of equal ones the smaller row
            first.

        Raises:
            ValueError: a wrong shape or dtype, a row that the item table lacks, or a file without the signature
                (`retrieves`).
        """
        if not self.retrieves:
            raise ValueError("the model file has no signature retrieve: export with export.retrieve above 0")
        outputs = self._call(contract.RETRIEVE, {contract.ITEMS: items})
        return outputs[contract.CANDIDATES].reshape(-1), outputs[contract.SCORES].reshape(-1)

    def _call(self, name: str, inputs: dict[str, Any]) -> dict[str, Array]:
        raise NotImplementedError

    def _signature(self, name: str) -> dict[str, tuple[tuple[int, ...], Any]]:
        raise NotImplementedError
