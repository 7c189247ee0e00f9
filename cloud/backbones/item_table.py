# SPDX-License-Identifier: Apache-2.0
"""The item table of a model in training: whole, or in blocks of popularity with narrower rows for rarer items.

Block-wise factorisation (CpRec: Sun, Yuan et al., SIGIR 2020, section 3.1; adaptive input representations: Baevski and
Auli, ICLR 2019): block b holds n_b items by popularity as a table (n_b, E_b) and a projection (E_b, E), and an item's
embedding is its row times the projection of its block. This module knows nothing about losses, optimisers or files.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pocketrec.device.base.errors import ConfigError


class ItemTable(Protocol):
    """Item embeddings by row, float32 [N + 1, E]; row 0 is padding, and zero."""

    @property
    def tables(self) -> list[tf.Variable]:
        """The variables whose gradient, where rows are gathered alone, has only those rows (`tf.IndexedSlices`)."""
        ...

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """Embeddings of item rows, int32 [...] -> float32 [..., E]."""
        ...

    def whole(self) -> tf.Tensor | tf.Variable:
        """All embeddings, float32 [N + 1, E]."""
        ...

    def clear_padding(self) -> None:
        """Make row 0 zero."""
        ...

    def add(self, factors: NDArray[np.float32]) -> None:
        """Add embeddings [N + 1, E] to the start, as well as the table can hold them."""
        ...


@dataclass(frozen=True)
class PlainTable:
    """A row of E numbers for each item. See `ItemTable`."""

    variable: tf.Variable
    """float32 [N + 1, E]."""

    @property
    def tables(self) -> list[tf.Variable]:
        """See `ItemTable.tables`."""
        return [self.variable]

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """See `ItemTable.gather`."""
        return tf.gather(self.variable, rows)

    def whole(self) -> tf.Variable:
        """See `ItemTable.whole`."""
        return self.variable

    def clear_padding(self) -> None:
        """See `ItemTable.clear_padding`."""
        self.variable[0].assign(tf.zeros(self.variable.shape[1:]))

    def add(self, factors: NDArray[np.float32]) -> None:
        """See `ItemTable.add`."""
        self.variable.assign_add(factors)


@keras.saving.register_keras_serializable(package="pocketrec")
class BlockEmbedding(keras.layers.Layer):
    """A table in blocks of popularity, as a Keras layer and as an `ItemTable`.

    Row 0 (padding) stands before the items of the first block. Projections start with orthogonal rows, scaled so that
    embeddings have the standard deviation `std`.

    Args:
        blocks: items n_b and width E_b of each block, the most popular first.
        size: E; no width is larger.
        std: standard deviation of an entry of the embeddings at the start.
        seed: of the initial values.
    """

    def __init__(
        self, blocks: Iterable[Sequence[int]], size: int, std: float, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.blocks = [(int(items), int(width)) for items, width in blocks]
        self.size, self.std, self.seed = size, std, seed
        ends = [0, *itertools.accumulate(items for items, _ in self.blocks)]
        self.spans = [(first + (first > 0), last + 1) for first, last in itertools.pairwise(ends)]
        """First row of each block, and the first after it; row 0 is in the first block."""

    def build(self, _input_shape: Any) -> None:
        """Make tables and projections."""
        seeds = iter(np.random.SeedSequence(self.seed).generate_state(2 * len(self.blocks)).tolist())
        self.parts = []
        for number, ((first, end), (_, width)) in enumerate(zip(self.spans, self.blocks, strict=True), 1):
            rows = keras.initializers.RandomNormal(stddev=self.std, seed=next(seeds))
            across = keras.initializers.OrthogonalInitializer(gain=_gain(width, self.size), seed=next(seeds))
            self.parts.append((
                self.add_weight(shape=(end - first, width), name=f"table_{number}", initializer=rows),
                self.add_weight(shape=(width, self.size), name=f"projection_{number}", initializer=across),
            ))  # fmt: skip

    @property
    def tables(self) -> list[tf.Variable]:
        """See `ItemTable.tables`."""
        return [table.value for table, _ in self.parts]

    @property
    def projections(self) -> list[tf.Variable]:
        """The projection of each block, float32 [E_b, E]."""
        return [projection.value for _, projection in self.parts]

    def call(self, inputs: Any) -> Any:
        """Embeddings of item rows, int32 (B, T) -> float32 (B, T, E)."""
        return self.gather(inputs)

    def compute_mask(self, inputs: Any, _mask: Any = None) -> Any:
        """False where a row is padding."""
        return keras.ops.not_equal(inputs, 0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(B, T) -> (B, T, E)."""
        return (*input_shape, self.size)

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """See `ItemTable.gather`.

        Each block is asked for its own rows alone, so that a step reads and changes no other row of it.
        """
        flat = tf.reshape(rows, [-1])
        places, found = [], []
        for (first, end), table, projection in zip(self.spans, self.tables, self.projections, strict=True):
            own = tf.cast(tf.where((flat >= first) & (flat < end))[:, 0], tf.int32)  # (n,)
            places.append(own)
            found.append(tf.matmul(tf.gather(table, tf.gather(flat, own) - first), projection))  # (n, E)
        together = tf.dynamic_stitch(places, found)  # (rows, E)
        return tf.ensure_shape(
            tf.reshape(together, tf.concat([tf.shape(rows), [self.size]], 0)), [*rows.shape, self.size]
        )

    def whole(self) -> tf.Tensor:
        """See `ItemTable.whole`."""
        return tf.concat([tf.matmul(*part) for part in zip(self.tables, self.projections, strict=True)], 0)

    def clear_padding(self) -> None:
        """See `ItemTable.clear_padding`."""
        self.tables[0][0].assign(tf.zeros([self.blocks[0][1]]))

    def add(self, factors: NDArray[np.float32]) -> None:
        """See `ItemTable.add`: the nearest of rank E_b in each block (its truncated singular value decomposition).

        The projections are replaced: their rows become the block's first right singular vectors, scaled as before, so
        that the random part of the tables stays what it was in size.
        """
        spans, parts = self.spans, zip(self.tables, self.projections, strict=True)
        for (first, end), (table, projection) in zip(spans, parts, strict=True):
            width, block = table.shape[1], factors[first:end].astype(np.float64)
            _, vectors = np.linalg.eigh(block.T @ block)
            main = vectors[:, ::-1][:, :width]  # (E, E_b)
            gain = _gain(width, self.size)
            table.assign_add((block @ main / gain).astype(np.float32))
            projection.assign((gain * main.T).astype(np.float32))

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        own = {"blocks": self.blocks, "size": self.size, "std": self.std, "seed": self.seed}
        return {**super().get_config(), **own}


