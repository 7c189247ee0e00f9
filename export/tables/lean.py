# SPDX-License-Identifier: Apache-2.0
"""The lean form of a model: a small item table with rows for head, buckets and a shard's items.

See `pocketrec.device.contract.lean` for what a device makes of it. The layers' weights are the full model's; only
the table is another, so the same exporter, gate and packing do the rest. This module needs no TensorFlow until
`lean_model`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.contract.lean import BUCKET, ShardItems
from pocketrec.device.contract.shards import shard_of
from pocketrec.export.tables.quantise import quantise

if TYPE_CHECKING:
    import keras

    from pocketrec.cloud.config.model import ModelConfig

@dataclass(frozen=True)
class LeanTable:
    """A small table for a large catalogue.

    Attributes:
        embeddings: float32 (1 + H + B, E): padding, head, buckets.
        row_of: int32 (N + 1,), for each item row of the full table its row here, its own or its bucket's.
        head: H.
        labels: B ids of the buckets.
    """

    embeddings: Array
    row_of: Array
    head: int
    labels: list[str]

    @property
    def rows(self) -> int:
        """Rows H + B, padding not counted."""
        return len(self.embeddings) - 1


def lean_table(
    embeddings: Array, counts: Array, head: int, categories: tuple[Sequence[str], Array] | None = None
) -> LeanTable:
    """Head rows as they are; a bucket's is the mean of its items', each weighed by its events.

    Args:
        embeddings: float32 (N + 1, E), rows by popularity.
        counts: (N + 1,), events of each item row.
        head: items with rows of their own; at most N.
        categories: C ids, and int (N + 1,) the category of each item row from 1 to C, 0 = none; None = no categories.
    """
    head = min(head, len(embeddings) - 1)
    ids, of_row = categories or ((), np.zeros(len(embeddings), np.int32))
    tail = np.arange(head + 1, len(embeddings))
    used = np.unique(of_row[tail][of_row[tail] > 0])
    number = np.full(len(ids) + 1, len(used))  # of each category's bucket, from 0; the last is that of no category
    number[used] = np.arange(len(used))
    buckets = number[of_row[tail]]
    weight = np.maximum(counts[tail], 1).astype(np.float64)
    total = np.bincount(buckets, weight, len(used) + 1)
    means = np.zeros((len(used) + 1, embeddings.shape[1]))
    np.add.at(means, buckets, embeddings[tail] * weight[:, None])
    # What is unknown may be of any category: the mean of all the tail.
    total[-1], means[-1] = max(weight.sum(), 1.0), (embeddings[tail] * weight[:, None]).sum(0)
    row_of = np.concatenate([np.arange(head + 1), head + 1 + buckets]).astype(np.int32)
    table = np.concatenate([embeddings[: head + 1], means / np.maximum(total, 1.0)[:, None]]).astype(np.float32)
    return LeanTable(table, row_of, head, [*(BUCKET + ids[category - 1] for category in used), BUCKET])


@dataclass(frozen=True)
class ShardSizes:
    """How many candidate shards there are, and what one may bring."""

    shards: int
    """Number of shards."""
    most: int
    """Items that a shard brings at most; of more, the most popular."""
    bits: int = 8
    """Of an entry of an item's embedding."""


def lean_shards(
    users: Sequence[str], candidates: Array, latest: Sequence[Array], table: LeanTable, embeddings: Array,
    ids: Sequence[str], sizes: ShardSizes,
) -> tuple[list[ShardItems], Array]:  # fmt: skip
    """What each candidate shard brings, and the candidates as rows of the lean table.

    Args:
        users: U user ids.
        candidates: int (U, K), rows of the full table, 0 = padding.
        latest: rows of the full table that each user's device should know, beside its candidates.
        table: from `lean_table`.
        embeddings: float32 (N + 1, E) of the full table.
        ids: external ids, row 1 first.
        sizes: number and size of the shards.

    Returns:
        One `ShardItems` a shard; and int32 (U, K), 0 where a candidate found no room.
    """
    members: list[list[int]] = [[] for _ in range(sizes.shards)]
    for place, user in enumerate(users):
        members[shard_of(user, sizes.shards)].append(place)
    rows = np.zeros(candidates.shape, np.int32)
    found = []
    for places in members:
        wanted = np.unique(np.concatenate([candidates[places].reshape(-1), *(latest[place] for place in places)]))
        own = wanted[wanted > table.head][: sizes.most]
        quantised = quantise(embeddings[own], sizes.bits, axis=1)
        assert quantised.scales is not None
        found.append(ShardItems([ids[row - 1] for row in own], quantised.numbers, quantised.scales[:, 0]))
        of_row = {int(row): table.rows + 1 + number for number, row in enumerate(own)}
        for place in places:
            rows[place] = [row if row <= table.head else of_row.get(row, 0) for row in candidates[place].tolist()]
    return found, rows


def lean_model(model: keras.Model, config: ModelConfig, table: LeanTable, reserved: int) -> keras.Model:
    """The model over the lean table, with `reserved` further rows that are zero.

    Also where the model's own table is in blocks: rows of a shard are embeddings, so the lean table has those too.
    """
    from pocketrec.cloud.backbones import ITEM_EMBEDDING, build_model

    plain = dataclasses.replace(config, item_blocks=[], content=False, id_dropout=0.0)
    small = build_model(plain, table.rows + reserved, 0)
    empty = np.zeros((reserved, table.embeddings.shape[1]), np.float32)
    for layer in small.layers:
        if layer.name == ITEM_EMBEDDING:
            layer.set_weights([np.concatenate([table.embeddings, empty])])
        elif layer.get_weights():
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return small
