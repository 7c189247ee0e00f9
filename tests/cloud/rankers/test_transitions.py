# SPDX-License-Identifier: Apache-2.0
"""The table of what came after and near what: hand values, folds, other catalogues, files."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.ranker import RankerConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.rankers import transitions
from pocketrec.cloud.rankers.ranknet import TENSORS, RankNet
from pocketrec.cloud.rankers.transitions import FEATURES, REACH, Transitions, count_transitions, recent_of
from pocketrec.cloud.training.crossed import crossed_features
from pocketrec.cloud.training.retrieved import Retrieved
from pocketrec.device.base.errors import ConfigError, DataError

ITEMS = 4


def sequences(*histories: list[int]) -> Sequences:
    users = np.array([f"u{place}" for place in range(len(histories))], object)
    codes = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    rows = np.concatenate([np.asarray(history) for history in histories])
    return Sequences.build(users, codes, rows, np.arange(len(rows)))


def counted(log: Sequences, most: int, window: int = 50) -> Transitions:
    return count_transitions(log.items, log.event_users(), ITEMS, most, window)


def value(count: float, share: float) -> float:
    return float(np.log1p(count / (20 * share)))


def test_values_are_those_of_the_formula() -> None:
    """1 2 3, and 1 2: 2 came next to 1 twice, 3 two events after it once; 4 never came."""
    found = counted(sequences([1, 2, 3], [1, 2]), 3)
    decoded = found.values * found.scales[:, None, None]
    assert found.rows[1].tolist() == [2, 3, 0]
    assert found.rows[2].tolist()[2] == 0
    assert found.rows[4].tolist() == [0, 0, 0]
    near = {(j, i): decoded[1, j][found.rows[j] == i].item() for j, i in ((1, 2), (1, 3), (3, 1))}
    assert near[1, 2] == pytest.approx(value(2, 0.4), abs=found.scales[1] / 2 + 1e-6)
    assert near[1, 3] == pytest.approx(value(1, 0.2), abs=found.scales[1] / 2 + 1e-6)
    assert near[3, 1] == pytest.approx(value(1, 0.4), abs=found.scales[1] / 2 + 1e-6), "near counts both ways"
    after = {(j, i): decoded[0, j][found.rows[j] == i].item() for j, i in ((1, 2), (1, 3), (3, 1))}
    assert after[1, 2] == pytest.approx(value(2, 0.4), abs=found.scales[0] / 2 + 1e-6)
    assert after[1, 3] == pytest.approx(value(1 / 8, 0.2), abs=found.scales[0] / 2 + 1e-6)
    assert after[3, 1] == 0, "nothing came after 3"
    np.testing.assert_allclose(found.popularity, np.log1p([0, 2, 2, 1, 0]), rtol=1e-6)


def test_unknown_items_are_passed_over_and_the_largest_values_stay() -> None:
    one, two = (counted(sequences(history), 3) for history in ([1, 0, 2], [1, 2]))
    np.testing.assert_array_equal(one.values, two.values)
    kept = counted(sequences([1, 2, 1, 2, 1, 3]), 1)
    assert kept.rows[1].tolist() in ([2], [3], [1])
    assert kept.values[:, 1].max() == max(kept.values[0, 1, 0], kept.values[1, 1, 0])


def test_blocks_of_items_count_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    log = sequences(*(rng.integers(0, ITEMS + 1, 40).tolist() for _ in range(6)))
    whole = counted(log, 3)
    monkeypatch.setattr(transitions, "_PAIRS", 1)
    for name, value in counted(log, 3).arrays().items():
        np.testing.assert_array_equal(value, whole.arrays()[name])


def test_nothing_to_count_is_an_empty_table() -> None:
    none = count_transitions(np.zeros(0, int), np.zeros(0, int), ITEMS, 3, 50)
    assert not none.rows.any()
    assert np.isfinite(none.scales).all()
    assert counted(sequences([1]), 3).popularity[1] == pytest.approx(np.log(2))


def table() -> Transitions:
    """What came next to 1: 2 (by 10) and 3 (by 5); near 1: 2 (by 2); next to 2: 3 (by 7)."""
    rows = np.zeros((ITEMS + 1, 2), np.int32)
    rows[1], rows[2] = [2, 3], [3, 0]
    values = np.zeros((2, ITEMS + 1, 2), np.int8)
    values[0, 1], values[1, 1], values[0, 2] = [10, 5], [2, 0], [7, 0]
    weights = np.random.default_rng(1).normal(size=(FEATURES, 3)).astype(np.float32)
    direct = np.linspace(-1, 1, FEATURES, dtype=np.float32)
    return Transitions(rows, values, np.array([0.5, 1.0], np.float32), np.arange(5, dtype=np.float32), weights, direct)


def test_features_are_sums_over_spans_of_the_latest_events() -> None:
    """After ... 1 2 1: the latest event is 1, then 2, then 1 at a distance of two."""
    recent = recent_of([np.array([4, 1, 2, 1]), np.array([1])])
    assert recent.shape == (2, REACH)
    assert recent[0, :5].tolist() == [1, 2, 1, 4, 0]
    product = np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)
    found = table().features(recent, np.array([[3, 2], [3, 4]], np.int32), product)
    assert found.shape == (2, 2, FEATURES)
    np.testing.assert_allclose(found[0, 0], [2.5, 3.5, 2.5, 0, 0, 0, 0, 0, 3, 0.1], rtol=1e-6)
    np.testing.assert_allclose(found[0, 1], [5, 0, 5, 0, 2, 0, 2, 0, 2, 0.2], rtol=1e-6)
    np.testing.assert_allclose(found[1, 0], [2.5, 0, 0, 0, 0, 0, 0, 0, 3, 0.3], rtol=1e-6)
    assert not found[1, 1, :8].any()


def test_a_shorter_window_sees_fewer_events() -> None:
    short = dataclasses.replace(table(), reach=2)
    product = np.zeros((1, 1), np.float32)
    found = short.features(recent_of([np.array([1, 2, 1])]), np.array([[3]], np.int32), product)
    assert found[0, 0, :4].tolist() == [2.5, 3.5, 0, 0]
    assert counted(sequences([1, 2]), 2, window=3).reach == 3


def test_scores_of_rows_and_of_all_are_the_formula() -> None:
    rng = np.random.default_rng(2)
    shapes = {"A": (2, 3), "B": (2, 3), "b1": (3,), "C": (3, 2), "b2": (2,), "w3": (2,)}
    tensors = {name: rng.normal(size=shapes[name]).astype(np.float32) for name in TENSORS}
    users, items = (rng.normal(size=(n, 2)).astype(np.float32) for n in (2, ITEMS + 1))
    ranker = RankNet(tensors, transitions=table())
    recent, rows = recent_of([np.array([2, 1]), np.array([], int)]), np.array([[3, 2, 0], [1, 1, 4]], np.int32)
    told = table().features(recent, rows, np.einsum("pe,pce->pc", users, items[rows]))
    elu = lambda x: np.where(x > 0, x, np.expm1(x))  # noqa: E731
    first = elu((users @ tensors["A"])[:, None] + items[rows] @ tensors["B"] + told @ table().weights + tensors["b1"])
    net = elu(first @ tensors["C"] + tensors["b2"]) @ tensors["w3"]
    wanted = np.einsum("pe,pce->pc", users, items[rows]) + told @ table().direct + net
    found = ranker.of_rows(users, items, rows, recent)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(ranker.of_all(users, items, recent), rows, 1), found, rtol=1e-4,
                               atol=1e-5)  # fmt: skip
    plain = RankNet(tensors)
    np.testing.assert_array_equal(plain.of_rows(users, items, rows, recent), plain.each(users, items[rows]))
    np.testing.assert_array_equal(plain.of_all(users, items, recent), plain.scores(users, items))


def test_a_position_is_told_nothing_that_its_own_user_did() -> None:
    """User 0 alone goes from 1 to 4; all others go from 1 to 2. At user 0's position 4 has no value of what came
    next, whatever the folds are, and 2 has."""
    log = sequences([1, 4], *[[1, 2]] * 9)
    rows = np.array([[4, 2]], np.int32)
    users = np.ones((1, 2), np.float32)
    found = Retrieved(users, np.array([4], np.int32), rows, np.array([0]), recent_of([np.array([1])]))
    for seed in range(4):
        features = crossed_features(found, np.ones((ITEMS + 1, 2), np.float32), log, 3, 50, seed)
        assert features.shape == (1, 2, FEATURES)
        assert features[0, 0, 0] == 0 < features[0, 1, 0]
    whole = counted(log, 3)
    assert 4 in whole.rows[1], "a table of all users knows it"


def test_another_catalogue_keeps_what_stays() -> None:
    """Item 1 becomes row 2, 3 becomes 1, 2 and 4 are left out; row 3 is new."""
    moved = table().moved(np.array([0, 2, 0, 1, 0]), 4)
    assert moved.rows.shape == (4, 2)
    assert moved.rows[2].tolist() == [0, 1]
    assert moved.values[0, 2].tolist() == [0, 5], "the value of an item that is gone is gone"
    assert not moved.values[:, [1, 3]].any()
    assert moved.popularity.tolist() == [0, 3, 1, 2], "a new item is as popular as the middle one"


def test_files_keep_it_and_a_missing_part_is_one_line() -> None:
    arrays = table().arrays()
    back = Transitions.restore(arrays)
    assert back is not None
    assert all(np.array_equal(one, back.arrays()[name]) for name, one in arrays.items())
    assert Transitions.restore({}) is None
    del arrays["transitions_scales"]
    with pytest.raises(DataError, match="has no transitions_scales: run `pocketrec rank` again"):
        Transitions.restore(arrays)


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"ranker": {"transitions": 10}}, 'needs kind = "ranknet"|need kind = "ranknet"'),
        ({"ranker": {"kind": "ranknet", "joint": True, "transitions": 10}}, "joint = false"),
        ({"ranker": {"kind": "ranknet", "transitions": -1}}, "transitions"),
        ({"ranker": {"kind": "ranknet", "transitions": 10}, "rehearse": {"ways": ["ranker"]}}, "not there for the way"),
        ({"ranker": {"kind": "ranknet", "transitions": 10}, "lean": {"enabled": True}}, "whose table is of all items"),
    ],
)
def test_what_it_cannot_go_with_is_one_line(tables: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config_from_dict({"data": {"set": "ml-100k"}, **tables})
    assert RankerConfig("ranknet", transitions=10).transitions == 10
