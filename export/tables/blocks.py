# SPDX-License-Identifier: Apache-2.0
"""An item table in blocks of popularity inside the exported graph (`pocketrec.cloud.backbones.item_table`).

Each block is an `ItemTable` of its own, with a row of zeros before its items and one after them: a row of the catalogue
that lies outside a block is then read as zeros there, without a comparison, and an embedding is the sum over the blocks
of row times projection.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.packed import Quantised
from pocketrec.export.tables.quantise import quantise
from pocketrec.export.tables.table import ItemTable

_PROJECTION_BITS = 8  # of an int8 table: every embedding of a block has a projection's error, and it is small


@dataclass(frozen=True)
class BlockTable:
    """Item embeddings by row; row 0 is padding and all zero. See `GraphTable`.

    Attributes:
        blocks: rows (n_b + 2, E_b) each.
        projections: (E_b, E) each, with int8 numbers and a scale for each column, or float32.
    """

    blocks: tuple[ItemTable, ...]
    projections: tuple[Quantised, ...]

    @classmethod
    def quantise(cls, tables: Sequence[Array], projections: Sequence[Array], kind: str, bits: int = 8) -> BlockTable:
        """Make a table from the blocks of a model.

        Args:
            tables: float32 (n_b, E_b) each; the first has the row of padding before its items.
            projections: float32 (E_b, E) each.
            kind: ``int8`` or ``float32``.
            bits: of an entry of a block's row; of a projection's it is 8.
        """
        blocks = []
        for place, table in enumerate(tables):
            empty = np.zeros((1, table.shape[1]), np.float32)
            rows = np.concatenate([empty, table[1:] if place == 0 else table, empty])
            blocks.append(ItemTable.quantise(rows, kind, bits))
        across = [
            Quantised(projection, None) if kind == "float32" else quantise(projection, _PROJECTION_BITS, axis=0)
            for projection in projections
        ]
        return cls(tuple(blocks), tuple(across))

    @property
    def items(self) -> int:
        """Number N of items, padding not counted."""
        return sum(self.sizes)

    @property
    def size(self) -> int:
        """Numbers E of an embedding."""
        return int(self.projections[0].numbers.shape[1])

    @property
    def sizes(self) -> list[int]:
        """Items of each block."""
        return [len(block.rows) - 2 for block in self.blocks]

    def quantised(self, name: str) -> dict[str, Quantised]:
        """See `GraphTable.quantised`."""
        found: dict[str, Quantised] = {}
        for number, (block, projection) in enumerate(zip(self.blocks, self.projections, strict=True), 1):
            found |= block.quantised(f"{name}_{number}")
            found[f"{name}_projection_{number}"] = projection
        return found

    def facts(self) -> dict[str, list[list[int]]]:
        """See `GraphTable.facts`."""
        widths = [block.size for block in self.blocks]
        return {"item_blocks": [list(pair) for pair in zip(self.sizes, widths, strict=True)]}

    def flop(self, rows: int, whole: bool) -> int:
        """See `GraphTable.flop`."""
        widths, sizes = [block.size for block in self.blocks], self.sizes
        numbers = rows * sum(widths) + whole * sum(n * width for n, width in zip(sizes, widths, strict=True))
        return 2 * numbers * self.size

    def embeddings(self) -> Array:
        """See `GraphTable.embeddings`."""
        pairs = zip(self.blocks, self.projections, strict=True)
        parts = [block.embeddings()[1:-1] @ projection.values for block, projection in pairs]
        return np.concatenate([np.zeros((1, self.size), np.float32), *parts])

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """See `GraphTable.gather`."""
        before, parts = 0, []
        for block, projection, items in zip(self.blocks, self.projections, self.sizes, strict=True):
            own = tf.minimum(tf.maximum(rows - before, 0), items + 1)  # (n,): 0 or items + 1 where outside
            parts.append(tf.matmul(block.gather(own), tf.constant(projection.values)))  # (n, E)
            before += items
        return functools.reduce(tf.add, parts)

    def catalogue(self, zero: tf.Tensor) -> tf.Tensor:
        """See `GraphTable.catalogue`."""
        pairs = zip(self.blocks, self.projections, self.sizes, strict=True)
        parts = [
            tf.matmul(block.span(zero, items), tf.constant(projection.values)) for block, projection, items in pairs
        ]
        return tf.concat(parts, 0)
