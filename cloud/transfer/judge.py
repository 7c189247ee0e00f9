# SPDX-License-Identifier: Apache-2.0
"""The test users, once: every system's ranks of their targets, and figures with intervals by user.

Every figure's name says how it was ranked: ``full`` among all targets of the task, ``sampled_99`` among 99 of the
others (the expected value over all draws, `pocketrec.cloud.metrics.sampled`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.config.transfer import TransferConfig
from pocketrec.cloud.metrics.metrics import NAMES, bootstrap_mean, paired, per_position, ranks
from pocketrec.cloud.metrics.sampled import NEGATIVES, expected
from pocketrec.cloud.transfer.rows import Rows
from pocketrec.device.contract.repeats import Repeats

Ranks = NDArray[np.float64]

SAMPLED: Final = f"sampled_{NEGATIVES}"
ACCURACY: Final = "full_accuracy"
#: Measures by which systems are compared, by the task's kind; the first is the headline.
COMPARED: Final = {"items": ("full_mrr@20", f"{SAMPLED}_mrr@5"), "profile": (ACCURACY,)}
_STRENGTHS: Final = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
_DECAYS: Final = (0.6, 0.8, 0.9)


def measures(rank: Ranks, targets: int, kind: str) -> dict[str, NDArray[np.float64]]:
    """Every measure at each row, by a name that says how it was ranked.

    Args:
        rank: (n,) among all targets.
        targets: M.
        kind: of the task.
    """
    if kind == "profile":
        return {ACCURACY: (rank <= 1).astype(np.float64)}
    found = {f"full_{name}": per_position(rank, name) for name in NAMES}
    return found | {f"{SAMPLED}_{name}": value for name, value in expected(rank, targets).items()}


def by_user(values: NDArray[np.float64], rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of each user, and the number of the user's rows, in the order of the ids."""
    _, codes, counts = np.unique(rows.users.astype(str), return_inverse=True, return_counts=True)
    return np.bincount(codes, values) / counts, counts.astype(np.float64)


def summary(rank: Ranks, rows: Rows, targets: int, kind: str, samples: int, seed: int) -> dict[str, Any]:
    """Means over rows of every measure, and the interval of the headline, for which users are drawn."""
    found = measures(rank, targets, kind)
    headline = COMPARED[kind][0]
    values, weights = by_user(found[headline], rows)
    ends = bootstrap_mean(values, samples, seed, weights).to_dict()
    return {**{name: float(value.mean()) for name, value in found.items()}, "interval": finite(ends)}


def compared(
    rank: Ranks, other: Ranks, rows: Rows, targets: int, kind: str, samples: int, seed: int
) -> dict[str, Any]:
    """One system against another: paired differences and ratios of the means over rows; users are drawn."""
    ours, theirs = (measures(each, targets, kind) for each in (rank, other))
    found = {}
    for name in COMPARED[kind]:
        after, weights = by_user(ours[name], rows)
        before, _ = by_user(theirs[name], rows)
        found[name] = finite(paired(after, before, samples, seed, weights).to_dict())
    return found


def choose_repeats(scores: NDArray[np.float32], asked: list[NDArray[np.int32]], targets: NDArray[np.int32]) -> Repeats:
    """The bonus for the own history that has the best full MRR@20 of validation users; of equal ones the weakest."""
    best, chosen = -1.0, Repeats()
    for strength in _STRENGTHS:
        for decay in _DECAYS if strength else _DECAYS[:1]:
            bonus = Repeats(strength, decay)
            value = float(per_position(ranks(with_repeats(scores, asked, bonus), targets), "mrr@20").mean())
            if value > best:
                best, chosen = value, bonus
    return chosen


def with_repeats(
    scores: NDArray[np.float32], asked: list[NDArray[np.int32]], bonus: Repeats
) -> NDArray[np.float32]:
    """Scores (n, M + 1) with the bonus after each history of joint rows; items that are no target get none."""
    raised = np.array(scores)
    if bonus.strength:
        for place, history in enumerate(asked):
            items, gained = bonus.bonus(history)
            inside = items < scores.shape[1]
            raised[place, items[inside]] += gained[inside]
    return raised


def reference_of(config: TransferConfig, methods: Mapping[str, Any]) -> str:
    """The method that others are compared with: ``fine_all`` where it is judged, else the first that trains."""
    return "fine_all" if "fine_all" in methods else next(name for name in config.methods if name in methods)


def finite(entry: Any) -> Any:
    """JSON has no infinity and no nan: None in their place."""
    if isinstance(entry, dict):
        return {key: finite(value) for key, value in entry.items()}
    return None if isinstance(entry, float) and not math.isfinite(entry) else entry
