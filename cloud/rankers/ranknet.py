# SPDX-License-Identifier: Apache-2.0
"""RankNet: the inner product, and a small network over user and item embedding beside it.

    s(u, i) = <e_u, e_i> + v . f + w3 . elu(C elu(A e_u + B e_i + W f + b1) + b2)

The product within the score makes retrieval, which sees nothing else, and ranking agree; with w3 = 0 and v = 0, at the
start, the ranker is the inner product. B e_i depends on the item alone. f, where the ranker has a table of transitions,
are features of the item after the latest events (`pocketrec.cloud.rankers.transitions`); without one there is neither
v . f nor W f.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.rankers.ranker import Ranker
from pocketrec.cloud.rankers.transitions import Transitions
from pocketrec.device.base.errors import DataError

#: Names of the tensors: A [E, H1], B [E, H1], b1 [H1], C [H1, H2], b2 [H2], w3 [H2], float32; rows times matrices.
TENSORS: Final = ("A", "B", "b1", "C", "b2", "w3")
#: float32 []: 1 where the score has the inner product in it, 0 where not (the form of the thesis).
INNER: Final = "inner"
_CELLS: Final = 1 << 22  # numbers of the first layer at a time

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class RankNet(Ranker):
    """See `Ranker` and the module."""

    tensors: Mapping[str, Floats]
    """By the names of `TENSORS`."""
    inner: float = 1.0
    """Weight of the inner product."""
    transitions: Transitions | None = None
    """What came after and near what, W and v; None = embeddings alone."""

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> RankNet:
        """See `Ranker.restore`.

        Raises:
            DataError: a tensor is missing.
        """
        missing = [name for name in TENSORS if name not in arrays]
        if missing:
            raise DataError(f"ranker ranknet has no tensor {missing[0]}: run `pocketrec rank` again")
        tensors = {name: np.asarray(arrays[name], np.float32) for name in TENSORS}
        return cls(tensors, float(arrays.get(INNER, 1.0)), Transitions.restore(arrays))

    def scores(self, users: Floats, items: Floats) -> Floats:
        """See `Ranker.scores`."""
        flat = users.reshape(-1, users.shape[-1])
        found = np.empty((len(flat), len(items)), np.float32)
        by_item = items @ self.tensors["B"]  # (M, H1)
        step = max(1, _CELLS // max(1, by_item.size))
        for begin in range(0, len(flat), step):
            part = flat[begin : begin + step]
            found[begin : begin + step] = self.inner * (part @ items.T) + self._net(part, by_item[np.newaxis])
        return found.reshape(*users.shape[:-1], len(items))

    def each(self, users: Floats, items: Floats) -> Floats:
        """See `Ranker.each`."""
        found = np.empty(items.shape[:2], np.float32)
        step = max(1, _CELLS // max(1, items.shape[1] * len(self.tensors["b1"])))
        for begin in range(0, len(users), step):
            part = slice(begin, begin + step)
            product = np.einsum("pe,pce->pc", users[part], items[part])
            found[part] = self.inner * product + self._net(users[part], items[part] @ self.tensors["B"])
        return found

    def of_rows(self, users: Floats, table: Floats, rows: NDArray[np.int32], recent: NDArray[np.int32]) -> Floats:
        """See `Ranker.of_rows`."""
        if self.transitions is None:
            return super().of_rows(users, table, rows, recent)
        found = np.empty(rows.shape, np.float32)
        step = max(1, _CELLS // max(1, rows.shape[1] * max(len(self.tensors["b1"]), table.shape[1])))
        for begin in range(0, len(users), step):
            part = slice(begin, begin + step)
            items = table[rows[part]]  # (p, C, E)
            product = np.einsum("pe,pce->pc", users[part], items)
            features = self.transitions.features(recent[part], rows[part], product)
            inner = items @ self.tensors["B"] + features @ self.transitions.weights
            found[part] = self.inner * product + features @ self.transitions.direct + self._net(users[part], inner)
        return found

    def of_all(self, users: Floats, table: Floats, recent: NDArray[np.int32]) -> Floats:
        """See `Ranker.of_all`."""
        if self.transitions is None:
            return super().of_all(users, table, recent)
        rows = np.broadcast_to(np.arange(len(table), dtype=np.int32), (len(users), len(table)))
        return self.of_rows(users, table, rows, recent)

    def _net(self, users: Floats, by_item: Floats) -> Floats:
        """What the network adds: users [p, E], B e_i, and W f, [p or 1, M, H1] -> [p, M]."""
        tensors = self.tensors
        hidden = _elu((users @ tensors["A"] + tensors["b1"])[:, np.newaxis] + by_item)
        found: Floats = _elu(hidden @ tensors["C"] + tensors["b2"]) @ tensors["w3"]
        return found


def _elu(x: Floats) -> Floats:
    found: Floats = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
    return found
