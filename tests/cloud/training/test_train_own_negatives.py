# SPDX-License-Identifier: Apache-2.0
"""Negatives by category and week (K4): what is drawn, where from, in every way to fill a batch, and in training."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.backbones.item_table import PlainTable
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.config.training import CategoryWeekOptions, ClozeOptions, SessionOptions, TrainConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.training import batches as train_batches
from pocketrec.cloud.training.objective import Objective
from pocketrec.cloud.training.own_negatives import LEVELS, OwnNegatives
from pocketrec.cloud.training.trainer import TrainJob, make_batches, train
from pocketrec.device.base.errors import ConfigError

WEEK = 7.0
ITEMS = 24
#: Of rows 0..24: four categories, and three rows without one.
CATEGORIES = np.array([0, *(1 + row % 4 for row in range(1, 22)), 0, 0, 0], np.int32)


def log_of(users: int = 40, seed: int = 0, items: int = ITEMS, days: int = 28) -> Sequences:
    """Events at random: some 10 of each user, of unknown items (row 0) too."""
    rng = np.random.default_rng(seed)
    count = users * 10
    codes, rows = rng.integers(0, users, count), rng.integers(0, items + 1, count)
    names = np.array([f"{i:03}" for i in range(users)], object)
    return Sequences.build(names, codes, rows, rng.uniform(0, days, count))


def allowed(log: Sequences, categories: np.ndarray, event: int) -> tuple[str, set[int]]:
    """By the definition, in sets: where an event's negatives come from, and all that they may be."""
    users, weeks = log.event_users(), np.floor(log.timestamps / WEEK)
    category, own = categories[log.items], users == users[event]
    groups = ((weeks == weeks[event]) & (category == category[event]), category == category[event], category > -1)
    for level, group in zip(LEVELS, groups, strict=False):
        found = set(log.items[group].tolist()) - set(log.items[group & own].tolist()) - {0}
        if found:
            return level, found
    return "none", {0}


@pytest.mark.feature("K4")
@examples(25)
@given(st.integers(1, 12), st.integers(0, 5), st.integers(1, 12), st.integers(1, 40))
def test_what_is_drawn_is_what_the_definition_allows(users: int, seed: int, items: int, days: int) -> None:
    """Few items, users and weeks, so that every level is reached; all allowed rows come, and no other."""
    log = log_of(users, seed, items, days)
    own = OwnNegatives(log, CATEGORIES, 200, WEEK)
    known = np.flatnonzero(log.items)
    drawn = own.draw(known, [seed])
    assert (drawn.dtype, drawn.shape) == (np.int32, (len(known), 200))
    counts = dict.fromkeys(LEVELS, 0)
    for event, rows in zip(known.tolist(), drawn, strict=True):
        level, wanted = allowed(log, CATEGORIES, event)
        counts[level] += 1
        assert set(rows.tolist()) <= wanted
    assert own.events == counts


@pytest.mark.feature("K4")
def test_ten_thousand_negatives_are_of_the_week_and_category_and_each_as_likely() -> None:
    log = log_of(30, 3)
    own = OwnNegatives(log, CATEGORIES, 10_000, WEEK)
    assert own.events["category_week"] > 0.9 * np.count_nonzero(log.items)
    near = [event for event in np.flatnonzero(log.items) if allowed(log, CATEGORIES, event)[0] == LEVELS[0]][:20]
    for event, rows in zip(near, own.draw(np.array(near), [1]), strict=True):
        wanted = sorted(allowed(log, CATEGORIES, event)[1])
        values, counts = np.unique(rows, return_counts=True)
        assert values.tolist() == wanted
        share = 1 / len(wanted)
        assert np.abs(counts - 10_000 * share).max() <= 5 * math.sqrt(10_000 * share * (1 - share)) + 1e-9


@pytest.mark.feature("K4")
def test_a_user_who_had_everything_falls_back_to_the_category_then_to_any_item_and_it_is_counted() -> None:
    """Week 0: items 1, 2 (category 1) of user a alone; week 1: b has item 3 (category 1) and 4 (category 2); c has all
    of category 1, and d everything."""
    events = [("a", 1, 0), ("a", 2, 1), ("b", 3, 8), ("b", 4, 9), *(("c", row, 20) for row in (1, 2, 3)),
              *(("d", row, 30) for row in (1, 2, 3, 4))]  # fmt: skip
    codes, rows, times = (np.array(part) for part in zip(*(("abcd".index(u), r, t) for u, r, t in events), strict=True))
    log = Sequences.build(np.array(list("abcd"), object), codes, rows, times)
    own = OwnNegatives(log, np.array([0, 1, 1, 1, 2]), 50, WEEK)
    drawn = [set(rows.tolist()) for rows in own.draw(np.arange(11), [1])]
    assert drawn == [{3}, {3}, {1, 2}, {1, 2}, {4}, {4}, {4}, {0}, {0}, {0}, {0}]
    assert own.events == {"category_week": 0, "category": 3, "any": 4, "none": 4}


def test_no_target_has_no_negatives_and_seeds_decide() -> None:
    own = OwnNegatives(log_of(), CATEGORIES, 3, WEEK)
    places = np.array([[5, -1], [-1, 7]])
    assert not own.draw(places, [1])[[0, 1], [1, 0]].any()
    many = np.arange(300)
    np.testing.assert_array_equal(own.draw(many, [1, 2]), own.draw(many, [1, 2]))
    assert (own.draw(many, [1, 2]) != own.draw(many, [1, 3])).any()


