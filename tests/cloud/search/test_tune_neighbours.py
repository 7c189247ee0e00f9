# SPDX-License-Identifier: Apache-2.0
"""The short search for the options of item-kNN: it finds what was planted, and is the same again."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from pocketrec.cloud.baselines.neighbours import fit_neighbours
from pocketrec.cloud.config.knn import KnnConfig
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.data.prepared import CloudData
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.vocabulary import Vocabulary
from pocketrec.cloud.search import neighbours
from pocketrec.cloud.search.neighbours import tune_neighbours
from pocketrec.device.base.errors import DataError

ITEMS, USERS, EACH = 40, 60, 30
GROUP = 4  # items that are had together


def data_of(rows: np.ndarray) -> CloudData:
    """A log of item rows, [users, events of each], all users at the same times."""
    ids = np.array([f"u{user:02}" for user in range(len(rows))], dtype=object)
    times = np.tile(np.arange(rows.shape[1]), len(rows))
    before = Sequences.build(ids, np.repeat(np.arange(len(rows)), rows.shape[1]), rows.ravel(), times)
    counts = np.bincount(rows.ravel(), minlength=ITEMS + 1)
    return CloudData(Vocabulary([f"i{row}" for row in range(ITEMS)]), counts, before, None, True, {})


def circling(rng: np.random.Generator) -> np.ndarray:
    """Groups that each user goes through item by item, and back to the first: nothing repeats at once."""
    groups = rng.integers(0, ITEMS // GROUP, (USERS, 1, 1)) + np.zeros((USERS, EACH // GROUP + 1, 1), np.int64)
    return (groups * GROUP + np.arange(GROUP) + 1).reshape(USERS, -1)[:, :EACH]


def staying(rng: np.random.Generator) -> np.ndarray:
    """Each item three times in a row."""
    return np.repeat(rng.integers(1, ITEMS + 1, (USERS, EACH // 3)), 3, axis=1)


def config(**knn: Any) -> RunConfig:
    return config_from_dict({"data": {"set": "x"}, "split": {"kind": "per_user"}, "baselines": {"knn": knn}})


def test_an_item_is_its_own_neighbour_where_people_stay_and_not_where_they_move_on() -> None:
    rng = np.random.default_rng(1)
    moving = tune_neighbours(config(), data_of(circling(rng)))
    assert not moving.chosen.own
    scores = dict((options, figures["mrr@20"]) for options, figures in moving.tried)
    assert scores[moving.chosen] > moving.tried[0][1]["mrr@20"] + 0.1, "with the defaults the item itself was on top"
    resting = tune_neighbours(config(), data_of(staying(rng)))
    assert resting.chosen.own
    assert resting.chosen.decay < 0.9


def test_the_configured_options_are_first_and_win_where_nothing_is_better() -> None:
    data = data_of(staying(np.random.default_rng(2)))
    first = tune_neighbours(config(), data)
    assert first.tried[0][0] == KnnConfig(tune=False)
    assert first.chosen == max(first.tried, key=lambda entry: entry[1]["mrr@20"])[0]
    again = tune_neighbours(config(**{k: v for k, v in dataclasses.asdict(first.chosen).items() if k != "tune"}), data)
    assert again.chosen == first.chosen


def test_nothing_is_drawn_and_progress_is_told() -> None:
    data, told = data_of(circling(np.random.default_rng(3))), []
    one = tune_neighbours(config(), data, lambda done, total, note="": told.append((done, total)))
    assert one == tune_neighbours(config(), data)
    assert [done for done, _ in told] == list(range(1, len(one.tried) + 1))
    assert all(done <= total for done, total in told)
    assert len(one.tried) <= 1 + 2 * sum(map(len, neighbours.AXES))


def test_a_large_catalogue_and_a_long_log_are_judged_by_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_of(staying(np.random.default_rng(4)))
    whole = tune_neighbours(config(), data).positions
    monkeypatch.setattr(neighbours, "_CELLS", whole * (ITEMS + 1) // 3)
    monkeypatch.setattr(neighbours, "_EVENTS", data.before.events // 2)
    assert 0 < tune_neighbours(config(), data).positions <= 1.2 * whole / 3
    monkeypatch.setattr(neighbours, "_POSITIONS", whole // 6)
    assert 0 < tune_neighbours(config(), data).positions <= 1.2 * whole / 6


def test_reading_off_equals_fitting() -> None:
    log = data_of(np.random.default_rng(5).integers(1, ITEMS + 1, (USERS, EACH))).before
    wide = fit_neighbours(KnnConfig(neighbours=30, shrink=5.0), log, ITEMS)
    for own in (True, False):
        options = KnnConfig(neighbours=7, shrink=5.0, decay=0.5, own=own)
        fitted, read = fit_neighbours(options, log, ITEMS), wide.narrowed(options)
        for name, array in fitted.arrays().items():
            np.testing.assert_array_equal(read.arrays()[name], array, err_msg=name)
        assert (np.repeat(np.arange(ITEMS + 1), np.diff(fitted.offsets)) == fitted.items).any() == own


def test_a_past_that_cannot_be_cut_again_is_told() -> None:
    data = data_of(np.ones((3, 1), np.int64))
    with pytest.raises(DataError, match="cut again"):
        tune_neighbours(config(), data)
