# SPDX-License-Identifier: Apache-2.0
"""What the global model says at the test positions of rehearsed users, kept so small that any bonus is judged at once.

A bonus for repeats raises own items only, so of all others the best `DEPTH` scores at each position are enough to know
a rank of at most `DEPTH`. Of the own items the scores stay, and age and time of each of their events. Judging one bonus
at 6,000 positions of 640 users takes some 15 ms, where scoring the catalogue again takes seconds. What is computed is
`pocketrec.device.contract.repeats.Repeats.bonus`, for all positions at once. Knows nothing about models or files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.fleet.device import DeviceUser, known_positions
from pocketrec.device.contract.repeats import SECONDS, SHARPNESS, Repeats, gaps_at

Floats = NDArray[np.float64]

#: Depth of the reciprocal rank.
DEPTH: Final = 20
#: Most own events kept, over all positions; where there would be more, each position keeps its latest ones.
EVENTS: Final = 2_000_000
_FEWEST: Final = 50  # that a position keeps in any case
_KEPT: Final = 8  # sets of r
_KINDS: Final[dict[str, Any]] = {
    "user": np.int64, "length": np.int64, "place": np.int64, "hit": np.bool_, "followed": np.float32,
    "first": np.int64, "age": np.float32, "time": np.float32,
}  # fmt: skip
_NO_PAIRS: Final = (np.zeros(0, np.int64), np.zeros(0, np.int64))
_MOST: Final = 60.0  # an exponent that single precision can take


@dataclass(frozen=True)
class Positions:
    """P test positions of U users, their G (position, own item) pairs and the V events of these."""

    users: int
    """U."""
    user: NDArray[np.int64]
    """[P] whose."""
    length: NDArray[np.int64]
    """[P] events of the history before it."""
    target: NDArray[np.float32]
    """[P] score of the item that came."""
    others: NDArray[np.float32]
    """[P, DEPTH] best scores of items that are neither own nor the target; minus infinity where there are fewer."""
    best: NDArray[np.float32]
    """[P] best score of all."""
    place: NDArray[np.int64]
    """[G] position of the pair, ascending."""
    score: NDArray[np.float32]
    """[G] of the item."""
    followed: NDArray[np.float32]
    """[G] q of the bonus."""
    hit: NDArray[np.bool_]
    """[G] whether the item is the one that came."""
    first: NDArray[np.int64]
    """[G] index of the pair's first event; its others follow."""
    age: NDArray[np.float32]
    """[V] log(1 + events since)."""
    time: NDArray[np.float32]
    """[V] log((60 + s) / (60 + s0)) of the seconds since; 0 where times are not known."""
    ties: str = "worst"
    """Policy for equal scores."""
    recencies: dict[tuple[float, float, float], NDArray[np.float32]] = field(default_factory=dict, repr=False)
    """r of pairs, by the numbers that it depends on."""

    @cached_property
    def counts(self) -> Floats:
        """[U] positions of each user, at least 1."""
        result: Floats = np.maximum(1, np.bincount(self.user, minlength=self.users))
        return result

    @cached_property
    def since(self) -> NDArray[np.float32]:
        """[V] events since."""
        result: NDArray[np.float32] = np.expm1(self.age)
        return result

    @cached_property
    def below(self) -> NDArray[np.float32]:
        """[G] how far the item's score lies below the position's best."""
        result: NDArray[np.float32] = self.best[self.place] - self.score
        return result

    @cached_property
    def following(self) -> NDArray[np.float32]:
        """[G] log(1 + 100 q)."""
        result: NDArray[np.float32] = np.log1p(SHARPNESS * self.followed)
        return result

    @cached_property
    def plain(self) -> Floats:
        """[U] mean reciprocal rank without a bonus."""
        return self.means(Repeats())

    def gains(self, repeats: Repeats) -> Floats:
        """[U] mean reciprocal rank with a bonus less that without; 0 for users without a position."""
        result: Floats = self.means(repeats) - self.plain
        return result

    def means(self, repeats: Repeats) -> Floats:
        """[U] mean reciprocal rank with a bonus; 0 for users without a position."""
        raised = self.score + self._bonus(repeats) if repeats.strength and len(self.place) else self.score
        own = self.target.astype(raised.dtype)  # (P,)
        own[self.place[self.hit]] = raised[self.hit]
        ahead = self._ahead(self.others, own[:, None]).sum(axis=1)  # (P,)
        better = self._ahead(raised, own[self.place])  # (G,)
        better[self.hit] = 0
        rank = 1 + ahead + np.bincount(self.place, better, minlength=len(own))
        value = np.where(rank <= DEPTH, 1 / rank, 0.0)
        result: Floats = np.bincount(self.user, value, minlength=self.users) / self.counts
        return result

    def _ahead(self, scores: NDArray[Any], own: NDArray[Any]) -> NDArray[np.float32]:
        """How far each score stands before the target: 1, 0, or a half for an equal one where ties are averaged."""
        if self.ties == "average":
            return (0.5 * (scores > own) + 0.5 * (scores >= own)).astype(np.float32)
        return (scores > own if self.ties == "best" else scores >= own).astype(np.float32)

    def _bonus(self, repeats: Repeats) -> Floats:
        """[G], as `Repeats.bonus` but in single precision."""
        recency = self._recency(repeats.decay, repeats.power, repeats.time_power if self.time.any() else 0.0)
        if repeats.headroom:
            recency = recency * np.exp(np.minimum(repeats.headroom * self.below, _MOST))
        raised = np.log(1 + np.float32(SHARPNESS) * recency)  # log1p of single precision takes five times as long
        if repeats.follows:
            raised += repeats.follows * self.following
        strength = np.full(len(self.target), repeats.strength)
        if repeats.slope:
            strength *= np.maximum(0.0, 1.0 + repeats.slope * np.log1p(self.length))
        result: Floats = strength[self.place] * raised
        return result

    def _recency(self, decay: float, power: float, time_power: float) -> NDArray[np.float32]:
        """[G] r of the bonus; the latest few stay, for a search moves one number at a time."""
        key = (decay, power, time_power)
        if key not in self.recencies:
            exponent = np.float32(-power) * self.age
            if time_power:
                exponent -= np.float32(time_power) * self.time
            if decay < 1:
                exponent += np.float32(np.log(decay)) * self.since
            if len(self.recencies) >= _KEPT:
                self.recencies.pop(next(iter(self.recencies)))
            self.recencies[key] = np.add.reduceat(np.exp(exponent), self.first)
        return self.recencies[key]


