# SPDX-License-Identifier: Apache-2.0
"""Retrieval in the exported graph: the items of the whole catalogue with the largest inner product with the user.

The table is looked at in chunks of rows, each cast, multiplied and cut to its best; the best of these are the result.
Nothing of the size of the table in float32 is ever formed. `pocketrec.device.engine.retrieve` does the same in numpy
over the same bytes. This module knows nothing about layers and training.
"""

from __future__ import annotations

from typing import Final

import tensorflow as tf

from pocketrec.export.tables.table import ItemTable

#: Rows of a chunk: 2 MB as float32 with 64 numbers a row, which fits a second-level cache.
CHUNK: Final = 8192


def best_rows(table: ItemTable, user: tf.Tensor, k: int, zero: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The `k` items of largest inner product, best first; equal ones in the order of their rows. Never row 0.

    Args:
        table: item embeddings, in one block.
        user: user embedding, float32 (1, E).
        k: items wanted; at most N.
        zero: an int32 scalar that is 0 at run time but not provably so, see `GraphTable.catalogue`.

    Returns:
        int32 (k,) rows and float32 (1, k) scores.
    """
    found, places = [], []
    # Once for all chunks: a constant for each would be a copy of the table in the saved model.
    held = tf.constant(table.rows), None if table.scales is None else tf.constant(table.scales)
    for begin in range(1, table.items + 1, CHUNK):
        count = min(CHUNK, table.items + 1 - begin)
        # TOPK_V2 puts the smaller index first among equals, here and below, where chunks are in order.
        best, place = tf.math.top_k(_products(*held, user, zero + begin, count), k=min(k, count))
        found.append(best)
        places.append(place + begin)
        # The next chunk waits for this one. Else the converter puts all casts before all products, and the memory of
        # each chunk is needed at once: 13 MB and not 2 at 50,000 items, and twice the time.
        zero = tf.minimum(place[0, 0], 0)
    if len(found) == 1:
        return tf.reshape(places[0], [k]), found[0]
    scores, order = tf.math.top_k(tf.concat(found, axis=1), k=k)
    return tf.gather(tf.reshape(tf.concat(places, axis=1), [-1]), tf.reshape(order, [k])), scores


def _products(rows: tf.Tensor, scales: tf.Tensor | None, user: tf.Tensor, begin: tf.Tensor, count: int) -> tf.Tensor:
    """Inner products of one user (1, E) with `count` rows from `begin` on, float32 (1, count).

    The scales come after the product, so that a row costs a conversion and no multiplication of its own; and the user,
    not the table, is what a runtime packs for the product.
    """
    at = tf.stack([begin, 0])
    part = tf.cast(tf.slice(rows, at, [count, rows.shape[1]]), tf.float32)
    products = tf.matmul(part, user, transpose_b=True)  # (count, 1)
    if scales is not None:
        products *= tf.slice(scales, at, [count, 1])
    return tf.reshape(products, [1, count])
