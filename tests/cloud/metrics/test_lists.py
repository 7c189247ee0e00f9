# SPDX-License-Identifier: Apache-2.0
"""K8: MAP@k and precision@k by hand; who is judged at the cut."""

from __future__ import annotations

import numpy as np
import pytest

from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.evaluation.at_cut import AtCut
from pocketrec.cloud.metrics.lists import LIST_MEASURES, average_precision, hit_lists, list_values, precision, recall


def hits(*rows: str) -> np.ndarray:
    return np.array([[mark == "x" for mark in row] for row in rows])


@pytest.mark.parametrize(
    ("row", "relevant", "k", "expected"),
    [
        ("....", 3, 4, 0.0),
        ("x...", 1, 4, 1.0),
        (".x..", 1, 4, 0.5),
        ("x.x.", 2, 4, (1 + 2 / 3) / 2),
        ("xxxx", 9, 4, 1.0),  # more relevant than places: divided by k
        ("x..x", 9, 4, (1 + 2 / 4) / 4),
        ("xx..", 2, 1, 1.0),
        ("....", 0, 4, 0.0),
    ],
)
def test_average_precision_by_hand(row: str, relevant: int, k: int, expected: float) -> None:
    assert average_precision(hits(row), np.array([relevant]), k).tolist() == pytest.approx([expected])


def test_precision_and_recall_by_hand() -> None:
    found = hits("x.x.", "....", "xxxx")
    assert precision(found, 4).tolist() == [0.5, 0, 1]
    assert precision(found, 1).tolist() == [1, 0, 1]
    assert recall(found, np.array([4, 0, 8]), 4).tolist() == [0.5, 0, 0.5]
    assert precision(found, 8).tolist() == [0.25, 0, 0.5], "a list that is shorter has misses there"


def test_hits_are_places_that_hold_a_relevant_item() -> None:
    lists = np.array([[3, 1, 0, 0], [2, 5, 4, 1]])
    found = hit_lists(lists, [np.array([1, 9]), np.array([4, 2])])
    assert found.tolist() == [[False, True, False, False], [True, False, True, False]]
    assert set(list_values(lists, [np.array([1]), np.array([2])])) == set(LIST_MEASURES)


def log(events: dict[str, list[int]]) -> Sequences:
    users = np.array(list(events), object)
    codes = np.repeat(np.arange(len(events)), [len(items) for items in events.values()])
    items = np.concatenate([np.array(items, np.int32) for items in events.values()])
    return Sequences.build(users, codes, items, np.arange(len(items)))


def at_cut() -> AtCut:
    before = log({"a": [1, 2, 1], "b": [3], "d": [4]})
    after = log({"a": [2, 5, 5, 6], "b": [3, 3], "c": [1, 7], "e": [2]})
    return AtCut.of(before, after)


def test_known_positives_are_removed_and_users_without_a_new_item_are_not_judged() -> None:
    found = at_cut()
    assert found.users.tolist() == ["a", "c", "e"], "b has nothing new, d nothing at all after the cut"
    assert found.old.tolist() == [True, False, False]
    assert [rows.tolist() for rows in found.relevant] == [[5, 6], [1, 7], [2]]
    assert [rows.tolist() for rows in found.histories] == [[1, 2, 1], [], []]
    assert found.windows(2).tolist() == [[2, 1], [0, 0], [0, 0]]


def test_lists_leave_out_what_the_user_had_and_padding() -> None:
    found = at_cut()
    scores = np.tile(np.array([9.0, 8, 7, 6, 5, 4, 3, 2]), (3, 1))
    lists = found.lists(lambda part: scores[part], 8, 7)
    assert lists.tolist() == [[3, 4, 5, 6, 7, 0, 0], [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7]]


def test_a_sample_of_users_is_the_same_for_equal_seeds() -> None:
    before = log({f"u{i:02}": [1] for i in range(30)})
    after = log({f"u{i:02}": [2] for i in range(40)})
    one, two = (AtCut.of(before, after, 5, seed=3) for _ in range(2))
    assert one.users.tolist() == two.users.tolist()
    assert one.old.tolist() == [True] * 5 + [False] * 5
