# SPDX-License-Identifier: Apache-2.0
"""Ranking quality and how sure we are of it: ranks, Recall, MRR, NDCG, paired intervals, gained and harmed.

Everything here is plain numpy on small arrays; the module knows nothing about models, files or users' names, so
the device processes of an evaluation import it without TensorFlow or pandas.

Two means are kept apart everywhere. The *event mean* weighs every test position alike, the *user mean* first
averages the positions of a user and then weighs every user alike. Personal training is a matter of users, so
paired differences and intervals are over users.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.device.base.errors import ConfigError

Floats = NDArray[np.float64]

#: Depths at which quality is reported.
CUTOFFS: Final = (5, 10, 20)
#: Policies for a target that shares its score with other items.
TIES: Final = ("worst", "best", "average")
#: The figure by which systems are compared.
HEADLINE: Final = "mrr@20"
#: A user gained (was harmed) where the headline rose (fell) by more than this.
MARGIN: Final = 0.01
_ROUNDING: Final = 1e-9  # must not make exactly the margin more than the margin
#: Lower ends of the history-length groups: 1-2, 3-5, 6-10, 11-20, 21-50 and more than 50 events.
LENGTHS: Final = (0, 1, 3, 6, 11, 21, 51)


def ranks(scores: NDArray[Any], targets: NDArray[Any], ties: str = "worst",
          masked: NDArray[np.bool_] | None = None) -> Floats:
    """Rank of each target among all items, 1 = best.

    Row 0 is padding and is never ranked. A score that is not a number counts as better than the target, so that a
    broken model cannot look good. A target that is masked, padding or outside the table is missing: rank infinity,
    which every measure below counts as a miss.

    Args:
        scores: [n, R] float, one row for each test position, one column for each item row (column 0 is ignored).
        targets: [n] int, the item row that came.
        ties: ``worst`` puts the target behind all items of equal score, ``best`` before them, ``average`` in the
            middle (which may give a half).
        masked: [n, R] bool, True where the item is taken out of the ranking; None masks nothing.

    Returns:
        [n] float64, at least 1, or infinity.
    """
    if ties not in TIES:
        raise ConfigError(f"ties {ties!r} is not one of {', '.join(TIES)}: choose one of them")
    scores = np.asarray(scores)
    targets = np.asarray(targets, dtype=np.int64)
    count, rows = scores.shape
    valid = (targets >= 1) & (targets < rows)
    safe = np.where(valid, targets, 0)
    everyone = np.arange(count)
    own = scores[everyone, safe][:, None]  # (n, 1)
    listed = np.ones(scores.shape, dtype=bool) if masked is None else ~masked  # (n, R)
    listed[:, 0] = False
    present = valid & listed[everyone, safe]
    listed[everyone, safe] = False
    last = (listed & ~(scores < own)).sum(axis=1) + 1.0  # behind all its equals
    first = (listed & ~(scores <= own)).sum(axis=1) + 1.0  # before all its equals
    rank = {"worst": last, "best": first, "average": (first + last) / 2}[ties]
    return np.where(present, rank, np.inf)


def hits(rank: NDArray[Any], k: int) -> Floats:
    """Recall@k of single targets: 1 where the rank is at most `k`, else 0."""
    return (np.asarray(rank) <= k).astype(np.float64)


def reciprocal(rank: NDArray[Any], k: int) -> Floats:
    """Reciprocal rank, 0 beyond `k`."""
    rank = np.asarray(rank, dtype=np.float64)
    return np.where(rank <= k, 1.0 / rank, 0.0)


def gains(rank: NDArray[Any], k: int) -> Floats:
    """NDCG@k of single targets: 1 / log2(1 + rank), 0 beyond `k` (the ideal list has gain 1)."""
    rank = np.asarray(rank, dtype=np.float64)
    return np.where(rank <= k, 1.0 / np.log2(1.0 + rank), 0.0)


_MEASURES: Final = {"recall": hits, "mrr": reciprocal, "ndcg": gains}

#: Names of all measures, such as ``recall@5``.
NAMES: Final = tuple(f"{name}@{k}" for name in _MEASURES for k in CUTOFFS)


def per_position(rank: NDArray[Any], name: str) -> Floats:
    """Value of one measure at each test position; `name` is such as ``mrr@20``."""
    kind, _, depth = name.partition("@")
    return _MEASURES[kind](rank, int(depth))


def event_means(rank: NDArray[Any]) -> dict[str, float]:
    """Every measure of `NAMES`, averaged over test positions; zeros where there are none."""
    return {name: _mean(per_position(rank, name)) for name in NAMES}


def user_values(per_user: Sequence[NDArray[Any]], name: str = HEADLINE) -> Floats:
    """One measure for each user, averaged over that user's positions.

    Args:
        per_user: ranks of each user's test positions; no user may be without one.
        name: a measure of `NAMES`.

    Returns:
        [users] float64.
    """
    return np.array([per_position(rank, name).mean() for rank in per_user], dtype=np.float64)


def user_means(per_user: Sequence[NDArray[Any]]) -> dict[str, float]:
    """Every measure of `NAMES`, averaged within users, then over users; zeros where there are none."""
    return {name: _mean(user_values(per_user, name)) for name in NAMES}


@dataclass(frozen=True)
class Interval:
    """A mean and the range in which it lies with 95 % confidence."""

    mean: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


def resample_means(columns: NDArray[Any], samples: int, seed: int) -> Floats:
    """Means over users in bootstrap samples, the same users in every column.

    Args:
        columns: [C, users] values.
        samples: bootstrap samples.
        seed: equal seeds draw equal samples.

    Returns:
        [samples, C] float64.
    """
    columns = np.asarray(columns, dtype=np.float64)
    count = columns.shape[1]
    generator = np.random.default_rng(seed)
    means = np.empty((samples, len(columns)))
    for index in range(samples):
        drawn = np.bincount(generator.integers(0, count, count), minlength=count)  # (users,)
        means[index] = columns @ drawn
    return means / count


def bootstrap_mean(
    values: NDArray[Any], samples: int = 2000, seed: int = 1, weights: NDArray[Any] | None = None
) -> Interval:
    """95 % percentile bootstrap interval of the mean over users (give paired differences for a paired interval).

    With fewer than two users nothing can be said and the interval is as wide as the line. For `weights` see `paired`.
    """
    values = np.asarray(values, dtype=np.float64)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    if len(values) < 2:
        return Interval(_mean(values), -math.inf, math.inf)
    drawn = resample_means(np.stack([values * weights, weights]), samples, seed)  # (samples, 2)
    return _interval(float((values * weights).sum() / weights.sum()), drawn[:, 0] / drawn[:, 1])


def _interval(mean: float, resampled: Floats, level: float = 0.95) -> Interval:
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(mean), float(low), float(high))


@dataclass(frozen=True)
class Paired:
    """One system against another, user by user."""

    users: int
    difference: Interval
    """Mean over users of the paired difference."""
    ratio: Interval
    """Ratio of the two means."""
    gained: int
    """Users whose value rose by more than the margin."""
    harmed: int
    """Users whose value fell by more than the margin."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        share = max(1, self.users)
        return {**self.difference.to_dict(), "ratio": self.ratio.to_dict(), "users": self.users,
                "gained": self.gained, "harmed": self.harmed,
                "gained_share": self.gained / share, "harmed_share": self.harmed / share}


