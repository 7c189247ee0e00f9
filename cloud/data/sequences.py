# SPDX-License-Identifier: Apache-2.0
"""Item sequences of many users in four flat arrays.

The one form in which events travel from the split to training, candidates, rehearsal and evaluation. This module
knows item rows and times only, not item ids or cut-offs.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketrec.cloud.base.arrays import pack_texts, save_arrays, unpack_texts
from pocketrec.device.base.errors import DataError

_PART = 1 << 22  # events looked at at a time


@dataclass(frozen=True)
class Sequences:
    """Events of U users, sorted by user (code-point order of the id), then by time (equal times: source order)."""

    users: np.ndarray
    """object (U,): ids as `str`, sorted, each once; every user has at least one event."""
    offsets: np.ndarray
    """int64 (U+1,): user i's events are `offsets[i]:offsets[i + 1]`."""
    items: np.ndarray
    """int32 (n,): item rows, from 1."""
    timestamps: np.ndarray
    """int64 or float64 (n,): not decreasing within a user."""

    @staticmethod
    def build(ids: np.ndarray, codes: np.ndarray, items: np.ndarray, timestamps: np.ndarray) -> Sequences:
        """Sort events into sequences.

        Args:
            ids: object (V,), different user ids; those without an event are left out.
            codes: integer (n,), place of each event's user in `ids`.
            items: integer (n,), item rows.
            timestamps: int64 or float64 (n,).
        """
        counts = np.bincount(codes, minlength=len(ids))
        present = np.flatnonzero(counts)
        present = present[sorted(range(len(present)), key=ids[present].__getitem__)]
        place = np.zeros(len(ids), np.int32)
        place[present] = np.arange(len(present))
        places = place[codes]  # (n,) of each event's user, in the order of the ids
        by = stable_order(places)
        if not _in_order_of_time(by, places, timestamps):
            by = stable_order(timestamps)
            by = by[stable_order(places[by])]
        users = np.asarray(ids, dtype=object)[present]
        return Sequences(users, offsets_of(counts[present]), items[by].astype(np.int32, copy=False), timestamps[by])

    def __len__(self) -> int:
        return len(self.users)

    @property
    def events(self) -> int:
        """Number of events n."""
        return len(self.items)

    @property
    def lengths(self) -> np.ndarray:
        """int64 (U,): events of each user."""
        return np.diff(self.offsets)

    def of(self, user: int) -> tuple[np.ndarray, np.ndarray]:
        """Items and timestamps of the user at place `user`, as views."""
        part = slice(self.offsets[user], self.offsets[user + 1])
        return self.items[part], self.timestamps[part]

    def find(self, user: str) -> int | None:
        """Place of the user with this id, or None."""
        place = int(np.searchsorted(self.users, user))
        return place if place < len(self.users) and self.users[place] == user else None

    def find_all(self, users: Sequence[str] | np.ndarray) -> np.ndarray:
        """int64 (len(users),): place of each user id, -1 where there is none."""
        places = {user: place for place, user in enumerate(self.users)}
        return np.fromiter((places.get(user, -1) for user in users), np.int64, len(users))

    def event_users(self) -> np.ndarray:
        """int64 (n,): place of each event's user."""
        return np.repeat(np.arange(len(self.users)), self.lengths)

    def positions(self) -> np.ndarray:
        """int64 (n,): place of each event in its user's sequence, from 0."""
        return np.arange(self.events) - np.repeat(self.offsets[:-1], self.lengths)

    def keep(self, events: np.ndarray) -> Sequences:
        """The events where the mask bool (n,) holds; users left without one are dropped."""
        counts = np.bincount(self.event_users()[events], minlength=len(self.users))
        present = counts > 0
        return Sequences(self.users[present], offsets_of(counts[present]), self.items[events], self.timestamps[events])

    def select(self, users: np.ndarray) -> Sequences:
        """The whole sequences of some users: a mask bool (U,), or places int (k,) in any order (made ascending)."""
        users = np.asarray(users)
        mask = users if users.dtype == bool else np.isin(np.arange(len(self.users)), users)
        return self.keep(mask[self.event_users()])

    def cut(self, time: float) -> tuple[Sequences, Sequences]:
        """Events before `time`, and events at or after it, each with the users that have any there."""
        before = self.timestamps < time
        return self.keep(before), self.keep(~before)

    def cut_heads(self, counts: np.ndarray) -> tuple[Sequences, Sequences]:
        """The first `counts[i]` events of each user i, and the rest. `counts` is int (U,)."""
        head = self.positions() < np.repeat(counts, self.lengths)
        return self.keep(head), self.keep(~head)

    def followed_by(self, later: Sequences) -> Sequences:
        """Every user's events of both; of equal times, these before those of `later`."""
        users = np.unique(np.concatenate([self.users, later.users]))
        codes = [np.searchsorted(users, part.users)[part.event_users()] for part in (self, later)]
        items = np.concatenate([self.items, later.items])
        return Sequences.build(users, np.concatenate(codes), items, np.concatenate([self.timestamps, later.timestamps]))

    def save(self, path: str | Path) -> None:
        """Write an uncompressed .npz without pickled objects, atomically.

        Raises:
            StorageError: the file cannot be written.
        """
        user_bytes, user_offsets = pack_texts(self.users)
        arrays = {
            "user_bytes": user_bytes,
            "user_offsets": user_offsets,
            "offsets": self.offsets,
            "items": self.items,
            "timestamps": self.timestamps,
        }
        save_arrays(path, arrays)

    @staticmethod
    def load(path: str | Path) -> Sequences:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                users = unpack_texts(file["user_bytes"], file["user_offsets"])
                result = Sequences(users, file["offsets"], file["items"], file["timestamps"])
        except FileNotFoundError:
            raise DataError(f"no file {path}: run `pocketrec prepare` first") from None
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"cannot read {path} ({type(error).__name__}): run `pocketrec prepare` again") from None
        if len(result.offsets) != len(users) + 1 or result.offsets[-1] != len(result.items):
            raise DataError(f"{path} does not fit together: run `pocketrec prepare` again")
        return result


def _in_order_of_time(by: np.ndarray, users: np.ndarray, timestamps: np.ndarray) -> bool:
    """Whether events in the order `by` ascend in time within each user, looked at in parts of bounded memory."""
    for begin in range(0, len(by), _PART):
        part = by[begin : begin + _PART + 1]
        earlier = timestamps[part[1:]] < timestamps[part[:-1]]
        if np.any(earlier & (users[part[1:]] == users[part[:-1]])):
            return False
    return True


def stable_order(keys: np.ndarray) -> np.ndarray:
    """Integer (n,): the order in which numbers (n,) ascend, equal ones as they stand.

    Linear in n for whole numbers whose span is about n or less, by a counting sort.
    """
    size = len(keys)
    span = int(keys.max()) - int(keys.min()) + 1 if size and keys.dtype.kind == "i" else 0
    if not 0 < span <= 2 * size + 1024:
        return np.argsort(keys, kind="stable")
    from scipy.sparse import coo_matrix

    rows = (keys - keys.min()).astype(np.int32 if span < 2**31 else np.int64, copy=False)
    events = np.arange(size, dtype=rows.dtype)
    order: np.ndarray = coo_matrix((np.ones(size, np.int8), (rows, events)), (span, size)).tocsr().indices
    return order


def offsets_of(counts: np.ndarray) -> np.ndarray:
    """int64 (len(counts)+1,): starts and ends of consecutive runs with these lengths."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
