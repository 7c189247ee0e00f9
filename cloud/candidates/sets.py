# SPDX-License-Identifier: Apache-2.0
"""Candidate sets in memory and on disk.

This module knows nothing about where candidates come from.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketrec.cloud.base.arrays import pack_texts, save_arrays, unpack_texts
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.device.base.errors import DataError

_EVENTS = 1 << 18  # events looked at at a time


@dataclass(frozen=True)
class Candidates:
    """K items for each Old user, and K popular ones for everybody else."""

    users: np.ndarray
    """object (U,): ids as `str`, sorted."""
    rows: np.ndarray
    """int32 (U, K): item rows, best first, each once; padded with 0 on the right where there are fewer than K."""
    popular: np.ndarray
    """int32 (K,): the set of a New user."""

    @property
    def k(self) -> int:
        """Size K of a set."""
        return int(self.rows.shape[1])

    def in_words(self) -> str:
        """How many items the sets hold: at most K, and no more than the catalogue has."""
        counts = (self.rows > 0).sum(axis=1) if len(self.rows) else (self.popular > 0).sum(keepdims=True)
        least, most = int(counts.min()), int(counts.max())
        return f"{least if least == most else f'{least} to {most}'} items for each of {len(self.users)} users"

    def of(self, user: str) -> np.ndarray:
        """int32 (K,): the set of a user; of a New one, the popular items."""
        place = int(np.searchsorted(self.users, user))
        known = place < len(self.users) and self.users[place] == user
        row: np.ndarray = self.rows[place] if known else self.popular
        return row

    def save(self, path: str | Path) -> None:
        """Write an .npz without pickled objects, atomically.

        Raises:
            StorageError: the file cannot be written.
        """
        arrays = {**pack_users(self.users), "rows": self.rows, "popular": self.popular}
        save_arrays(path, arrays)

    @staticmethod
    def load(path: str | Path) -> Candidates:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing or damaged.
        """
        arrays = read_arrays(path)
        try:
            return Candidates(unpack_users(arrays), arrays["rows"], arrays["popular"])
        except (KeyError, ValueError) as error:
            raise damaged(path, error) from None


def popular_rows(items: int, k: int) -> np.ndarray:
    """int32 (k,): rows 1..k, the most popular items; padded with 0 where there are fewer."""
    rows = np.arange(1, k + 1, dtype=np.int32)
    return np.where(rows <= items, rows, 0).astype(np.int32)


def recall_ceiling(candidates: Candidates, after: Sequences, first: np.ndarray | None = None) -> dict[str, float]:
    """Share of next items that lie within the user's set: what no reranker of the set can exceed (feature D10).

    Args:
        candidates: made of events before the cut-off.
        after: later events.
        first: int64 (U,), place in `after` of each user's first event that counts; None = all.

    Returns:
        ``all``, ``old`` and ``new`` (users that candidates know or do not): recall over events, NaN where there
        is none.
    """
    places = {user: place for place, user in enumerate(candidates.users)}
    place = np.fromiter((places.get(user, -1) for user in after.users), np.int64, len(after))
    hits, counts = dict.fromkeys(("all", "old", "new"), 0), dict.fromkeys(("all", "old", "new"), 0)
    for begin in range(0, after.events, _EVENTS):
        events = slice(begin, begin + _EVENTS)
        users = np.searchsorted(after.offsets, np.arange(begin, min(begin + _EVENTS, after.events)), "right") - 1
        targets = after.items[events]
        counted = targets > 0
        if first is not None:
            counted &= np.arange(begin, begin + len(targets)) - after.offsets[users] >= first[users]
        users, targets = users[counted], targets[counted]
        known = place[users] >= 0
        sets = np.tile(candidates.popular, (len(users), 1))  # (n, K)
        sets[known] = candidates.rows[place[users[known]]]
        hit = (sets == targets[:, None]).any(axis=1)
        for name, chosen in (("all", known | ~known), ("old", known), ("new", ~known)):
            hits[name] += int(hit[chosen].sum())
            counts[name] += int(chosen.sum())
    return {name: hits[name] / counts[name] if counts[name] else float("nan") for name in hits}


def pack_users(users: np.ndarray) -> dict[str, np.ndarray]:
    """User ids as two arrays of plain numbers."""
    raw, offsets = pack_texts(users)
    return {"user_bytes": raw, "user_offsets": offsets}


def unpack_users(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The inverse of `pack_users`, object (U,)."""
    return unpack_texts(arrays["user_bytes"], arrays["user_offsets"])


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise DataError(f"no file {path}: run `pocketrec candidates` first") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise damaged(path, error) from None


def damaged(path: str | Path, error: Exception) -> DataError:
    """The error for a file that is not what it should be."""
    return DataError(f"cannot read {path} ({type(error).__name__}): run `pocketrec candidates` again")
