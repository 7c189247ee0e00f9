# SPDX-License-Identifier: Apache-2.0
"""What a task is once it is read: rows of source events and one target each, in three parts by user.

The test rows lie in a file of their own, which is opened once, by the judge. This module knows nothing about logs or
models.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.arrays import pack_texts, save_arrays, unpack_texts
from pocketrec.device.base.errors import DataError

HOME = "transfer"
#: Names of the parts, in the order of their files and messages.
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Rows:
    """n rows of one part of a task."""

    users: NDArray[Any]
    """object (n,): id of each row's user, as `str`."""
    windows: NDArray[np.int32]
    """(n, T): rows of the latest source events, oldest first, padded with 0 at the end; at least one is not 0."""
    targets: NDArray[np.int32]
    """(n,): rows of the task's targets, 1..M."""

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, chosen: NDArray[Any]) -> Rows:
        """Some of the rows: a mask or places."""
        return Rows(self.users[chosen], self.windows[chosen], self.targets[chosen])

    def of_first_users(self, order: Sequence[str], users: int) -> Rows:
        """The rows of the first so many users of `order`; 0 = of all."""
        if not users:
            return self
        wanted = set(order[:users])
        return self.take(np.fromiter((user in wanted for user in self.users), bool, len(self)))


@dataclass(frozen=True)
class Task:
    """A task without its test rows."""

    name: str
    kind: str
    """items or profile."""
    ids: list[str]
    """M targets by row, from 1: items or classes, in the order of their count among training users."""
    train: Rows
    validation: Rows
    order: list[str]
    """The training users in a random order: a curve's smaller numbers of users are its beginnings."""
    left_out: dict[str, int]
    """Why rows were left out -> how many."""


def assert_disjoint(parts: dict[str, Rows]) -> None:
    """Refuse parts that share a user; asked of every task before anything is tuned.

    Raises:
        DataError: a user is in two parts.
    """
    seen: dict[str, str] = {}
    for name, rows in parts.items():
        for user in dict.fromkeys(rows.users.tolist()):
            if user in seen:
                raise DataError(f"user {user!r} is in {seen[user]} and in {name}: each user must be in one part only")
            seen[user] = name


def folder_of(run: Path, task: str) -> Path:
    """Where the files of a task lie."""
    return run / HOME / task


def save_task(run: Path, task: Task, test: Rows) -> None:
    """Write both files of a task: ``data.npz`` and ``test.npz``."""
    folder = folder_of(run, task.name)
    arrays: dict[str, Any] = {}
    for name, rows in (("train", task.train), ("validation", task.validation)):
        arrays |= {f"{name}_{key}": value for key, value in _arrays(rows).items()}
    for name, texts in (("ids", task.ids), ("order", task.order), ("kind", [task.kind]), ("why", list(task.left_out))):
        arrays[f"{name}_text"], arrays[f"{name}_ends"] = pack_texts(texts)
    arrays["left_out"] = np.array(list(task.left_out.values()), np.int64)
    save_arrays(folder / "data.npz", arrays)
    save_arrays(folder / "test.npz", _arrays(test))


def load_task(run: Path, name: str) -> Task:
    """Read a task without its test rows.

    Raises:
        DataError: the file is missing or damaged.
    """
    found = read_arrays(folder_of(run, name) / "data.npz")
    texts = {key: unpack_texts(found[f"{key}_text"], found[f"{key}_ends"]).tolist()
             for key in ("ids", "order", "kind", "why")}  # fmt: skip
    train, validation = (_rows({key.removeprefix(f"{part}_"): value for key, value in found.items()
                                if key.startswith(f"{part}_")}) for part in PARTS[:2])  # fmt: skip
    left_out = dict(zip(texts["why"], found["left_out"].tolist(), strict=True))
    return Task(name, texts["kind"][0], texts["ids"], train, validation, texts["order"], left_out)


def load_test(run: Path, name: str) -> Rows:
    """Open the test rows of a task.

    Raises:
        DataError: the file is missing or damaged.
    """
    return _rows(read_arrays(folder_of(run, name) / "test.npz"))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = type(error).__name__
        raise DataError(f"cannot read {path} ({reason}): delete the run directory and run again") from None


def _arrays(rows: Rows) -> dict[str, NDArray[Any]]:
    text, ends = pack_texts(rows.users)
    return {"user_text": text, "user_ends": ends, "windows": rows.windows, "targets": rows.targets}


def _rows(found: dict[str, NDArray[Any]]) -> Rows:
    return Rows(unpack_texts(found["user_text"], found["user_ends"]), found["windows"], found["targets"])
