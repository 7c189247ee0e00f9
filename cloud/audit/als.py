# SPDX-License-Identifier: Apache-2.0
"""Candidate sets of the audit's own, by implicit ALS (Hu, Koren, Volinsky 2008): what training alone can foretell."""

from __future__ import annotations

from typing import Final

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.topk import topk
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,unused-ignore]

from pocketrec.cloud.audit.case import Case

FACTORS: Final = 64
ALPHA: Final = 2.0  # weight of an observed count, c = 1 + alpha r


def als_sets(case: Case, users: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """`Case.keys` of the `size` best items of each of some users: of all, and of those that they have not had.

    Args:
        case: training is read, nothing else.
        users: int64, sorted.
        size: items in a set.
    """
    shape = (len(case.user_ids), len(case.item_ids))
    ones = np.ones(len(case.train), np.float32)
    counts = csr_matrix((ones, (case.train["user"], case.train["item"])), shape)
    weights = counts.copy()
    weights.data = 1 + ALPHA * weights.data
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(factors=FACTORS, regularization=0.05, alpha=1.0, iterations=15, num_threads=1,
                                        random_state=case.parts.seed)  # fmt: skip
        model.fit(weights, show_progress=False)
        known = np.flatnonzero(case.train_counts > 0)
        factors = np.asarray(model.item_factors)[known], np.asarray(model.user_factors)[users]
        best = [topk(*factors, min(size, len(known)), filter_query_items=gone, num_threads=1)[0]
                for gone in (None, counts[users][:, known])]  # fmt: skip
    first, other = ((users[:, None] * len(case.item_ids) + known[places]).ravel() for places in best)
    return first, other
