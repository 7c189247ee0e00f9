# SPDX-License-Identifier: Apache-2.0
"""The second stage as a device serves it: what was found in the order of the ranker, all others behind.

Knows nothing about models and histories beyond arrays; `pocketrec.device.engine.two_stages` is the device's own side.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.rankers.ranknet import RankNet
from pocketrec.cloud.rankers.transitions import Transitions, recent_of
from pocketrec.device.contract.names import RANKER_TENSORS
from pocketrec.device.contract.neighbours import Neighbours
from pocketrec.device.engine.two_stages import found_rows, with_ranked

Finds = Callable[[NDArray[np.float32], NDArray[np.int32]], NDArray[np.int32]]
"""From the scores [N + 1] of the first stage and the history to the rows that are found, each once."""

_PREFIX = "ranker_"


def by_search(k: int, neighbours: Neighbours | None = None) -> Finds:
    """The `k` best items of the catalogue, the own ones, and where the bundle has `neighbours` the `k` that go best
    with the history (`pocketrec.device.state.choosing`)."""

    def finds(scores: NDArray[np.float32], history: NDArray[np.int32]) -> NDArray[np.int32]:
        found: NDArray[np.int32] = found_rows(scores, history, k)
        return found if neighbours is None else np.union1d(found, neighbours.best(history, k))

    return finds


def by_candidates(candidates: NDArray[np.int32]) -> Finds:
    """A user's candidates and the own items."""
    fixed = candidates[candidates > 0]
    return lambda scores, history: np.union1d(fixed, history)


@dataclass(frozen=True)
class SecondStage:
    """The ranker of a file, and how many items a device finds for it."""

    net: RankNet
    """With the tensors as the file holds them, or as a device has trained them."""
    found: int
    """Items K of one call of the signature ``rank``."""

    @classmethod
    def load(cls, path: Path | None) -> SecondStage | None:
        """From the file that an export leaves (`pocketrec.export.build.RANKER_FILE`); None where there is none."""
        if path is None:
            return None
        with np.load(path) as arrays:
            tensors = {name.removeprefix(_PREFIX): arrays[name] for name in RANKER_TENSORS}
            return cls(RankNet(tensors, transitions=Transitions.restore(arrays)), int(arrays["found"]))

    def trained(self, weights: Mapping[str, NDArray[np.float32]]) -> SecondStage:
        """The same with those of its tensors that a device has trained, among its `weights` by name."""
        own = {name.removeprefix(_PREFIX): value for name, value in weights.items() if name in RANKER_TENSORS}
        net = dataclasses.replace(self.net, tensors={**self.net.tensors, **own})
        return dataclasses.replace(self, net=net) if own else self

    def scores(
        self, user: NDArray[np.float32], table: NDArray[np.float32], rows: NDArray[np.int32],
        history: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """What the signature ``rank`` says of item rows int32 [m] after a history: float32 [m]."""
        found: NDArray[np.float32] = self.net.of_rows(user[None], table, rows[None], recent_of([history]))[0]
        return found

    def reorder(
        self, scores: NDArray[np.float32], embedded: NDArray[np.float32], table: NDArray[np.float32],
        histories: Sequence[NDArray[np.int32]], finds: Finds,
    ) -> None:
        """Put the scores of both stages in the place of those of the first.

        Args:
            scores: float32 [P, N + 1], inner products; they are changed.
            embedded: float32 [P, E].
            table: float32 [N + 1, E].
            histories: P of them.
            finds: what is found.
        """
        for line, user, history in zip(scores, embedded, histories, strict=True):
            rows = finds(line, history)
            if len(rows):
                line[:] = with_ranked(line, rows, self.scores(user, table, rows, history))
