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

from pocketrec.cloud.arrays import save_arrays
from pocketrec.cloud.candidates.sets import (
    Candidates,
    damaged,
    pack_users,
    popular_rows,
    read_arrays,
    unpack_users,
)
from pocketrec.cloud.config import CandidatesConfig
from pocketrec.cloud.data.sequences import Sequences

_SCORES = 1 << 22  # scores held at a time


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

    def top(self, k: int, seen: list[np.ndarray] | None = None) -> np.ndarray:
        """int32 (U, k): the best rows of each user, best first (equal scores: more popular first), padded with 0.

        Args:
            k: size of a set.
            seen: for each user, rows that are left out; None leaves out none.
        """
        items = len(self.item_factors) - 1
        best = np.zeros((len(self.users), k), np.int32)
        step = max(1, _SCORES // (items + 1))
        for begin in range(0, len(self.users), step):
            scores = self.user_factors[begin : begin + step] @ self.item_factors[1:].T  # (u, N)
            if seen is not None:
                for row, gone in zip(scores, seen[begin : begin + step], strict=True):
                    row[gone - 1] = -np.inf
            count = min(k, items)
            chosen = np.sort(np.argpartition(-scores, count - 1, axis=1)[:, :count], axis=1)
            values = np.take_along_axis(scores, chosen, 1)
            order = np.argsort(-values, axis=1, kind="stable")
            chosen, values = np.take_along_axis(chosen, order, 1), np.take_along_axis(values, order, 1)
            best[begin : begin + step, :count] = np.where(np.isfinite(values), chosen + 1, 0)
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


def fit_als(config: CandidatesConfig, before: Sequences, items: int, seed: int, threads: int = 1) -> AlsModel:
    """Fit ALS to the events before the cut-off. The number of threads does not change the factors.

    Args:
        config: size and weights.
        before: events before the cut-off.
        items: N.
        seed: of the factors at the start.
        threads: of the solver; 0 = one for each core.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    known = before.items > 0
    users, rows = before.event_users()[known], before.items[known] - 1
    counts = csr_matrix((np.ones(len(rows), np.float32), (users, rows)), shape=(len(before), items))
    counts.sum_duplicates()
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
        model.fit(counts, show_progress=False)
    padded = np.concatenate([np.zeros((1, config.factors), np.float32), np.asarray(model.item_factors)])
    return AlsModel(before.users, np.asarray(model.user_factors), padded)


class AlsCandidates:
    """The K items of highest ALS score."""

    name = "als"

    def build(
        self,
        config: CandidatesConfig,
        before: Sequences,
        items: int,
        *,
        seed: int = 1,
        threads: int = 1,
        mask_seen: bool = False,
        als: AlsModel | None = None,
    ) -> Candidates:
        """See `CandidateSource.build`."""
        model = als or fit_als(config, before, items, seed, threads)
        seen = [np.unique(before.of(user)[0]) for user in range(len(before))] if mask_seen else None
        return Candidates(model.users, model.top(config.k, seen), popular_rows(items, config.k))
