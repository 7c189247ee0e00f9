# SPDX-License-Identifier: Apache-2.0
"""Lean bundles: a small item table for a catalogue that no phone should fetch.

The table has, after row 0 (padding): H rows of the popular head, B rows of buckets (one for each category of the other
items, and a last one for all that have none), and S reserved rows, which a device fills with the item rows of its
candidate shard. So a device holds rows of its own candidates without ever having asked for an item: the shard is named
by a hash of the user id, and 256 users or more share it on average. An event of another item counts as its bucket,
which the event's category tells; without one it counts as the last bucket.

items.txt holds the ids of head and buckets; the id of a bucket begins with `BUCKET`. This module knows nothing about
training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pocketrec.device.base import documents
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract.tensorfile import TensorFile
from pocketrec.device.contract.vocabulary import Vocabulary

BUCKET: Final = "category:"  # begins the id of a bucket; alone, it is the bucket of what has no known category
TABLE: Final = "table"  # tensor of a candidate shard: int8 [n, E], item rows that fill the reserved ones
SCALES: Final = "scales"  # tensor of a candidate shard: unsigned 16-bit [n], upper halves of float32
ITEM_IDS: Final = "items"  # metadata of a candidate shard: JSON list of n item ids


@dataclass(frozen=True)
class ShardItems:
    """Items of one candidate shard that the head lacks."""

    ids: list[str]
    """External ids, n of them; the i-th (from 0) has row H + B + 1 + i."""
    numbers: Array
    """int8 [n, E]."""
    scales: Array
    """float32 [n], low 16 bits zero; embedding = numbers * scale."""

    def tensors(self) -> dict[str, Array]:
        """What the shard's file holds of them."""
        upper = self.scales.astype("<f4").view("<u4") >> 16
        return {TABLE: self.numbers, SCALES: upper.astype(np.uint16)}

    @classmethod
    def of(cls, file: TensorFile, embedding: int) -> ShardItems:
        """Read them from a shard.

        Raises:
            BundleError: the file lacks them, or they do not fit.
        """
        try:
            ids = documents.parse(file.metadata[ITEM_IDS])
            upper = file.tensors[SCALES].astype("<u4") << 16
            items = cls(ids, file.tensors[TABLE], upper.astype("<u4").view("<f4").astype(np.float32))
            if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
                raise ValueError("its items are not a list of ids")
            if not len(ids) == len(items.numbers) == len(items.scales) or items.numbers.shape[1:] != (embedding,) \
                    or items.numbers.dtype != np.int8 or not np.isfinite(items.scales).all():  # fmt: skip
                raise ValueError("ids and rows do not fit")
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            again = "fetch or export the bundle again"
            raise BundleError(f"a candidate shard has no item rows ({error}): {again}") from None
        return items


class LeanVocabulary(Vocabulary):
    """Ids of head and buckets in a file, and of the shard's items in memory.

    Args:
        path: items.txt.
        count: its lines.
        head: how many of them are items; the others are buckets.
        own: ids of the shard's items.
    """

    def __init__(self, path: str | Path, count: int, head: int, own: Sequence[str] = ()) -> None:
        super().__init__(path, count)
        self.head = head
        self._listed = count
        self._own = list(own)
        self._rows = {item: count + 1 + place for place, item in enumerate(own)}
        self._buckets = {item: head + 1 + place for place, item in enumerate(super().ids(range(head + 1, count + 1)))}
        self._categories: dict[str, str] = {}

    def __len__(self) -> int:
        return self._listed + len(self._own)

    def learn(self, items: Iterable[str], categories: Iterable[str]) -> None:
        """Remember the categories of items, for those that have no row of their own."""
        self._categories.update((item, category) for item, category in zip(items, categories, strict=True) if category)

    def rows(self, ids: Iterable[str]) -> Array:
        """int32: row of each id: its own, else that of its bucket. 0 only for an empty id."""
        ids = list(ids)
        rows = super().rows(ids)
        for place, item in enumerate(ids):
            if not rows[place] and item:
                bucket = self._buckets.get(BUCKET + self._categories.get(item, ""), self._listed)
                rows[place] = self._rows.get(item, bucket)
        return rows

    def ids(self, rows: Iterable[int] | Sequence[int]) -> list[str]:
        """The id of each row; of a bucket it begins with `BUCKET`."""
        return [self._own[row - self._listed - 1] if self._listed < row <= len(self) else super(LeanVocabulary, self)
                .ids([row])[0] for row in rows]  # fmt: skip

    def are_items(self, rows: Array) -> Array:
        """bool: whether each row is an item's own, and not a bucket."""
        return np.asarray((rows <= self.head) | (rows > self._listed))
