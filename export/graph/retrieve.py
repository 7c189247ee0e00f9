# SPDX-License-Identifier: Apache-2.0
"""Retrieval in the exported graph: the items of the whole catalogue with the largest inner product with the user.

The table is looked at in chunks of rows, each cast, multiplied and cut, together with the best of all chunks so far, to
the best K. Nothing of the size of the table in float32 is ever formed. `pocketrec.device.engine.retrieve` does the same
in numpy over the same bytes. This module knows nothing about layers and training.
"""

from __future__ import annotations

from typing import Final

import tensorflow as tf

from pocketrec.export.tables.table import ItemTable

#: Rows of a chunk: 768 kB as float32 with 64 numbers a row, so that cast and product find them in the cache.
CHUNK: Final = 3072
# Chunks are operators of the file, which take memory when it is opened and time when it is converted: a table that
# would have more of them than this has longer ones, of at most so many rows.
_CHUNKS, _LONGEST = 168, 8192


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
    # Once for all chunks: a constant for each would be a copy of the table in the saved model.
    held = tf.constant(table.rows), None if table.scales is None else tf.constant(table.scales)
    chunk = min(_LONGEST, max(CHUNK, -(-table.items // _CHUNKS)))
    places = tf.range(chunk)[tf.newaxis]  # (1, chunk), a constant too
    best = back = None  # (1, n) float32 and int32: the best so far, and their rows less the next chunk's first
    for begin in range(1, table.items + 1, chunk):
        count = min(chunk, table.items + 1 - begin)
        scores, rows = _products(*held, user, zero + begin, count), places[:, :count]
        if best is not None:
            # The best so far come first: most of a chunk is below all of them, which TOPK_V2 sees in one comparison.
            # It puts the smaller index first among equals, and rows before this chunk are smaller.
            scores, rows = tf.concat([best, scores], axis=1), tf.concat([back, rows], axis=1)
        best, order = tf.math.top_k(scores, k=min(k, scores.shape[1]))
        back = tf.gather(rows, order[0], axis=1) - count
        # The next chunk waits for this one. Else the converter puts all casts before all products, and the memory of
        # each chunk is needed at once: 13 MB and not 2 at 50,000 items, and twice the time.
        zero = tf.minimum(order[0, 0], 0)
    return tf.reshape(back, [k]) + (table.items + 1), best


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
