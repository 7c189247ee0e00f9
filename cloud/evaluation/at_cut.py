# SPDX-License-Identifier: Apache-2.0
"""One list a user at the cut-off (K8, K10): who is judged, by what, and what each system would show.

A user's list comes from what the user had before the cut-off, and is judged by the new items that came after it: known
positives are removed, from the list and from what is relevant, and only users with a new item are judged. Old users had
events before the cut-off, New ones had none. This module knows nothing about models or files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.metrics.lists import DEPTHS

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences

_CELLS: Final = 1 << 22  # scores at a time
#: Length of a list: the deepest measure.
LENGTH: Final = max(DEPTHS)

ScoresOf = Callable[[slice], NDArray[Any]]
"""Scores [u, N + 1] of a slice of the users, which may be written to."""


@dataclass(frozen=True)
class AtCut:
    """Users who are judged at the cut-off; Old ones first, each kind in the order of the ids."""

    users: NDArray[np.object_]
    """[U] ids."""
    old: NDArray[np.bool_]
    """[U]: whether the user had events before."""
    histories: list[NDArray[np.int32]]
    """U histories: known items before the cut-off, oldest first; empty for a New user."""
    relevant: list[NDArray[np.int32]]
    """U sets: known items after it that the user had not had, each once; at least one."""

    def __len__(self) -> int:
        """Number U of users."""
        return len(self.users)

    @staticmethod
    def of(before: Sequences, after: Sequences, most: int = 0, seed: int = 1) -> AtCut:
        """The users of a split log.

        Args:
            before: events before the cut-off.
            after: later ones.
            most: so many users of each kind, drawn at random; 0 = all.
            seed: of the draw.
        """
        places = before.find_all(after.users)
        nothing = np.zeros(0, np.int32)
        found: dict[bool, list[tuple[str, NDArray[np.int32], NDArray[np.int32]]]] = {True: [], False: []}
        for user, place in zip(range(len(after)), places.tolist(), strict=True):
            history = before.of(place)[0] if place >= 0 else nothing
            history = history[history > 0]
            new = np.setdiff1d(after.of(user)[0], np.append(history, 0)).astype(np.int32)
            if len(new):
                found[place >= 0].append((after.users[user], history, new))
        chosen = [entry for kind in (True, False) for entry in _some(found[kind], most, seed)]
        old = np.array([kind for kind in (True, False) for _ in _some(found[kind], most, seed)], bool)
        return AtCut(np.array([user for user, _, _ in chosen], object), old, [h for _, h, _ in chosen],
                     [new for _, _, new in chosen])  # fmt: skip

    def windows(self, window: int) -> NDArray[np.int32]:
        """The latest items of each user, int32 [U, T], oldest first, padded with 0 on the right."""
        found = np.zeros((len(self), window), np.int32)
        for row, history in zip(found, self.histories, strict=True):
            last = history[-window:]
            row[: len(last)] = last
        return found

    def lists(self, scores: ScoresOf, rows: int, length: int = LENGTH) -> NDArray[np.int32]:
        """The best `length` items of each user, int32 [U, length], padded with 0; known positives are left out.

        Args:
            scores: of the system.
            rows: N + 1.
            length: of a list.
        """
        found = np.zeros((len(self), length), np.int32)
        step = max(1, _CELLS // rows)
        for begin in range(0, len(self), step):
            part = slice(begin, min(begin + step, len(self)))
            block = np.array(scores(part), np.float64)
            block[:, 0] = -np.inf
            for row, history in zip(block, self.histories[part], strict=True):
                row[history] = -np.inf
            order = np.argsort(-block, axis=1, kind="stable")[:, :length]
            best = np.take_along_axis(block, order, 1)
            found[part, : order.shape[1]] = np.where(best > -np.inf, order, 0)
        return found


def _some(users: list[Any], most: int, seed: int) -> list[Any]:
    if not most or len(users) <= most:
        return users
    chosen = np.sort(np.random.default_rng(seed).choice(len(users), most, replace=False))
    return [users[place] for place in chosen.tolist()]
