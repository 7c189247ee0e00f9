# SPDX-License-Identifier: Apache-2.0
"""The strength of the neighbours is what helps rehearsed users: known answers, and nothing where nothing is gained."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketrec.cloud.baselines.neighbours import ItemNeighbours, fit_neighbours
from pocketrec.cloud.baselines.shipped import shipped
from pocketrec.cloud.config.knn import KnnConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.fleet.device import DeviceUser, known_positions
from pocketrec.cloud.rehearsal.neighbouring import STRENGTHS, choose_strength
from pocketrec.device.contract.repeats import Repeats

ITEMS = 40


def _user(number: int, items: list[int]) -> DeviceUser:
    rows = np.array(items, np.int32)
    return DeviceUser(f"u{number}", rows[:3], rows[3:6], rows[6:], times=np.arange(len(rows), dtype=np.float64))


def _pairs(seed: int = 1) -> list[DeviceUser]:
    """Everybody goes through pairs of items: 1 and 2, 3 and 4, ..."""
    generator = np.random.default_rng(seed)
    users = []
    for number in range(60):
        first = 1 + 2 * generator.choice(ITEMS // 2, 5, replace=False)
        users.append(_user(number, [item for one in first for item in (int(one), int(one) + 1)]))
    return users


def _fitted(users: list[DeviceUser], keep: int = 5) -> ItemNeighbours:
    histories = [np.concatenate([user.before, user.learn]) for user in users]
    codes = np.repeat(np.arange(len(users)), [len(history) for history in histories])
    items = np.concatenate(histories)
    log = Sequences.build(np.array([user.user for user in users], object), codes, items, np.arange(len(items)))
    return fit_neighbours(KnnConfig(neighbours=keep, shrink=0.0, decay=0.3, own=False), log, ITEMS)


def _places(user: DeviceUser) -> NDArray[np.int64]:
    return known_positions(user)[1]


def _noise(index: int) -> NDArray[np.float32]:
    return np.random.default_rng([index, 9]).normal(size=(4, ITEMS + 1)).astype(np.float32)


def test_neighbours_that_know_more_than_the_network_are_taken() -> None:
    users = _pairs()
    found = choose_strength(users, [_places(user) for user in users], _noise, shipped(_fitted(users)), [])
    assert found.strength > 0
    assert list(found.tried) == list(STRENGTHS)
    assert found.tried[found.strength] == max(found.tried.values()) > found.tried[0.0] + 0.1
    assert found.to_dict()["strength"] == found.strength


def test_neighbours_that_know_nothing_are_left_out() -> None:
    users = _pairs()

    def knows(index: int) -> NDArray[np.float32]:
        scores = np.zeros((4, ITEMS + 1), np.float32)
        rows, places = known_positions(users[index])
        scores[np.arange(4), rows[places]] = 3.0
        return scores

    found = choose_strength(users, [_places(user) for user in users], knows, shipped(_fitted(users)), [])
    assert found.strength == 0
    assert found.tried[0.0] == pytest.approx(1.0)


def test_what_the_bonus_for_repeats_says_anyway_is_not_shipped() -> None:
    """Everybody has one item over and over: with the bonus for that, an item as its own neighbour adds nothing."""
    generator = np.random.default_rng(4)
    users = [_user(number, [int(generator.integers(1, ITEMS + 1))] * 10) for number in range(60)]
    histories = np.concatenate([user.history for user in users])
    log = Sequences.build(np.array([user.user for user in users], object), np.repeat(np.arange(60), 6), histories,
                          np.arange(360))  # fmt: skip
    own = shipped(fit_neighbours(KnnConfig(neighbours=5, shrink=0.0, own=True), log, ITEMS))
    places = [_places(user) for user in users]
    assert choose_strength(users, places, _noise, own, []).strength > 0
    assert choose_strength(users, places, _noise, own, [Repeats(8.0)]).strength == 0


def test_what_is_shipped_ranks_as_what_was_fitted() -> None:
    users = _pairs()
    fitted = _fitted(users, keep=30)
    table = shipped(fitted, 1.0)
    history = users[0].history
    items, bonus = table.bonus(history)
    exact = fitted.scores(history)[items]
    assert len(items) > 10
    far = np.abs(exact[:, None] - exact[None, :]) > exact.max() * 0.02  # two codes of one byte
    agree = np.sign(bonus[:, None] - bonus[None, :]) == np.sign(exact[:, None] - exact[None, :])
    assert agree[far].all()


def test_an_item_without_neighbours_and_an_empty_table_can_be_shipped() -> None:
    nothing = ItemNeighbours(np.zeros(6, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), 0.9)
    items, _ = shipped(nothing).bonus(np.array([1, 2], np.int32))
    assert len(items) == 0
