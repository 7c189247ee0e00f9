# SPDX-License-Identifier: Apache-2.0
"""Personal item rows: dual personalisation (PFedRec, Zhang et al., IJCAI 2023) over a frozen network.

A device adds a vector of its own to the embedding of each item of its own history, and to no other, so an item's score
becomes <u, e_i + d_i>. The rows are fitted to the person's own next events by the full softmax with everything else
held fixed, the bonus for repeats included, so that they learn what the bonus leaves over. With u_t the user embedding
before target y_t, s_ti the scores that are there already and O the items of the history

    loss = mean_t [ log sum_i exp(s_ti + <u_t, d_i>) - s_t,y_t - <u_t, d_y_t> ] + pull / 2 * sum_i |d_i|^2

with d_i = 0 outside O, which is convex in d. Only scores of O move, so of all others the sum is enough. This module
knows nothing about models and files; where seen items are masked the rows cannot matter, and are not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from pocketrec.device.base.array import Array

#: Names of the tensors in a state file.
ROWS: Final = "item_delta/rows"
DELTA: Final = "item_delta/values"


@dataclass(frozen=True)
class ItemRows:
    """Sparse changes of the item table."""

    rows: Array
    """int32 [m], item rows, ascending, each once, no 0."""
    delta: Array
    """float16 [m, E], what is added to each."""

    def add_to(self, scores: Array, candidates: Array, embedded: Array) -> Array:
        """Scores float32 [c] of candidate rows int32 [c] with the rows, for a user embedding float32 [E]."""
        if not len(self.rows):
            return scores
        place = np.searchsorted(self.rows, candidates).clip(max=len(self.rows) - 1)
        own = self.rows[place] == candidates
        raised: Array = scores + np.where(own, (self.delta.astype(np.float32) @ embedded)[place], np.float32(0))
        return raised

    def add_to_catalogue(self, scores: Array, embedded: Array) -> None:
        """Change scores float32 [p, N + 1] of all rows in place, for user embeddings float32 [p, E]."""
        scores[:, self.rows] += embedded @ self.delta.astype(np.float32).T

    def to_tensors(self) -> dict[str, Array]:
        """As a state file keeps them; nothing where there are none."""
        return {ROWS: self.rows, DELTA: self.delta} if len(self.rows) else {}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array], items: int | None = None) -> ItemRows:
        """The inverse of `to_tensors`; `items` is the catalogue's size, None = not known.

        Raises:
            ValueError: they are not what `to_tensors` gives, or name an item that the catalogue lacks.
        """
        if ROWS not in tensors and DELTA not in tensors:
            return NONE
        rows, delta = tensors.get(ROWS), tensors.get(DELTA)
        if rows is None or delta is None or rows.dtype != np.int32 or delta.dtype != np.float16:
            raise ValueError("its personal item rows are not whole")
        if rows.ndim != 1 or delta.ndim != 2 or len(rows) != len(delta) or not np.isfinite(delta).all():
            raise ValueError("its personal item rows have another form")
        largest = np.iinfo(np.int32).max if items is None else items
        if np.any(np.diff(rows) <= 0) or rows.min(initial=1) < 1 or rows.max(initial=1) > largest:
            raise ValueError("its personal item rows name items that the bundle lacks")
        return cls(rows, delta)


#: No change at all.
NONE: Final = ItemRows(np.zeros(0, np.int32), np.zeros((0, 0), np.float16))


@dataclass(frozen=True)
class Seen:
    """What rows are fitted to: some targets, and the scores that rank them without rows."""

    rows: Array
    """int32 [m], items of the history, ascending: those that get rows."""
    embedded: Array
    """float32 [t, E], user embedding before each target."""
    hit: Array
    """bool [t, m], which of the items each target is; no item where it is new to the history."""
    own: Array
    """float64 [t, m], scores of the items."""
    others: Array
    """float64 [t], log of the sum of exp of all other items' scores."""
    target: Array
    """float64 [t], score of each target."""

    @classmethod
    def of(cls, own: Array, embedded: Array, targets: Array, scores: Array) -> Seen:
        """Of some targets.

        Args:
            own: int32, items of the history in any order.
            embedded: float32 [t, E], user embedding before each target.
            targets: int32 [t], their item rows.
            scores: float32 [t, N + 1], what ranks them; column 0 is no item.
        """
        rows = np.unique(own[own > 0]).astype(np.int32)
        others = scores.astype(np.float64)
        others[:, 0] = others[:, rows] = -np.inf
        top = others.max(axis=1, initial=-1e300)  # (t,)
        with np.errstate(divide="ignore"):  # where the history has the whole catalogue
            rest = np.log(np.exp(others - top[:, None]).sum(axis=1)) + top
        return cls(rows, embedded, targets[:, None] == rows[None], scores[:, rows].astype(np.float64), rest,
                   scores[np.arange(len(targets)), targets].astype(np.float64))  # fmt: skip

    @classmethod
    def join(cls, parts: list[Seen]) -> Seen:
        """Several with the same items, as one; at least one."""
        names = ("embedded", "hit", "own", "others", "target")
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(rows=parts[0].rows, **joined)

    def __len__(self) -> int:
        return len(self.target)

    def part(self, which: slice) -> Seen:
        """Some of the targets."""
        return Seen(self.rows, self.embedded[which], self.hit[which], self.own[which], self.others[which],
                    self.target[which])  # fmt: skip

    def fit(self, rate: float, passes: int, pull: float) -> ItemRows:
        """The rows, by gradient descent over all targets at once (Adagrad).

        Args:
            rate: learning rate.
            passes: steps.
            pull: strength of the pull to 0.
        """
        if not len(self.rows) or not len(self):
            return NONE
        delta = np.zeros((len(self.rows), self.embedded.shape[1]))
        squares, users = np.zeros_like(delta), self.embedded.astype(np.float64)
        for _ in range(passes):
            raised = self.own + users @ delta.T  # (t, m)
            total = np.logaddexp(np.logaddexp.reduce(raised, axis=1), self.others)  # (t,)
            gradient = (np.exp(raised - total[:, None]) - self.hit).T @ users / len(self) + pull * delta
            squares += gradient**2
            delta -= rate * gradient / (np.sqrt(squares) + 1e-8)
        return ItemRows(self.rows, delta.astype(np.float16))

    def log_likelihood(self, found: ItemRows) -> Array:
        """Log-likelihood of each target with rows that `fit` gave, or `NONE`, float64 [t]."""
        change = np.zeros_like(self.own)
        if len(found.rows):
            change = self.embedded.astype(np.float64) @ found.delta.astype(np.float64).T  # (t, m)
        total = np.logaddexp(np.logaddexp.reduce(self.own + change, axis=1, initial=-np.inf), self.others)
        chosen: Array = self.target + (change * self.hit).sum(axis=1) - total
        return chosen

    def guarded(self, rate: float, passes: int, pull: float, held_back: int) -> ItemRows:
        """The rows fitted to all, where rows fitted to all but the latest targets make those more likely; else none."""
        if not 0 < held_back < len(self):
            return NONE
        early, late = self.part(slice(len(self) - held_back)), self.part(slice(len(self) - held_back, None))
        gain = late.log_likelihood(early.fit(rate, passes, pull)) - late.log_likelihood(NONE)
        return self.fit(rate, passes, pull) if float(gain.mean()) > 0 else NONE
