# SPDX-License-Identifier: Apache-2.0
"""The item table inside the exported graph: int8 rows with one scale each, or plain float32.

The table is read in place: TensorFlow Lite memory-maps the file, so rows that are never gathered never enter memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.packed import Quantised
from pocketrec.export.tables.quantise import quantise, quantise_rows


class GraphTable(Protocol):
    """Item embeddings by row, in the graph: a row for each item (`ItemTable`), or in blocks
    (`pocketrec.export.tables.blocks`)."""

    @property
    def items(self) -> int:
        """Number N of items, padding not counted."""
        ...

    @property
    def size(self) -> int:
        """Numbers E of an embedding."""
        ...

    def quantised(self, name: str) -> dict[str, Quantised]:
        """Its tensors for the transport form, by names that begin with `name`."""
        ...

    def facts(self) -> dict[str, Any]:
        """What the manifest's ``model`` table says beside the kind of table."""
        ...

    def flop(self, rows: int, whole: bool) -> int:
        """Multiplications and additions of matrix products for so many gathered rows, and the whole catalogue."""
        ...

    def embeddings(self) -> Array:
        """The table as the graph sees it: float32, (N + 1, E)."""
        ...

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """Embeddings of int32 `rows` (n,) as float32 (n, E)."""
        ...

    def catalogue(self, zero: tf.Tensor) -> tf.Tensor:
        """Embeddings of all items without padding, float32 (N, E); column i of the logits is item row i + 1.

        Args:
            zero: an int32 scalar that is 0 at run time but not provably so: without it the converter would fold
                the int8 table into a float32 constant four times its size.
        """
        ...


@dataclass(frozen=True)
class ItemTable:
    """Item embeddings by row; row 0 is padding and all zero. See `GraphTable`.

    Attributes:
        rows: int8 or float32, (N + 1, E).
        scales: float32, (N + 1, 1); embedding = rows * scales. None for a float32 table.
    """

    rows: Array
    scales: Array | None

    @classmethod
    def quantise(cls, embeddings: Array, kind: str, bits: int = 8, *, searched: bool = False) -> ItemTable:
        """Make a table from float32 embeddings (N + 1, E); `kind` is ``int8`` or ``float32``.

        int8 is symmetric with one scale a row: the error of an entry is at most half its row's scale, which is
        max |row| / 127 (up to 0.8 % more, see `pocketrec.device.contract.packed`) for 8 bits. Where the catalogue is
        `searched` by inner products, rows are rounded for these (`quantise_rows`), and single entries may err by more.
        """
        embeddings = embeddings.astype(np.float32, copy=True)
        embeddings[0] = 0.0
        if kind == "float32":
            return cls(embeddings, None)
        quantised = quantise_rows(embeddings, bits) if searched else quantise(embeddings, bits, axis=1)
        return cls(quantised.numbers, quantised.scales)

    def quantised(self, name: str) -> dict[str, Quantised]:
        """See `GraphTable.quantised`."""
        return {name: Quantised(self.rows, self.scales)}

    @property
    def items(self) -> int:
        """See `GraphTable.items`."""
        return self.rows.shape[0] - 1

    @property
    def size(self) -> int:
        """See `GraphTable.size`."""
        return self.rows.shape[1]

    def facts(self) -> dict[str, Any]:
        """See `GraphTable.facts`."""
        return {}

    def flop(self, rows: int, whole: bool) -> int:
        """See `GraphTable.flop`."""
        return 0

    def embeddings(self) -> Array:
        """See `GraphTable.embeddings`."""
        if self.scales is None:
            return self.rows
        return self.rows.astype(np.float32) * self.scales

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """See `GraphTable.gather`."""
        gathered = tf.gather(tf.constant(self.rows), rows)
        if self.scales is None:
            return gathered
        return tf.cast(gathered, tf.float32) * tf.gather(tf.constant(self.scales), rows)

    def catalogue(self, zero: tf.Tensor) -> tf.Tensor:
        """See `GraphTable.catalogue`."""
        return self.span(zero, self.items)

    def span(self, zero: tf.Tensor, count: int) -> tf.Tensor:
        """Embeddings of rows 1 to `count`, float32 (count, E); `zero` as in `catalogue`."""
        rows = tf.slice(tf.constant(self.rows), tf.stack([zero + 1, 0]), [count, self.size])
        if self.scales is None:
            return rows
        return tf.cast(rows, tf.float32) * tf.constant(self.scales[1 : count + 1])