@dataclass(frozen=True)
class Outline:
    """What is known of test positions before anything is scored: `observe` for one model, and for many alike."""

    users: int
    """U."""
    of_user: tuple[tuple[NDArray[Any], NDArray[Any], NDArray[Any]], ...]
    """Of each user: targets [p] of its positions, and of its pairs the position among them [g] and the item [g]."""
    arrays: dict[str, NDArray[Any]]
    """The arrays of `Positions` that no score is in."""

    def scored(self, scores_of: Callable[[int], NDArray[np.float32]], ties: str = "worst") -> Positions:
        """With the scores of one model; see `observe`."""
        parts: dict[str, list[Any]] = {name: [] for name in ("target", "others", "best", "score")}
        for index, (targets, position, items) in enumerate(self.of_user):
            scores = scores_of(index).astype(np.float64)  # (p, N + 1)
            scores[:, 0] = -np.inf
            parts["target"].append(scores[np.arange(len(targets)), targets])
            parts["best"].append(scores.max(axis=1))
            parts["score"].append(scores[position, items])
            scores[position, items] = scores[np.arange(len(targets)), targets] = -np.inf
            parts["others"].append(_best(scores))
        joined: dict[str, Any] = {name: np.concatenate(part).astype(np.float32) if part else np.zeros(0, np.float32)
                                  for name, part in parts.items()}  # fmt: skip
        joined["others"] = joined["others"].reshape(-1, DEPTH)
        joined |= self.arrays
        return Positions(users=self.users, ties=ties, **joined)


def observe(
    users: Sequence[DeviceUser],
    places: Sequence[NDArray[np.int64]],
    scores_of: Callable[[int], NDArray[np.float32]],
    ties: str = "worst",
) -> Positions:
    """Look at the scores of users' test positions once.

    Args:
        users: U of them.
        places: of each, which of its known events (`known_positions`) are judged.
        scores_of: index of a user -> float32 [its places, N + 1], scores of all items without any bonus.
        ties: policy for equal scores.
    """
    return outline(users, places).scored(scores_of, ties)


def outline(users: Sequence[DeviceUser], places: Sequence[NDArray[np.int64]]) -> Outline:
    """The histories before the test positions; arguments as of `observe`."""
    kept = max(_FEWEST, EVENTS // max(1, sum(len(own) for own in places)))
    parts: dict[str, list[Any]] = {name: [] for name in _KINDS}
    of_user: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
    first = pairs = 0
    for index, (user, own) in enumerate(zip(users, places, strict=True)):
        rows, _ = known_positions(user)
        times = user.known_times
        own_pairs: list[tuple[NDArray[Any], NDArray[Any]]] = []
        for number, place in enumerate(own):
            target, history = rows[place], rows[max(0, place - kept) : place]
            parts["user"].append([index])
            parts["length"].append([place])
            if len(history):
                items, at = np.unique(history, return_inverse=True)
                age = np.arange(len(history) - 1, -1, -1.0)
                gap = np.zeros(len(history)) if times is None else gaps_at(times[place - len(history) : place],
                                                                           times[place])  # fmt: skip
                after = np.flatnonzero(history[:-1] == history[-1]) + 1
                order = np.argsort(at, kind="stable")
                own_pairs.append((np.full(len(items), number), items))
                parts["place"].append(np.full(len(items), first + number))
                parts["hit"].append(items == target)
                parts["followed"].append(np.bincount(at[after], (1 + age[after]) ** -0.5, minlength=len(items)))
                parts["first"].append(np.searchsorted(at[order], np.arange(len(items))) + pairs)
                parts["age"].append(np.log1p(age[order]))
                parts["time"].append(np.log((SECONDS + gap[order]) / (SECONDS + gap[-1])))
                pairs += len(history)
        position, items = (np.concatenate(part) for part in zip(*own_pairs, strict=True)) if own_pairs else _NO_PAIRS
        of_user.append((rows[own], position, items))
        first += len(own)
    arrays = {name: np.concatenate(parts[name]).astype(kind) if parts[name] else np.zeros(0, kind)
              for name, kind in _KINDS.items()}  # fmt: skip
    return Outline(len(users), tuple(of_user), arrays)


def _best(scores: Floats) -> Floats:
    """[p, DEPTH] the best of some scores [p, n]; minus infinity where there are fewer."""
    if scores.shape[1] <= DEPTH:
        return np.pad(scores, ((0, 0), (0, DEPTH - scores.shape[1])), constant_values=-np.inf)
    return np.partition(scores, -DEPTH, axis=1)[:, -DEPTH:]