def table_of(layer: Any) -> ItemTable:
    """The item table of a Keras layer that has one: a layer that is one itself (`BlockEmbedding`,
    `pocketrec.cloud.backbones.item_net.ContentEmbedding`), or one with `embeddings`."""
    return layer if hasattr(layer, "whole") else PlainTable(layer.embeddings.value)


def block_sizes(shares: Sequence[Sequence[float]], items: int) -> list[tuple[int, int]]:
    """Items and width of each block.

    Args:
        shares: share of the items and width of each block (`ModelConfig.item_blocks`).
        items: N.

    Raises:
        ConfigError: a block is left without an item.
    """
    ends = np.rint(np.cumsum([share for share, _ in shares]) * items).astype(int)
    sizes = np.diff(ends, prepend=0)
    if not np.all(sizes > 0):
        raise ConfigError(
            f"[model] item_blocks leaves block {int(np.argmin(sizes)) + 1} of {len(shares)} without an item, for there "
            f"are {items} items: name fewer blocks or larger shares"
        )
    return [(int(size), int(width)) for size, (_, width) in zip(sizes, shares, strict=True)]


def _gain(width: int, size: int) -> float:
    """Scale of a projection with orthogonal rows that keeps the standard deviation of an entry."""
    return float((size / width) ** 0.5)
