"""The item table inside the exported graph: int8 rows with one scale each, or plain float32.

The table is read in place: TensorFlow Lite memory-maps the file, so rows that are never gathered never enter memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.packed import Quantised
from pocketrec.export.tables.quantise import quantise


@dataclass(frozen=True)
class ItemTable:
    """Item embeddings by row; row 0 is padding and all zero.

    Attributes:
        rows: int8 or float32, (N + 1, E).
        scales: float32, (N + 1, 1); embedding = rows * scales. None for a float32 table.
    """

    rows: Array
    scales: Array | None

    @classmethod
    def quantise(cls, embeddings: Array, kind: str, bits: int = 8) -> ItemTable:
        """Make a table from float32 embeddings (N + 1, E); `kind` is ``int8`` or ``float32``.

        int8 is symmetric with one scale a row: the error of an entry is at most half its row's scale, which is
        max |row| / 127 (up to 0.8 % more, see `pocketrec.device.contract.packed`) for 8 bits.
        """
        embeddings = embeddings.astype(np.float32, copy=True)
        embeddings[0] = 0.0
        if kind == "float32":
            return cls(embeddings, None)
        quantised = quantise(embeddings, bits, axis=1)
        return cls(quantised.numbers, quantised.scales)

    def quantised(self) -> Quantised:
        """The same for the transport form."""
        return Quantised(self.rows, self.scales)

    @property
    def items(self) -> int:
        """Number N of items, padding not counted."""
        return self.rows.shape[0] - 1

    def embeddings(self) -> Array:
        """The table as the graph sees it: float32, (N + 1, E)."""
        if self.scales is None:
            return self.rows
        return self.rows.astype(np.float32) * self.scales

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """Embeddings of int32 `rows` (n,) as float32 (n, E)."""
        gathered = tf.gather(tf.constant(self.rows), rows)
        if self.scales is None:
            return gathered
        return tf.cast(gathered, tf.float32) * tf.gather(tf.constant(self.scales), rows)

    def catalogue(self, zero: tf.Tensor) -> tf.Tensor:
        """Embeddings of all items without padding, float32 (N, E); column i of the logits is item row i + 1.

        Args:
            zero: an int32 scalar that is 0 at run time but not provably so: without it the converter would fold
                the int8 table into a float32 constant four times its size.
        """
        size = [self.items, self.rows.shape[1]]
        rows = tf.slice(tf.constant(self.rows), tf.stack([zero + 1, 0]), size)
        if self.scales is None:
            return rows
        return tf.cast(rows, tf.float32) * tf.constant(self.scales[1:])
