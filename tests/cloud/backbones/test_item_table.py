# SPDX-License-Identifier: Apache-2.0
"""P15: an item table in blocks of popularity is a plain table of the same embeddings, and says where it cannot be."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.backbones import BlockEmbedding, PlainTable, build_model, item_table, load_model, save_model
from pocketrec.cloud.backbones.item_table import block_sizes
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.section import key_values
from pocketrec.cloud.config.training import TrainConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.training.distributed import Workers
from pocketrec.cloud.training.objective import Objective
from pocketrec.cloud.training.trainer import TrainJob, train
from pocketrec.device.base.errors import ConfigError

ITEMS = 20
SHARES = [[0.2, 6], [0.3, 3], [0.5, 2]]
SEED = tf.constant([1, 2])
GRU = GruOptions(hidden=6, layers=1)
CONFIG = ModelConfig(embedding=6, window=5, dropout=0.0, item_blocks=SHARES, tables={"gru": GRU})
ROWS = np.array([[1, 4, 5, 20], [10, 11, 0, 0]], np.int32)  # both ends of every block, and padding


def blocks(seed: int = 1, items: int = ITEMS, size: int = 6) -> BlockEmbedding:
    layer = BlockEmbedding(block_sizes(SHARES, items), size, 0.4, seed, name="items")
    layer.build(None)
    layer.clear_padding()
    return layer


def plain(layer: BlockEmbedding) -> PlainTable:
    return PlainTable(tf.Variable(layer.whole()))


def test_blocks_are_shares_of_the_items_and_fewer_numbers() -> None:
    layer = blocks()
    assert layer.blocks == [(4, 6), (6, 3), (10, 2)]
    assert [tuple(table.shape) for table in layer.tables] == [(5, 6), (6, 3), (10, 2)]
    assert [tuple(part.shape) for part in layer.projections] == [(6, 6), (3, 6), (2, 6)]
    whole = layer.whole().numpy()
    assert whole.shape == (ITEMS + 1, 6)
    assert not whole[0].any()
    assert (np.linalg.matrix_rank(whole[5:11]), np.linalg.matrix_rank(whole[11:])) == (3, 2)


def test_gather_takes_rows_of_the_whole_table_and_only_they_have_a_gradient() -> None:
    layer = blocks()
    weights = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)
    with tf.GradientTape() as tape:
        found = layer.gather(tf.constant(ROWS))
        value = tf.reduce_sum(found * weights)
    np.testing.assert_allclose(found, layer.whole().numpy()[ROWS], atol=1e-6)
    assert found.shape == (2, 4, 6)
    gradients = tape.gradient(value, layer.tables)
    assert [sorted(g.indices.numpy().tolist()) for g in gradients] == [[0, 0, 1, 4], [0, 5], [0, 9]]
    none = layer.gather(tf.constant([1, 2]))  # two blocks have no row here
    np.testing.assert_allclose(none, layer.whole().numpy()[[1, 2]], atol=1e-6)


@pytest.mark.parametrize("loss", ["full_softmax", "sampled_softmax", "cross_entropy"])
def test_losses_and_gradients_are_those_of_the_plain_table(loss: str) -> None:
    """With e = row times projection, the gradients follow from that of the plain table by the product rule."""
    layer = blocks()
    rng = np.random.default_rng(3)
    counts = np.arange(ITEMS + 1)[::-1].copy()
    objective = Objective(TrainConfig(loss=loss, negatives=7), counts)
    users = tf.constant(rng.normal(size=(1, 8, 6)).astype(np.float32))
    targets = tf.constant(rng.integers(0, ITEMS + 1, (1, 8)).astype(np.int32))
    weights = tf.cast(targets > 0, tf.float32)
    table = plain(layer)
    with tf.GradientTape() as tape:
        expected = objective(users, targets, weights, table, SEED)
    by_table = tf.convert_to_tensor(tape.gradient(expected, table.variable)).numpy()
    with tf.GradientTape() as tape:
        got = objective(users, targets, weights, layer, SEED)
    assert float(got) == pytest.approx(float(expected), rel=1e-5)
    by_rows, by_projections = tape.gradient(got, [layer.tables, layer.projections])
    assert all(isinstance(g, tf.IndexedSlices) == objective.sparse for g in by_rows)
    for place, (first, end) in enumerate(layer.spans):
        rows, across = layer.tables[place].numpy(), layer.projections[place].numpy()
        np.testing.assert_allclose(tf.convert_to_tensor(by_rows[place]), by_table[first:end] @ across.T, atol=1e-5)
        np.testing.assert_allclose(by_projections[place], rows.T @ by_table[first:end], atol=1e-5)


def test_the_start_has_the_standard_deviation_that_was_asked_for() -> None:
    layer = blocks(items=4000, size=64)
    for first, end in layer.spans:
        assert layer.whole().numpy()[max(first, 1) : end].std() == pytest.approx(0.4, rel=0.15)


def test_factors_are_added_as_well_as_the_blocks_can_hold_them() -> None:
    """The similarity start: the random part aside, each block is the nearest of its rank."""
    factors = np.random.default_rng(4).normal(size=(ITEMS + 1, 6)).astype(np.float32)
    factors[0] = 0
    layer = blocks()
    for table in layer.tables:
        table.assign(tf.zeros(table.shape))
    layer.add(factors)
    whole = layer.whole().numpy()
    assert not whole[0].any()
    for (first, end), (_, width) in zip(layer.spans, layer.blocks, strict=True):
        singular = np.linalg.svd(factors[first:end], compute_uv=False)
        off = np.linalg.norm(whole[first:end] - factors[first:end])
        assert off == pytest.approx(np.sqrt((singular[width:] ** 2).sum()), abs=1e-4)
    drawn, size = blocks(), np.linalg.norm(blocks().whole())
    drawn.add(np.zeros_like(factors))
    assert np.linalg.norm(drawn.whole()) == pytest.approx(size, rel=1e-5), "the random part stays as large"


def test_a_model_in_blocks_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    model = build_model(CONFIG, ITEMS, seed=3)
    save_model(model, tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(ROWS), model(ROWS))
    assert isinstance(item_table(again), BlockEmbedding)
    assert not item_table(again).whole().numpy()[0].any()
    assert all(map(np.array_equal, model.get_weights(), build_model(CONFIG, ITEMS, seed=3).get_weights()))


@pytest.mark.parametrize("loss", ["sampled_softmax", pytest.param("full_softmax", marks=pytest.mark.long)])
def test_a_model_in_blocks_learns_what_can_be_known(tmp_path: Path, loss: str) -> None:
    """Everybody goes round the items, so the next one is known."""
    users, length = 40, 9
    codes = np.repeat(np.arange(users), length)
    items = (codes + np.tile(np.arange(length), users)) % (ITEMS - 2) + 1  # two items never occur
    names = np.array([f"{i:03}" for i in range(users)], object)
    log = Sequences.build(names, codes, items, np.tile(np.arange(length), users) * users + codes)
    config = TrainConfig(epochs=8, batch=8, learning_rate=0.02, validation=0.0, loss=loss, negatives=3,
                         sampler="popularity")  # fmt: skip
    short = dataclasses.replace(CONFIG, window=3)
    trained = train(TrainJob(short, config, log, ITEMS, seed=5), tmp_path)
    losses = [entry["loss"] for entry in trained.history]
    assert losses[-1] < 0.7 * losses[0]
    assert not item_table(trained.model).whole().numpy()[0].any()


def test_a_worker_without_an_item_of_a_block_takes_part() -> None:
    """Several workers gather rows in places of their own: one that has none fills up with zeros."""
    none = tf.IndexedSlices(tf.zeros([0, 2]), tf.zeros([0], tf.int32), tf.constant([10, 2]))
    values, rows = Workers(1, 2)._spread(none, tf.constant(3))
    assert (values.shape, rows.shape) == ((6, 2), (6,))
    assert not np.any(values)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"item_blocks": [[0.2, 6], [0.3, 3]]}, "shares of item_blocks must be above 0 and sum to 1, and sum to 0.5"),
        ({"item_blocks": [[1.2, 6], [-0.2, 3]]}, "must be above 0"),
        ({"item_blocks": [[0.5, 6], [0.5, 7]]}, "a whole number from 1 to embedding = 6, and is 7"),
        ({"item_blocks": [[1.0, 0]]}, "from 1 to embedding = 6, and is 0"),
        ({"item_blocks": [[1.0, 2.5]]}, "and is 2.5"),
        ({"item_blocks": [[1.0]]}, r"a list of \[share, width\]"),
        ({"item_blocks": [0.5, 0.5]}, "model.item_blocks must be a list"),
        ({"item_blocks": "all"}, "model.item_blocks must be a list"),
        ({"item_blocks": [[1.0, 6]], "tied": False}, "item_blocks is one table for inputs and scores"),
        ({"share": "some"}, "share 'some' is not one of none, adjacent, all"),
    ],
)
def test_what_is_no_list_of_blocks_is_refused_in_one_line(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        config_from_dict({"model": {"embedding": 6, **changed}})
    assert "\n" not in str(refused.value)


def test_more_blocks_than_items_are_refused() -> None:
    with pytest.raises(ConfigError, match="leaves block 1 of 3 without an item, for there are 1 items: name fewer"):
        build_model(CONFIG, 1, seed=1)


def test_blocks_hold_every_item_once() -> None:
    for items, count in itertools.product((3, 7, 20, 1000), (1, 2, 3)):
        sizes = block_sizes([[1 / count, 4]] * count, items)
        assert sum(size for size, _ in sizes) == items
        assert len(sizes) == count


def test_runs_from_before_blocks_stay_up_to_date_and_other_blocks_do_not() -> None:
    assert not {"item_blocks", "share"} & key_values(RunConfig().model).keys()
    assert key_values(CONFIG)["item_blocks"] == SHARES
