# SPDX-License-Identifier: Apache-2.0
"""What tests of causal backbones share: nothing later is seen (P1), and padding adds nothing to the loss (P8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones import backbone, item_table
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.training import TrainConfig
from pocketrec.cloud.training.objective import Objective

SEED = tf.constant([1, 2], tf.int32)


def graphs_of(model: keras.Model, config: ModelConfig) -> tuple[Any, Any]:
    """The model in training, of items and `keep`, and the Keras model, each for one row of a window's length."""
    run = backbone(config.backbone).train_embeddings
    items, keep = (tf.TensorSpec([1, config.window], kind) for kind in (tf.int32, tf.float32))
    training = tf.function(lambda items, keep: run(model, config, items, keep, SEED)[0], input_signature=[items, keep])
    return training, tf.function(lambda items: model(items), input_signature=[items])


def assert_nothing_earlier_changes(
    graphs: tuple[Any, Any], row: list[int], place: int, item: int, starts: set[int], items: int
) -> None:
    """P1, bit for bit: another item at a place changes nothing before it, nor anything of another window of the row.

    Args:
        graphs: from `graphs_of`.
        row: items of a window's length.
        place: of the item that changes.
        item: what it becomes, or the one after it where it is that already.
        starts: places at which windows of the row start, beside 0.
        items: N.
    """
    changed = [*row[:place], item % items + 1 if row[place] == item else item, *row[place + 1 :]]
    training, plain_model = graphs
    keep = np.ones((1, len(row)), np.float32)
    keep[0, [0, *starts]] = 0
    before, after = (np.asarray(training(np.array([r], np.int32), keep))[0] for r in (row, changed))
    end = min((start for start in starts if start > place), default=len(row))  # where the window of the change ends
    np.testing.assert_array_equal(before[:place], after[:place])
    np.testing.assert_array_equal(before[end:], after[end:])
    assert not np.array_equal(before[place], after[place])
    plain, other = (np.asarray(plain_model(np.array([r], np.int32)))[0] for r in (row, changed))
    np.testing.assert_array_equal(plain[:place], other[:place])


def losses_with_padding(
    model: keras.Model, config: ModelConfig, loss: str, items: int, padded: Sequence[int]
) -> list[float]:
    """The loss of two rows with so many more columns of padding each time; embeddings are finite in padding too."""
    rows = np.array([[3, 1, 4, 1, 5, 9, 0], [2, 6, 5, 0, 0, 0, 0]], np.int32)
    targets = np.array([[1, 4, 1, 5, 9, 2, 0], [6, 5, 3, 0, 0, 0, 0]], np.int32)
    keep = np.ones_like(rows, np.float32)
    keep[:, 0] = 0
    objective = Objective(TrainConfig(loss=loss, negatives=8), np.arange(items + 1)[::-1] + 1)
    run, found = backbone(config.backbone).train_embeddings, []
    for more in padded:
        wide, goals = (np.pad(part, [(0, 0), (0, more)]) for part in (rows, targets))
        carry = np.pad(keep, [(0, 0), (0, more)], constant_values=1)
        users, _ = run(model, config, tf.constant(wide), tf.constant(carry), SEED)
        assert np.isfinite(users).all()
        flat, goals = tf.reshape(users, [1, -1, config.embedding]), tf.reshape(goals, [1, -1])
        found.append(float(objective(flat, goals, tf.cast(goals > 0, tf.float32), item_table(model), SEED)))
    return found
