# SPDX-License-Identifier: Apache-2.0
"""The lean table: what its buckets hold, and what a shard brings."""

from __future__ import annotations

import numpy as np
import pytest

from pocketrec.cloud.backbones import build_model
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.export.tables.lean import ShardSizes, lean_model, lean_shards, lean_table

EMBEDDINGS = np.arange(24, dtype=np.float32).reshape(8, 3)
COUNTS = np.array([0, 9, 8, 4, 3, 2, 2, 1])


def test_a_bucket_is_the_mean_of_its_items_weighed_by_events():
    of_row = np.array([0, 1, 1, 2, 2, 3, 0, 3])
    table = lean_table(EMBEDDINGS, COUNTS, 2, (["x", "y", "z"], of_row))
    assert table.labels == ["category:y", "category:z", "category:"], "x has no item outside the head"
    np.testing.assert_array_equal(table.row_of, [0, 1, 2, 3, 3, 4, 5, 4])
    np.testing.assert_array_equal(table.embeddings[:3], EMBEDDINGS[:3])
    np.testing.assert_allclose(table.embeddings[3], (4 * EMBEDDINGS[3] + 3 * EMBEDDINGS[4]) / 7, rtol=1e-6)
    np.testing.assert_allclose(table.embeddings[4], (2 * EMBEDDINGS[5] + EMBEDDINGS[7]) / 3, rtol=1e-6)
    np.testing.assert_allclose(table.embeddings[5], COUNTS[3:] @ EMBEDDINGS[3:] / 12, rtol=1e-6)


def test_without_categories_there_is_one_bucket_and_a_large_head_leaves_it_empty():
    table = lean_table(EMBEDDINGS, COUNTS, 3)
    np.testing.assert_array_equal(table.row_of, [0, 1, 2, 3, 4, 4, 4, 4])
    whole = lean_table(EMBEDDINGS, COUNTS, 99)
    assert (whole.head, whole.labels) == (7, ["category:"])
    assert not whole.embeddings[-1].any()


@pytest.mark.feature("D9")
def test_a_shard_brings_the_most_popular_of_what_its_users_need():
    table = lean_table(EMBEDDINGS, COUNTS, 2)
    candidates = np.array([[7, 1], [5, 0]])
    items, rows = lean_shards(["a", "b"], candidates, [np.array([6]), np.array([2])], table, EMBEDDINGS,
                              [f"i{row}" for row in range(1, 8)], ShardSizes(1, most=2))  # fmt: skip
    assert items[0].ids == ["i5", "i6"], "i7 is the least popular and there is room for two"
    np.testing.assert_array_equal(rows, [[0, 1], [table.rows + 1, 0]])


def test_lean_model_is_the_full_one_on_the_head():
    config = ModelConfig(embedding=8, window=5, tables={"gru": GruOptions(hidden=8, layers=2)})
    model = build_model(config, 30, 1)
    embeddings = model.get_layer("item_embedding").get_weights()[0]
    small = lean_model(model, config, lean_table(embeddings, np.ones(31), 10), reserved=4)
    items = np.array([[3, 10, 7, 0, 0]], np.int32)
    np.testing.assert_allclose(small(items), model(items), atol=1e-6)
    assert small.get_layer("item_embedding").get_weights()[0].shape == (1 + 10 + 1 + 4, 8)
