# SPDX-License-Identifier: Apache-2.0
"""ItemNet and UserNet: content beside rows, id dropout, the profile of a window, the start by popularity."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from pocketrec.cloud.backbones import build_model, item_embeddings, item_table, load_model, logits, save_model
from pocketrec.cloud.backbones.item_net import ContentEmbedding, id_dropout
from pocketrec.cloud.backbones.profile import TINY, Profile
from pocketrec.cloud.config.model import BACKBONES, ModelConfig
from pocketrec.cloud.data.item_features import FeatureSpace, ItemFeatures
from pocketrec.cloud.training.item_start import start_by_popularity
from pocketrec.device.base.errors import ConfigError

ITEMS = 9
SEED = tf.constant([3, 4])


def content() -> ItemFeatures:
    """Items 1 and 2 have equal content; item 9 has none."""
    rng = np.random.default_rng(2)
    values = rng.integers(0, 5, (ITEMS + 1, 3)).astype(np.int32)
    numbers = np.concatenate([rng.normal(size=(ITEMS + 1, 1)), np.zeros((ITEMS + 1, 1))], 1).astype(np.float32)
    values[2], numbers[2] = values[1], numbers[1]
    values[[0, 9]], numbers[[0, 9]] = 0, [0, 1]
    names, numbered = (np.array([f"{part}{i}" for i in range(n)], object) for part, n in (("v", 4), ("n", 1)))
    return ItemFeatures(FeatureSpace(names, numbered, np.zeros(1), np.ones(1)), values, numbers)


def config(backbone: str = "towers", **changes: object) -> ModelConfig:
    return ModelConfig(backbone=backbone, **{"embedding": 6, "window": 5, "dropout": 0.0, "content": True,
                                             "content_hidden": 8, **changes})  # fmt: skip


def model(**changes: object) -> keras.Model:
    return build_model(config(**changes), ITEMS, 3, content())


@pytest.mark.parametrize("backbone", [name for name in BACKBONES.own if name not in ("sasrec", "grec", "nextitnet")])
def test_every_backbone_may_have_content(backbone: str) -> None:
    made = model(backbone=backbone)
    assert isinstance(item_table(made), ContentEmbedding)
    assert np.isfinite(np.asarray(made(np.array([[1, 2, 3, 0]], np.int32)))).all()


def test_rows_gathered_are_those_of_the_whole_table() -> None:
    table = item_table(model())
    rows = tf.constant([[3, 0, 9], [1, 1, 2]])
    np.testing.assert_allclose(table.gather(rows), tf.gather(table.whole(), rows), atol=1e-6)
    assert not np.any(table.whole()[0]), "padding"


def test_an_embedding_is_a_row_and_what_content_makes() -> None:
    table = item_table(model())
    whole, own = np.asarray(table.whole()), table.embeddings.numpy()
    np.testing.assert_allclose(whole[1] - own[1], whole[2] - own[2], atol=1e-6, err_msg="equal content")
    assert np.abs(whole[3] - own[3] - (whole[1] - own[1])).max() > 1e-3


def test_dropped_rows_leave_content_alone_everywhere_and_alike() -> None:
    table = item_table(model())
    plain, own = np.asarray(table.whole()), table.embeddings.numpy()
    with id_dropout(table, 0.5, SEED):
        whole, gathered = np.asarray(table.whole()), np.asarray(table.gather(tf.range(ITEMS + 1)))
    np.testing.assert_allclose(whole, gathered, atol=1e-6)
    dropped = np.abs(whole - plain).max(1) > 1e-6
    assert 0 < dropped[1:].sum() < ITEMS
    np.testing.assert_allclose(whole[dropped], (plain - own)[dropped], atol=1e-6)
    np.testing.assert_array_equal(table.whole(), plain, err_msg="outside nothing is dropped")
    with id_dropout(table, 0.5, SEED + 1):
        assert not np.allclose(table.whole(), whole)


def test_content_is_part_of_the_saved_model(tmp_path: Path) -> None:
    made = model()
    save_model(made, tmp_path / "m.keras")
    np.testing.assert_array_equal(item_embeddings(load_model(tmp_path / "m.keras")), item_embeddings(made))


def test_content_that_is_not_given_is_one_line() -> None:
    with pytest.raises(ConfigError, match="wants a table of items"):
        build_model(config(), ITEMS, 3)
    with pytest.raises(ConfigError, match="id_dropout wants content"):
        ModelConfig(id_dropout=0.1)


def test_the_profile_is_what_pandas_finds_in_the_same_events() -> None:
    """K3: mean and deviation of each number over the events so far; a later event changes no earlier profile."""
    rng = np.random.default_rng(1)
    table = rng.normal(size=(ITEMS + 1, 2)).astype(np.float32)
    users = [[3, 1, 4, 1], [5, 9], [2]]
    rows = np.zeros((3, 4), np.int32)
    for row, items in zip(rows, users, strict=True):
        row[: len(items)] = items
    found = np.asarray(Profile()(table[rows], mask=rows > 0))
    events = pd.DataFrame([(u, *table[i]) for u, items in enumerate(users) for i in items], columns=["user", "x", "y"])
    grouped = events.groupby("user")[["x", "y"]]
    scale = 2**0.5
    np.testing.assert_allclose(found[:, -1, :2], grouped.mean() * scale, atol=1e-5)
    np.testing.assert_allclose(found[:, -1, 2:4], np.sqrt(grouped.var(ddof=0) + TINY) * scale, atol=1e-4)
    np.testing.assert_allclose(found[:, -1, 4], np.log1p(grouped.size()), atol=1e-6)
    longer = np.asarray(Profile()(table[np.array([[3, 1, 4, 8]])], mask=np.ones((1, 4), bool)))
    np.testing.assert_array_equal(longer[0, :3], found[0, :3])


def test_a_start_by_popularity_scores_by_the_logarithm_of_events() -> None:
    counts = np.array([0, 900, 400, 100, 90, 30, 9, 4, 1, 0])
    for content_too in (True, False):
        made = build_model(config(content=content_too, embedding=32), ITEMS, 3, content())
        windows = np.array([[1, 2, 3], [7, 8, 9]], np.int32)
        before = logits(made, np.asarray(made(windows))[:, -1])
        start_by_popularity(made, counts)
        after = logits(made, np.asarray(made(windows))[:, -1])
        for scores in after:
            assert np.corrcoef(scores[1:], np.log(counts[1:] + 1))[0, 1] > 0.9
        assert np.abs(np.corrcoef(before[0, 1:], np.log(counts[1:] + 1))[0, 1]) < 0.9