def is_harmed(differences: NDArray[Any], margin: float = MARGIN) -> NDArray[np.bool_]:
    """Which paired differences lie below the negative of `margin`; just the margin does not."""
    below: NDArray[np.bool_] = np.asarray(differences, dtype=np.float64) < -(margin + _ROUNDING)
    return below


def gained_harmed(differences: NDArray[Any], margin: float = MARGIN) -> tuple[int, int]:
    """How many paired differences lie above `margin`, and how many below its negative; just the margin is neither."""
    gained = np.asarray(differences, dtype=np.float64) > margin + _ROUNDING
    return int(gained.sum()), int(is_harmed(differences, margin).sum())


def paired(
    after: NDArray[Any], before: NDArray[Any], samples: int = 2000, seed: int = 1, weights: NDArray[Any] | None = None
) -> Paired:
    """Compare two systems on the same users.

    Args:
        after: [users] values of one measure.
        before: the same of the system compared with, in the same order of users.
        samples: bootstrap samples.
        seed: seed of the bootstrap.
        weights: [users] weight of each user in the means; None = all alike. With numbers of positions as weights the
            means are event means, and users are still what is drawn.
    """
    weights = np.ones(len(after)) if weights is None else np.asarray(weights, dtype=np.float64)
    columns = np.array([after, before], dtype=np.float64)  # (2, users)
    count = columns.shape[1]
    gained, harmed = gained_harmed(columns[0] - columns[1])
    mean = (columns * weights).sum(axis=1) / weights.sum() if count else np.zeros(2)
    difference, ratio = float(mean[0] - mean[1]), float(mean[0] / mean[1]) if mean[1] > 0 else math.nan
    if count < 2:
        nothing = Interval(difference, -math.inf, math.inf)
        return Paired(count, nothing, Interval(ratio, math.nan, math.nan), gained, harmed)
    drawn = resample_means(np.vstack([columns * weights, weights]), samples, seed)  # (samples, 3)
    drawn = drawn[:, :2] / drawn[:, 2:]
    usable = drawn[drawn[:, 1] > 0]
    ratios = _interval(ratio, usable[:, 0] / usable[:, 1]) if len(usable) else Interval(ratio, math.nan, math.nan)
    return Paired(count, _interval(difference, drawn[:, 0] - drawn[:, 1]), ratios, gained, harmed)


def length_groups(lengths: NDArray[Any], edges: Sequence[int] = LENGTHS) -> list[tuple[int, int | None, NDArray[Any]]]:
    """Split users by history length.

    Args:
        lengths: [users] int.
        edges: ascending lower ends of the groups.

    Returns:
        (lowest length, highest length or None where open, indices of the users) of each group that has users.
    """
    lengths = np.asarray(lengths)
    groups: list[tuple[int, int | None, NDArray[Any]]] = []
    for position, low in enumerate(edges):
        high = edges[position + 1] - 1 if position + 1 < len(edges) else None
        inside = lengths >= low if high is None else (lengths >= low) & (lengths <= high)
        if inside.any():
            groups.append((low, high, np.flatnonzero(inside)))
    return groups


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0
