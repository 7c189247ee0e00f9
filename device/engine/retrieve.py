# SPDX-License-Identifier: Apache-2.0
"""Retrieval in numpy: the items of the whole catalogue with the largest inner product with a user embedding.

It reads the item table where it lies in model.tflite, the very pages that the runtime has mapped, so it costs no second
copy. Rows are cast block by block into one buffer that fits a second-level cache, for numpy has no fast product of
int8; and only what exceeds the k-th best so far is looked at again, for choosing the best of millions of scores would
cost as much as the product. The signature ``retrieve`` is the same in the model file; this is for what it cannot do:
filters, and another number of items. This module knows nothing about histories and states.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from pocketrec.device.base import held
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract.retrieval import TablePlace
from pocketrec.device.engine.scores import inner_product

#: Rows of a block.
BLOCK: Final = 8192
# Up to this share of the catalogue the rows of a filter are gathered one by one; above it every row is looked at, for
# reading in order is faster than at random places.
_GATHERED: Final = 0.25


class ItemScan:
    """The item table of a model file, read in place.

    Args:
        path: the .tflite file.
        place: where the table lies in it, already checked against the file's size.

    Raises:
        BundleError: the file is missing or shorter than that.
    """

    def __init__(self, path: str | Path, place: TablePlace) -> None:
        try:
            content, self._watched = held.hold(path)
            kind = np.dtype(np.int8 if place.scales_offset else "<f4")
            count = place.rows * place.columns
            self._rows = np.frombuffer(content, kind, count, place.offset).reshape(place.rows, place.columns)
            self._scales = None
            if place.scales_offset:
                self._scales = np.frombuffer(content, "<f4", place.rows, place.scales_offset)
        except (OSError, ValueError):
            raise BundleError(f"{path} does not hold the item table: fetch or export the bundle again") from None
        self._buffer = np.empty((0, place.columns), np.float32)

    def __len__(self) -> int:
        """Number N of items."""
        return len(self._rows) - 1

    def stored(self) -> tuple[Array, Array]:
        """Numbers int8 [N + 1, E] and scales float32 [N + 1], where they lie; of an int8 table only."""
        assert self._scales is not None
        return self._rows, self._scales

    def embeddings(self, rows: Array) -> Array:
        """Item embeddings, float32 [n, E], of rows, int [n] in 0..N."""
        self._check()
        found = self._rows[rows].astype(np.float32)
        return found if self._scales is None else found * self._scales[rows, None]

    def scores(self, user: Array, rows: Array) -> Array:
        """Inner products, float32 [n], of a user embedding, float32 [E], with rows, int [n] in 0..N."""
        self._check()
        found = np.empty(len(rows), np.float32)
        for begin in range(0, len(rows), BLOCK):
            part = rows[begin : begin + BLOCK]
            found[begin : begin + BLOCK] = self._products(user, self._rows[part])
            if self._scales is not None:
                found[begin : begin + BLOCK] *= self._scales[part]
        return found

    def best(self, user: Array, k: int, allowed: Array | None = None) -> tuple[Array, Array]:
        """The `k` items of largest inner product, best first; of equal ones the smaller row first. Never row 0.

        Args:
            user: user embedding, float32 [E].
            k: items wanted, at least 1; fewer come back where there are fewer.
            allowed: rows to choose from, int [n] in 1..N, ascending and each once; None = all.

        Returns:
            int32 and float32, of min(k, number of rows) each.
        """
        if allowed is not None and len(allowed) <= _GATHERED * len(self):
            return largest(np.asarray(allowed, np.int32), self.scores(user, allowed), k)
        self._check()
        mask = None
        if allowed is not None:
            mask = np.zeros(len(self._rows), bool)
            mask[allowed] = True
        best, values, floor = np.empty(0, np.int32), np.empty(0, np.float32), -np.inf
        for begin in range(1, len(self._rows), BLOCK):
            block = slice(begin, begin + BLOCK)
            scores = self._products(user, self._rows[block])
            if self._scales is not None:
                scores *= self._scales[block]
            passing = scores > floor  # an equal one is of a larger row than those that were found
            if mask is not None:
                passing &= mask[block]
            places = np.flatnonzero(passing)
            if len(places):
                found = np.concatenate([best, (places + begin).astype(np.int32)])
                best, values = largest(found, np.concatenate([values, scores[places]]), k)
                floor = values[-1] if len(values) == k else -np.inf
        return best, values

    def _products(self, user: Array, rows: Array) -> Array:
        """Inner products, float32 [n], of numbers that are not yet scaled, [n, E] with n at most `BLOCK`."""
        if rows.dtype == np.float32:
            return inner_product(user, rows)
        if not len(self._buffer):
            self._buffer = np.empty((min(BLOCK, len(self._rows)), self._rows.shape[1]), np.float32)
        part = self._buffer[: len(rows)]
        np.copyto(part, rows)
        return inner_product(user, part)

    def _check(self) -> None:
        if self._watched is not None:
            self._watched.check()


def largest(rows: Array, scores: Array, k: int) -> tuple[Array, Array]:
    """The `k` largest scores with their rows, best first; equal ones in the order of their rows."""
    if len(scores) > k:
        kept = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]  # ties with the k-th one too
        rows, scores = rows[kept], scores[kept]
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]
