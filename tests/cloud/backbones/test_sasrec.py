# SPDX-License-Identifier: Apache-2.0
"""What causal attention promises: nothing later is seen, bit for bit, and padding means nothing."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from causal import SEED, assert_nothing_earlier_changes, graphs_of, losses_with_padding
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketrec.cloud.backbones import backbone, build_model
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.sasrec import SasrecOptions
from pocketrec.cloud.config.training import PruneConfig
from pocketrec.cloud.training.pruning import pruned_tensors
from pocketrec.device.base.errors import ConfigError

ITEMS, WINDOW = 30, 10
OPTIONS = SasrecOptions(heads=2, feed_forward=2, block_dropout=0.0)
CONFIG = ModelConfig(backbone="sasrec", embedding=6, window=WINDOW, dropout=0.0, tables={"sasrec": OPTIONS})


@functools.cache
def model() -> keras.Model:
    made = build_model(CONFIG, ITEMS, seed=3)
    rng = np.random.default_rng(1)
    for variable in made.trainable_variables:
        variable.assign(variable.numpy() + rng.normal(0, 0.3, variable.shape))
    return made


@functools.cache
def graphs() -> tuple[Any, Any]:
    """The model in training, of items and `keep`, and the Keras model."""
    return graphs_of(model(), CONFIG)


rows = st.lists(st.integers(1, ITEMS), min_size=WINDOW, max_size=WINDOW)


@settings(max_examples=60, deadline=None)
@given(rows, st.integers(0, WINDOW - 1), st.integers(1, ITEMS), st.sets(st.integers(1, WINDOW - 1), max_size=3))
def test_nothing_before_a_changed_item_changes_by_a_bit(
    row: list[int], place: int, item: int, starts: set[int]
) -> None:
    """P1: nor, in a row with several windows, anything of another window; a share that is hidden is exactly 0."""
    assert_nothing_earlier_changes(graphs(), row, place, item, starts, ITEMS)


def test_the_first_event_of_a_window_reaches_the_last() -> None:
    items = np.arange(1, WINDOW + 1, dtype=np.int32)[None]
    changed = items.copy()
    changed[0, 0] = 20
    one, other = (np.asarray(model()(rows))[0] for rows in (items, changed))
    assert np.abs(one - other).min(axis=0).max() > 1e-4, "at every position"


@pytest.mark.parametrize("loss", ["full_softmax", "sampled_softmax"])
def test_padding_adds_nothing_to_the_loss(loss: str) -> None:
    """P8: more columns of padding, up to the window, and the loss is the same."""
    found = losses_with_padding(model(), CONFIG, loss, ITEMS, (0, 1, 3))
    assert found[1:] == pytest.approx(found[:1] * 2, rel=1e-6)
    assert found[0] > 0


def test_a_row_of_padding_is_finite() -> None:
    assert np.isfinite(model()(np.zeros((2, WINDOW), np.int32))).all()


def test_a_row_that_is_longer_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="a row has 11 events, and the model has positions for 10"):
        model()(np.ones((1, WINDOW + 1), np.int32))


def test_an_item_at_another_place_is_another_input() -> None:
    out = np.asarray(model()(np.array([[3, 3, 3]], np.int32)))[0]
    assert np.abs(out[0] - out[1]).max() > 1e-3, "positions alone tell them apart"


@pytest.mark.parametrize("dropout", ["block_dropout", "attention_dropout"])
def test_dropout_of_blocks_follows_from_the_seed(dropout: str) -> None:
    config = CONFIG.with_options("sasrec", **{dropout: 0.4})
    items, keep = tf.constant([[1, 2, 3, 4, 5]]), tf.constant([[0.0, 1, 1, 1, 1]])
    run = backbone("sasrec").train_embeddings
    one = run(model(), config, items, keep, SEED)[0]
    np.testing.assert_array_equal(one, run(model(), config, items, keep, SEED)[0])
    assert not np.allclose(one, run(model(), config, items, keep, SEED + 1)[0])
    assert not np.allclose(one, run(model(), CONFIG, items, keep, SEED)[0])


def test_pruning_reaches_attention_and_feed_forward_part() -> None:
    found = pruned_tensors(model(), backbone("sasrec").layers(CONFIG), PruneConfig(tensors=["kernel"]))
    assert [tuple(tensor.shape) for tensor in found] == [(6, 18), (6, 6), (6, 12), (12, 6)] * 2
    (fc,) = pruned_tensors(model(), backbone("sasrec").layers(CONFIG), PruneConfig(tensors=["fc"]))
    assert fc.shape == (6, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 0}, r"\[model.sasrec\] layers must be at least 1"),
        ({"heads": 4}, r"\[model.sasrec\] heads = 4 must divide model.embedding = 6"),
        ({"block_dropout": 1.0}, r"\[model.sasrec\] block_dropout must lie"),
    ],
)
def test_options_that_make_no_network_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig(backbone="sasrec", embedding=6, tables={"sasrec": SasrecOptions(**options)})
