# SPDX-License-Identifier: Apache-2.0
"""Implicit-feedback ALS (Hu, Koren, Volinsky 2008), by the `implicit` package.

Counts of the events before the cut-off are the confidence, c = 1 + alpha r. This module knows nothing about later
events: it is never given them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,unused-ignore]

from pocketrec.cloud.base.arrays import save_arrays
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.candidates.sets import (
    Candidates,
    damaged,
    pack_users,
    popular_rows,
    read_arrays,
    unpack_users,
)
from pocketrec.cloud.candidates.source import Past
from pocketrec.cloud.config.candidates import AlsOptions
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.device.base.files import storage_error

_BLOCK = 4096  # users ranked at a time
_GONE = float(np.finfo(np.float32).min)  # topk's score of an item that is left out


@dataclass(frozen=True)
class AlsModel:
    """Factors of users and items; score = inner product."""

    users: np.ndarray
    """object (U,): ids as `str`, sorted."""
    user_factors: np.ndarray
    """float32 (U, F)."""
    item_factors: np.ndarray
    """float32 (N + 1, F); row 0 (padding) is zero."""

    def factor(self, user: str) -> np.ndarray | None:
        """float32 (F,): the factor of a user, None for a New one."""
        place = int(np.searchsorted(self.users, user))
        return self.user_factors[place] if place < len(self.users) and self.users[place] == user else None

    def top(
        self,
        k: int,
        *,
        head: int = 0,
        seen: Sequences | None = None,
        threads: int = 1,
        unfinished: Path | None = None,
        progress: Progress = no_progress,
    ) -> np.ndarray:
        """int32 (U, k): the best rows of each user, best first (equal scores: more popular first), padded with 0.

        Which of several items get in that share the score of the last place is not said.

        Args:
            k: size of a set.
            head: rank the rows 1 to `head`, the most popular items, alone; 0 = all.
            seen: the same users' events, whose items are left out; None leaves out none.
            threads: 0 = one for each core; does not change the sets.
            unfinished: file in which sets are kept as they are made, so that an interrupted call with equal arguments
                resumes where it was; removed by whoever has saved them. None keeps nothing.
            progress: called with the users done.
        """
        from implicit.cpu.topk import topk

        items = self.item_factors[1 : head + 1 if head else None]
        best = np.zeros((len(self.users), k), np.int32)
        done = _read_unfinished(unfinished, best)
        for begin in range(done, len(best), _BLOCK):
            users = slice(begin, begin + _BLOCK)
            gone = None if seen is None else _counts(seen, users, len(items))
            with threadpool_limits(1, "blas"):  # the threads are topk's own
                chosen, scores = topk(items, self.user_factors[users], min(k, len(items)), filter_query_items=gone,
                                      num_threads=threads)  # fmt: skip
            order = np.lexsort((chosen, -scores))
            chosen, scores = np.take_along_axis(chosen, order, 1), np.take_along_axis(scores, order, 1)
            best[users, : chosen.shape[1]] = np.where(scores > _GONE, chosen + 1, 0)
            if unfinished is not None:
                _append(unfinished, best[users])
            progress(min(begin + _BLOCK, len(best)), len(best), "users")
        return best

    def save(self, path: str | Path) -> None:
        """Write an .npz without pickled objects, atomically.

        Raises:
            StorageError: the file cannot be written.
        """
        factors = {"user_factors": self.user_factors, "item_factors": self.item_factors}
        save_arrays(path, {**pack_users(self.users), **factors})

    @staticmethod
    def load(path: str | Path) -> AlsModel:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing or damaged.
        """
        arrays = read_arrays(path)
        try:
            return AlsModel(unpack_users(arrays), arrays["user_factors"], arrays["item_factors"])
        except (KeyError, ValueError) as error:
            raise damaged(path, error) from None


def fit_als(
    config: AlsOptions,
    before: Sequences,
    items: int,
    seed: int,
    threads: int = 1,
    progress: Progress = no_progress,
) -> AlsModel:
    """Fit ALS to the events before the cut-off. The number of threads does not change the factors.

    Args:
        config: size and weights.
        before: events before the cut-off.
        items: N.
        seed: of the factors at the start.
        threads: of the solver; 0 = one for each core.
        progress: called with the alternations done.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    counts = _counts(before, slice(0, len(before)), items)
    counts.data = 1 + config.alpha * counts.data
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="implicit")
        model = AlternatingLeastSquares(
            factors=config.factors,
            regularization=config.regularization,
            alpha=1.0,
            iterations=config.iterations,
            num_threads=threads,
            random_state=seed,
        )
        model.fit(counts, show_progress=False, callback=lambda done, *_: progress(done + 1, config.iterations, "ALS"))
    padded = np.concatenate([np.zeros((1, config.factors), np.float32), np.asarray(model.item_factors)])
    return AlsModel(before.users, np.asarray(model.user_factors), padded)


def _counts(sequences: Sequences, users: slice, items: int) -> csr_matrix:
    """float32 (u, items): how often each of some users has had each of the rows 1 to `items`."""
    offsets = sequences.offsets[users.start : min(users.stop, len(sequences)) + 1]
    rows = sequences.items[offsets[0] : offsets[-1]]
    known = (rows > 0) & (rows <= items)
    ends = np.concatenate([[0], np.cumsum(known, dtype=np.int64)])[offsets - offsets[0]]
    counts = csr_matrix((np.ones(int(ends[-1]), np.float32), rows[known] - 1, ends), shape=(len(offsets) - 1, items))
    counts.sum_duplicates()
    return counts


def _read_unfinished(path: Path | None, best: np.ndarray) -> int:
    """Fill in what an interrupted call has left, and cut a half-written block off; the number of users done."""
    if path is None or not path.exists():
        return 0
    width = best.shape[1] * best.itemsize
    done = min(path.stat().st_size // (width * _BLOCK) * _BLOCK, len(best))
    try:
        with open(path, "r+b") as file:
            file.truncate(done * width)
        best[:done] = np.fromfile(path, np.int32).reshape(done, best.shape[1])
    except OSError as error:
        raise storage_error(path, error) from None
    return done


def _append(path: Path, rows: np.ndarray) -> None:
    try:
        with open(path, "ab") as file:
            file.write(rows.tobytes())
    except OSError as error:
        raise storage_error(path, error) from None


class AlsCandidates:
    """The K items of highest ALS score."""

    def build(self, options: AlsOptions, k: int, past: Past) -> Candidates:
        """See `CandidateSource.build`."""
        model: AlsModel = past.als or fit_als(options, past.before, past.items, past.seed, past.threads)
        rows = model.top(
            k, head=options.head, seen=past.before if past.mask_seen else None, threads=past.threads,
            unfinished=past.scratch, progress=past.progress,
        )  # fmt: skip
        return Candidates(model.users, rows, popular_rows(past.items, k))
