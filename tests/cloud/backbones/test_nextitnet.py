# SPDX-License-Identifier: Apache-2.0
"""What a causal dilated convolution promises: nothing later is seen, bit for bit, and as far back as its reach says."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from causal import SEED, assert_nothing_earlier_changes, graphs_of, losses_with_padding
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.backbones import backbone, build_model
from pocketrec.cloud.backbones.conv import shifts
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.nextitnet import NextItNetOptions
from pocketrec.device.base.errors import ConfigError

ITEMS, WINDOW = 30, 12
OPTIONS = NextItNetOptions(dilations=[1, 2])
CONFIG = ModelConfig(backbone="nextitnet", embedding=6, window=WINDOW, dropout=0.0, tables={"nextitnet": OPTIONS})


def new_model(config: ModelConfig) -> keras.Model:
    made = build_model(config, ITEMS, seed=3)
    rng = np.random.default_rng(1)
    for variable in made.trainable_variables:
        variable.assign(variable.numpy() + rng.normal(0, 0.1, variable.shape))
    return made


@functools.cache
def model() -> keras.Model:
    return new_model(CONFIG)


@functools.cache
def graphs() -> tuple[Any, Any]:
    """The model in training, of items and `keep`, and the Keras model."""
    return graphs_of(model(), CONFIG)


rows = st.lists(st.integers(1, ITEMS), min_size=WINDOW, max_size=WINDOW)


@examples(40, times=3)
@given(rows, st.integers(0, WINDOW - 1), st.integers(1, ITEMS), st.sets(st.integers(1, WINDOW - 1), max_size=3))
def test_nothing_before_a_changed_item_changes_by_a_bit(
    row: list[int], place: int, item: int, starts: set[int]
) -> None:
    """P1: nor, in a row with several windows, anything of another window."""
    assert_nothing_earlier_changes(graphs(), row, place, item, starts, ITEMS)


@pytest.mark.parametrize(("kernel", "dilations"), [(3, [1]), (2, [2, 1]), (3, [1, 2])])
def test_the_receptive_field_is_exact(kernel: int, dilations: list[int]) -> None:
    """The earliest item within reach matters; the one before it does not, not by a bit."""
    options = NextItNetOptions(kernel=kernel, dilations=dilations)
    config = ModelConfig(backbone="nextitnet", embedding=6, window=40, dropout=0.0, tables={"nextitnet": options})
    items = np.random.default_rng(2).integers(1, ITEMS, (1, 40)).astype(np.int32)
    outputs, made = {}, new_model(config)
    for back in (0, options.reach, options.reach + 1):
        changed = items.copy()
        changed[0, 39 - back] += back > 0
        outputs[back] = np.asarray(made(changed))[0, 39]
    assert options.reach == (kernel - 1) * 3 * sum(dilations)
    assert not np.array_equal(outputs[0], outputs[options.reach])
    np.testing.assert_array_equal(outputs[0], outputs[options.reach + 1])


def test_default_blocks_see_61_events() -> None:
    assert NextItNetOptions().reach + 1 == 61
    assert shifts(3, 4, causal=True) == [8, 4, 0]
    assert shifts(3, 4, causal=False) == [4, 0, -4]


@pytest.mark.parametrize("loss", ["full_softmax", "sampled_softmax"])
def test_padding_adds_nothing_to_the_loss(loss: str) -> None:
    """P8: ten more columns of padding, and the loss is the same."""
    found = losses_with_padding(model(), CONFIG, loss, ITEMS, (0, 10))
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[0] > 0


def test_dropout_of_blocks_follows_from_the_seed() -> None:
    config = CONFIG.with_options("nextitnet", block_dropout=0.4)
    items, keep = tf.constant([[1, 2, 3]]), tf.constant([[0.0, 1, 1]])
    run = backbone("nextitnet").train_embeddings
    one = run(model(), config, items, keep, SEED)[0]
    np.testing.assert_array_equal(one, run(model(), config, items, keep, SEED)[0])
    assert not np.allclose(one, run(model(), config, items, keep, SEED + 1)[0])
    assert "dropout_2" in {layer.name for layer in build_model(config, ITEMS, 1).layers}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": 1}, r"\[model.nextitnet\] kernel must be at least 2"),
        ({"dilations": []}, r"\[model.nextitnet\] dilations must be a list"),
        ({"dilations": [1, 0]}, r"\[model.nextitnet\] dilations must be a list"),
        ({"block_dropout": 1.0}, r"\[model.nextitnet\] block_dropout must lie"),
    ],
)
def test_options_that_make_no_network_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NextItNetOptions(**options)  # type: ignore[arg-type]
