# SPDX-License-Identifier: Apache-2.0
"""Leave-one-out by time: what clients train on, what chooses the round, and the test, in two files.

Of each user's events the last is the test, the one before it validation, the rest training. The test lies in a file of
its own, which only two readers open: the evaluation, once, and the paper's sampler, whose leak that is. Items are
numbered from 0 by decreasing popularity in training, so the order of popularity is the order of numbers.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.arrays import pack_texts, save_arrays, unpack_texts
from pocketrec.cloud.data.log import Log
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.federated.pfedrec.config import RANKED_NEGATIVES
from pocketrec.device.base.errors import DataError

DATA_FILE, TEST_FILE = "pfedrec/data.npz", "pfedrec/test.npz"
_EVENTS = 3  # training, validation and test need one each


@dataclass(frozen=True)
class Split:
    """What may be looked at before the test: U clients, N items."""

    users: NDArray[Any]
    """object (U,): ids as `str`, sorted."""
    items: int
    """N."""
    offsets: NDArray[np.int64]
    """(U + 1,): client u's training items are ``train[offsets[u]:offsets[u + 1]]``."""
    train: NDArray[np.int32]
    """(n,): items from 0, oldest first within a client."""
    times: NDArray[Any]
    """(n,): of the training events."""
    validation: NDArray[np.int32]
    """(U,)."""
    negatives: NDArray[np.int32]
    """(U, 99): beside the validation item; none touched by the user."""
    dropped: int = 0
    """Users of fewer than three events, left out."""
    repeats: int = 0
    """Clients whose test item was a training or validation item (a count; which they are is in the test file)."""

    def __len__(self) -> int:
        return len(self.users)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(U,): training events of each client."""
        return np.diff(self.offsets)

    def seen(self) -> NDArray[np.bool_]:
        """(U, N): the training items."""
        seen = np.zeros((len(self), self.items), dtype=bool)
        seen[np.repeat(np.arange(len(self)), self.lengths), self.train] = True
        return seen

    def sequences(self) -> Sequences:
        """Training events in the form of the baselines: item row = number + 1."""
        return Sequences(self.users, self.offsets, (self.train + 1).astype(np.int32), self.times)


@dataclass(frozen=True)
class Test:
    """The test, to be opened once."""

    __test__ = False  # no test of pytest

    targets: NDArray[np.int32]
    """(U,)."""
    negatives: NDArray[np.int32]
    """(U, 99): beside the target; none touched by the user, none of those beside the validation item."""


def split_log(log: Log, seed: int) -> tuple[Split, Test]:
    """Split a log by leave-one-out, and draw the 198 negatives of each user's evaluation.

    Args:
        log: any interaction log; every event is a positive.
        seed: of the negatives.

    Raises:
        DataError: no user has three events, or a user has touched so much that 198 other items are not there.
    """
    every = Sequences.build(log.users.values, log.users.codes, log.items.codes, log.timestamps)
    kept = every.lengths >= _EVENTS
    if not kept.any():
        raise DataError(f"no user of {log.report.source} has {_EVENTS} events: leave-one-out needs that many")
    owner = np.repeat(np.arange(len(every)), every.lengths)
    place = np.arange(every.events) - every.offsets[owner]  # of an event within its user
    left = every.lengths[owner] - 1 - place  # events after it
    kept_events = kept[owner]
    codes, count = np.unique(every.items[kept_events], return_inverse=True)
    training = left[kept_events] >= 2
    popularity = np.bincount(count[training], minlength=len(codes))
    number = np.empty(len(codes), np.int32)
    number[np.argsort(-popularity, kind="stable")] = np.arange(len(codes))
    items, left, times = number[count], left[kept_events], every.timestamps[kept_events]
    lengths = every.lengths[kept]
    touched = np.zeros((len(lengths), len(codes)), dtype=bool)
    touched[np.repeat(np.arange(len(lengths)), lengths), items] = True
    negatives = _ranked_negatives(np.random.default_rng([seed, 198]), touched)
    train = items[left >= 2]
    offsets = np.concatenate([[0], np.cumsum(lengths - 2)])
    split = Split(every.users[kept], len(codes), offsets, train, times[left >= 2], items[left == 1],
                  negatives[:, :RANKED_NEGATIVES], int((~kept).sum()))  # fmt: skip
    targets = items[left == 0]
    seen = split.seen()
    again = seen[np.arange(len(targets)), targets] | (targets == split.validation)
    return replace(split, repeats=int(again.sum())), Test(targets, negatives[:, RANKED_NEGATIVES:])


def _ranked_negatives(rng: np.random.Generator, touched: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(U, 198): different items for each user, none of them touched."""
    users, items = touched.shape
    wanted = 2 * RANKED_NEGATIVES
    fewest = items - int(touched.sum(axis=1).max())
    if fewest < wanted:
        raise DataError(
            f"a user has touched all but {fewest} of {items} items, and {wanted} untouched ones are needed for sampled "
            "ranking: use a log with more items"
        )
    drawn = np.empty((users, wanted), np.int32)
    for user in range(users):
        drawn[user] = rng.choice(np.flatnonzero(~touched[user]), wanted, replace=False)
    return drawn


def save_split(folder: Path, split: Split, test: Test) -> None:
    """Write both files under the run directory."""
    raw, ends = pack_texts(split.users)
    save_arrays(folder / DATA_FILE, {
        "user_text": raw, "user_ends": ends, "offsets": split.offsets, "train": split.train, "times": split.times,
        "validation": split.validation, "negatives": split.negatives,
        "counts": np.array([split.items, split.dropped, split.repeats]),
    })  # fmt: skip
    save_arrays(folder / TEST_FILE, {"targets": test.targets, "negatives": test.negatives})


def load_split(folder: Path) -> Split:
    """Read what may be looked at before the test.

    Raises:
        DataError: the file is missing or damaged.
    """
    found = read_arrays(folder / DATA_FILE)
    items, dropped, repeats = found["counts"].tolist()
    users = unpack_texts(found["user_text"], found["user_ends"])
    return Split(users, items, found["offsets"], found["train"], found["times"], found["validation"],
                 found["negatives"], dropped, repeats)  # fmt: skip


def load_test(folder: Path) -> Test:
    """Open the test.

    Raises:
        DataError: the file is missing or damaged.
    """
    found = read_arrays(folder / TEST_FILE)
    return Test(found["targets"], found["negatives"])


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
