# SPDX-License-Identifier: Apache-2.0
"""A ranker's table of transitions in the exported graph: features of items after a window's latest events.

The table is a constant of one-byte values. What the latest events say of all items is summed into one vector by a
scatter, from which the candidates' sums are read: 32 bytes of memory for each item of the catalogue while the signature
runs, and no loop over candidates.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pocketrec.cloud.rankers.transitions import KINDS, SPANS, Transitions
from pocketrec.device.base.array import Array
from pocketrec.device.contract.packed import Quantised


def narrow(rows: Array) -> Array:
    """Item rows as the file has them: int16 where the catalogue allows it."""
    return rows.astype(np.int16 if len(rows) - 1 <= np.iinfo(np.int16).max else np.int32)


def together(transitions: Transitions) -> Array:
    """Values int8 [N + 1, M, kinds], as the file has them."""
    return np.ascontiguousarray(np.moveaxis(transitions.values, 0, -1))


def parts(transitions: Transitions | None) -> dict[str, Quantised]:
    """The constants of the file as bytes, by names of their own: what a packed model sends apart from its skeleton."""
    if transitions is None:
        return {}
    found = {
        "rows": narrow(transitions.rows), "values": together(transitions),
        "popularity": transitions.popularity, "weights": transitions.weights,
        "direct": transitions.direct,
    }  # fmt: skip
    one = np.ones(1, np.float32)
    return {f"transitions_{name}": Quantised(np.ascontiguousarray(value).view(np.int8).reshape(-1), one)
            for name, value in found.items()}  # fmt: skip


def features(transitions: Transitions, items: tf.Tensor, candidates: tf.Tensor, product: tf.Tensor) -> tf.Tensor:
    """Features of candidates, as `Transitions.features` has them.

    Args:
        transitions: the table.
        items: int32 (1, T), the window, right-padded with 0.
        candidates: int32 (C,).
        product: float32 (C, 1), inner products of user and candidates.

    Returns:
        float32 (C, F).
    """
    size, reach = len(transitions.rows), transitions.reach
    place = tf.reduce_sum(tf.minimum(items, 1)) - 1 - tf.range(reach)  # (reach,), below 0 where there are no more
    there = tf.cast(place >= 0, tf.int32)
    recent = tf.gather(tf.reshape(items, [-1]), tf.maximum(place, 0)) * there
    rows = tf.cast(tf.gather(tf.constant(narrow(transitions.rows)), recent), tf.int32)  # (reach, M)
    coded = tf.gather(tf.constant(together(transitions)), recent)  # (reach, M, kinds)
    values = tf.cast(coded, tf.float32) * tf.constant(transitions.scales)
    span = np.array([place for place, (first, end) in enumerate(SPANS) for _ in range(first, end)], np.int32)[:reach]
    spans = np.broadcast_to(span[:, np.newaxis, np.newaxis], (reach, transitions.rows.shape[1], 1)).reshape(-1, 1)
    places = tf.concat([tf.reshape(rows, [-1, 1]), tf.constant(spans)], 1)
    # One slice for each pair of items, and no reshape of the sums of all items, which would copy them.
    summed = tf.scatter_nd(places, tf.reshape(values, [-1, KINDS]), [size, len(SPANS), KINDS])
    found = tf.transpose(tf.gather(summed, candidates), [0, 2, 1])  # (C, kinds, spans)
    found = tf.reshape(found, [-1, KINDS * len(SPANS)])
    popularity = tf.gather(tf.constant(transitions.popularity), candidates)[:, tf.newaxis]
    return tf.concat([found, popularity, product], 1)
