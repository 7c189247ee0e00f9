# SPDX-License-Identifier: Apache-2.0
"""P2, of a model that sees both sides: a masked item is said from both, and shows nothing of itself."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from causal import graphs_of, losses_with_padding
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.backbones import build_model
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.nextitnet import GrecOptions
from pocketrec.cloud.config.training import MASKED
from pocketrec.device.base.errors import ConfigError

ITEMS, WINDOW = 30, 16
OPTIONS = GrecOptions(dilations=[1])
CONFIG = ModelConfig(backbone="grec", embedding=6, window=WINDOW, dropout=0.0, tables={"grec": OPTIONS})


@functools.cache
def model() -> keras.Model:
    made, rng = build_model(CONFIG, ITEMS, seed=3), np.random.default_rng(1)
    for variable in made.trainable_variables:
        variable.assign(variable.numpy() + rng.normal(0, 0.1, variable.shape))
    return made


@functools.cache
def training() -> Any:
    return graphs_of(model(), CONFIG)[0]


def said(row: list[int]) -> np.ndarray:
    """Embeddings [T, E] in training."""
    return np.asarray(training()(np.array([row], np.int32), np.ones((1, WINDOW), np.float32)))[0]


@examples(40, times=3)
@given(
    st.lists(st.integers(1, ITEMS), min_size=WINDOW, max_size=WINDOW), st.integers(0, WINDOW - 1),
    st.integers(0, WINDOW - 1), st.integers(1, ITEMS),
)  # fmt: skip
def test_a_masked_place_sees_either_side_as_far_as_its_reach(
    row: list[int], hidden: int, place: int, item: int
) -> None:
    """P2: another item within reach, before or after, changes what is said; one beyond it does not, by a bit; and
    nothing says what the mask hides, for the row that enters does not have it."""
    masked = [*row[:hidden], MASKED, *row[hidden + 1 :]]
    changed = [*masked[:place], item % ITEMS + 1 if masked[place] == item else item, *masked[place + 1 :]]
    if place == hidden:
        changed[place] = MASKED
    before, after = said(masked)[hidden], said(changed)[hidden]
    sees = 0 < abs(place - hidden) <= OPTIONS.reach
    assert np.array_equal(before, after) != sees
    assert np.isfinite(before).all()


def test_reach_on_either_side() -> None:
    assert OPTIONS.reach == 3
    assert GrecOptions().reach == 30


@pytest.mark.parametrize("loss", ["full_softmax", "sampled_softmax"])
def test_padding_adds_nothing_to_the_loss(loss: str) -> None:
    """P8: ten more columns of padding, and the loss is the same."""
    found = losses_with_padding(model(), CONFIG, loss, ITEMS, (0, 10))
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[0] > 0


def test_the_mask_is_no_item_and_starts_as_large_as_one() -> None:
    vector = build_model(CONFIG, ITEMS, seed=3).get_layer("mask").vector
    assert vector.shape == (6,)
    assert 0.1 < float(tf.math.reduce_std(vector)) < 1.0


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"model": {"backbone": "grec"}}, r'"grec" sees both sides .*: set train\.objective = "cloze"'),
        ({"train": {"objective": "cloze"}}, r'train\.objective = "cloze" wants a backbone that sees both sides'),
        (
            {"model": {"backbone": "grec"}, "train": {"objective": "cloze", "batching": "sessions"}},
            r'model\.backbone = "grec" carries no state .*: set train\.batching = "windows"',
        ),
        ({"model": {"backbone": "nextitnet"}, "train": {"batching": "sessions"}}, '"nextitnet" carries no state'),
        ({"model": {"backbone": "sasrec"}, "train": {"batching": "sessions"}}, '"sasrec" carries no state'),
        ({"model": {"grec": {"kernel": 4}}}, r"\[model\.grec\] kernel must be odd"),
        ({"train": {"cloze": {"mask": 0.0}}}, r"\[train\.cloze\] mask must lie in \(0, 1\]"),
        ({"train": {"cloze": {"mask_most": 0}}}, r"\[train\.cloze\] mask_most must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused_when_the_configuration_is_read(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        config_from_dict(tables)
    assert "\n" not in str(caught.value)


def test_what_fits_is_read() -> None:
    config = config_from_dict({"model": {"backbone": "grec"}, "train": {"objective": "cloze"}})
    assert not config.model.causal
    assert config_from_dict(config.to_dict()) == config
    for name in ("gru", "mingru"):
        assert config_from_dict({"model": {"backbone": name}, "train": {"batching": "sessions"}}).model.causal
