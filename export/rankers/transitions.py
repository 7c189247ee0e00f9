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

_SUMS = KINDS * len(SPANS)


def narrow(rows: Array) -> Array:
    """Item rows as the file has them: int16 where the catalogue allows it."""
    return rows.astype(np.int16 if len(rows) - 1 <= np.iinfo(np.int16).max else np.int32)


def parts(transitions: Transitions | None) -> dict[str, Quantised]:
    """The constants of the file as bytes, by names of their own: what a packed model sends apart from its skeleton."""
    if transitions is None:
        return {}
    found = {
        "rows": narrow(transitions.rows), "next": transitions.values[0], "near": transitions.values[1],
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
    span = np.array([place for place, (first, end) in enumerate(SPANS) for _ in range(first, end)], np.int32)[:reach]
    places, values = [], []
    for kind in range(KINDS):
        coded = tf.gather(tf.constant(transitions.values[kind]), recent)  # (reach, M)
        values.append(tf.reshape(tf.cast(coded, tf.float32) * transitions.scales[kind], [-1]))
        places.append(tf.reshape(rows * _SUMS + (kind * len(SPANS) + span)[:, np.newaxis], [-1]))
    summed = tf.scatter_nd(tf.concat(places, 0)[:, tf.newaxis], tf.concat(values, 0), [size * _SUMS])
    found = tf.gather(tf.reshape(summed, [size, _SUMS]), candidates)  # (C, sums)
    popularity = tf.gather(tf.constant(transitions.popularity), candidates)[:, tf.newaxis]
    return tf.concat([found, popularity, product], 1)