MODEL = ModelConfig(embedding=8, window=4, dropout=0.0, tables={"gru": GruOptions(hidden=6, layers=1)})
OWN = TrainConfig(epochs=2, batch=8, loss="binary", validation=0.0, sampler="category_week", learning_rate=0.01,
                  tables={"category_week": CategoryWeekOptions(each=3, week=WEEK)})  # fmt: skip


def told_apart() -> tuple[Sequences, np.ndarray]:
    """A log in which no item comes twice, so that a target tells its event; and categories of its items."""
    log = log_of(30, 5)
    rows = np.random.default_rng(6).permutation(log.events) + 1
    categories = np.random.default_rng(7).integers(0, 4, log.events + 1)
    return dataclasses.replace(log, items=rows.astype(np.int32)), categories.astype(np.int32)


@pytest.mark.parametrize("options", [
    {}, {"objective": "later_item"}, {"batching": "sessions", "tables": {"sessions": SessionOptions(unroll=3)}},
    {"objective": "cloze", "tables": {"cloze": ClozeOptions()}},
], ids=["windows", "later", "sessions", "cloze"])  # fmt: skip
def test_each_way_to_fill_a_batch_gives_each_target_its_own(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order, masks and targets stay what they are without; and a training that goes on draws the same again."""
    monkeypatch.setattr(train_batches, "BLOCK", 60)
    log, categories = told_apart()
    config = dataclasses.replace(OWN, **options)
    model = dataclasses.replace(MODEL, backbone="grec" if config.objective == "cloze" else "gru")
    event_of = {item: event for event, item in enumerate(log.items.tolist())}
    batches = make_batches(model, config, log)
    plain = list(batches.blocks([1, 0]))
    batches.own = OwnNegatives(log, categories, 3, WEEK)
    blocks, seen = list(batches.blocks([1, 0])), 0
    for block in blocks:
        targets = block.batches.targets
        assert block.negatives is not None
        assert block.negatives.shape == (*targets.shape, 3)
        assert not block.negatives[targets == 0].any()
        for target, rows in zip(targets[targets > 0].tolist(), block.negatives[targets > 0].tolist(), strict=True):
            assert set(rows) <= allowed(log, categories, event_of[target])[1]
            seen += 1
    assert seen > 50
    assert len({rows.tobytes() for block in blocks for rows in block.negatives[block.batches.targets > 0]}) > 40
    for one, other in zip(plain, blocks, strict=True):
        assert one.negatives is None
        assert all(np.array_equal(a, b) for a, b in zip(one.batches, other.batches, strict=True))
    if len(blocks) > 1:
        np.testing.assert_array_equal(next(iter(batches.blocks([1, 0], 1))).negatives, blocks[1].negatives)


def test_the_loss_compares_a_target_with_its_own_negatives_alone() -> None:
    users = tf.constant([[[1.0, 0.0]], [[0.5, 2.0]]])  # a group each, (G, 1, E)
    table = np.array([[0, 0], [1, 1], [2, 0], [0, 3]], np.float32)
    negatives = tf.constant([[2, 3], [1, 0]])  # the second target has one
    for loss, wanted in (
        ("binary", lambda s, n: math.log1p(math.exp(-s)) + np.mean([math.log1p(math.exp(x)) for x in n])),
        ("bpr", lambda s, n: np.mean([math.log1p(math.exp(x - s)) for x in n])),
        ("sampled_softmax", lambda s, n: math.log(sum(math.exp(x) for x in (s, *n))) - s),
    ):
        config = dataclasses.replace(OWN, loss=loss)
        targets, weights = tf.constant([[1], [3]]), tf.ones([2, 1])
        found = Objective(config, np.ones(4))(users, targets, weights, PlainTable(table), negatives)
        assert float(found) == pytest.approx((wanted(1.0, [2.0, 0.0]) + wanted(6.0, [2.5])) / 2, rel=1e-6)


@pytest.mark.parametrize(("model", "train_options"), [
    ({}, {}),
    ({}, {"loss": "bpr_max", "batching": "sessions"}),
    ({"backbone": "towers"}, {"similarity": "affine", "objective": "later_item"}),
    ({"backbone": "grec"}, {"objective": "cloze", "loss": "sampled_softmax"}),
], ids=["gru", "sessions", "towers", "grec"])  # fmt: skip
def test_a_model_is_trained_with_them(tmp_path: Path, model: dict[str, Any], train_options: dict[str, Any]) -> None:
    """Twice the same weights; the history counts where negatives came from; other categories are another training."""
    config, shape = dataclasses.replace(OWN, **train_options), dataclasses.replace(MODEL, **model)
    job = TrainJob(shape, config, log_of(), ITEMS, seed=2, categories=CATEGORIES)
    first, second = train(job, tmp_path / "one"), train(job, tmp_path / "two")
    for one, two in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    own = OwnNegatives(job.sequences, CATEGORIES, 3, WEEK)
    for entry in first.history:
        assert {level: entry[f"negatives_{level}"] for level in LEVELS} == own.events
        assert math.isfinite(entry["loss"])
    other = dataclasses.replace(job, categories=np.ones_like(CATEGORIES))
    assert other.fingerprint() != job.fingerprint()


def test_without_categories_it_is_refused(tmp_path: Path) -> None:
    """When the configuration is read, and where a training is called without them."""
    wanted = {"train": {"loss": "binary", "sampler": "category_week"}}
    with pytest.raises(ConfigError, match=r"wants categories of the items: set data\.category"):
        config_from_dict(wanted)
    config_from_dict({**wanted, "data": {"set": "x", "category": "kind"}})
    config_from_dict({**wanted, "items": {"path": "items.csv", "categories": ["kind"]}})
    with pytest.raises(ConfigError, match=r"of none here is one known: set data\.category"):
        train(TrainJob(MODEL, OWN, log_of(), ITEMS), tmp_path)
