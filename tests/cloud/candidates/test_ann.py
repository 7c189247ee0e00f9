# SPDX-License-Identifier: Apache-2.0
"""Candidates of a large catalogue by faiss, and what happens where it is missing or no help."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from pocketrec.cloud.candidates import ann
from pocketrec.cloud.candidates.ann import nearest
from pocketrec.cloud.candidates.exact import exact_top

ITEMS, USERS, SIZE = 4000, 300, 16


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue of some thousands is large, and some hundred users pay for an index."""
    monkeypatch.setattr(ann, "LARGE", ITEMS - 1)
    monkeypatch.setattr(ann, "_POINTS", 8)
    monkeypatch.setattr(ann, "_ITERATIONS", 3)
    monkeypatch.setattr(ann, "_building", lambda rows: rows)
    monkeypatch.setattr(ann, "_MOST", 0.25)


def clustered(seed: int = 0, items: int = ITEMS) -> tuple[np.ndarray, np.ndarray]:
    """Users and a table: items lie close to 40 centres of equal length, users closer to one."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(40, SIZE))
    centres *= 3 / np.linalg.norm(centres, axis=1, keepdims=True)
    table = centres[rng.integers(0, 40, items + 1)] + 0.3 * rng.normal(size=(items + 1, SIZE))
    users = centres[rng.integers(0, 40, USERS)] + 0.1 * rng.normal(size=(USERS, SIZE))
    return users.astype(np.float32), table.astype(np.float32)


def found(
    users: np.ndarray, table: np.ndarray, k: int = 20, **options: Any
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    told: list[str] = []
    rows, scores = nearest(users, table, k, say=told.append, **options)
    assert len(told) == 1
    assert "\n" not in told[0]
    return rows, scores, told


@pytest.mark.usefixtures("small")
def test_faiss_finds_what_it_says_and_nothing_that_was_seen() -> None:
    pytest.importorskip("faiss")
    users, table = clustered()
    rng = np.random.default_rng(3)
    seen = [rng.integers(1, ITEMS + 1, rng.integers(0, 60)) for _ in range(USERS)]
    best, _ = exact_top(users, table, 20)
    seen[5] = np.concatenate([best[5][:7], best[5][:7]])  # some of the best, each twice
    rows, scores, told = found(users, table, seen=seen)
    exact, _ = exact_top(users, table, 20, seen)
    assert told[0].startswith("faiss: ")
    assert told[0].endswith("of the exact best items of 256 users")
    recall = float(told[0].split(" have ")[1].split()[0])
    assert 0.99 <= recall <= 1.0
    assert np.mean([np.isin(row, own).mean() for row, own in zip(exact, rows, strict=True)]) > 0.97
    assert (rows > 0).all()
    for row, value, user, gone in zip(rows, scores, users, seen, strict=True):
        assert len(set(row.tolist())) == 20
        assert not np.isin(row, gone).any()
        assert (np.diff(value) <= 0).all()
        np.testing.assert_allclose(value, table[row] @ user, rtol=1e-4)
    again, _, _ = found(users, table, seen=seen)
    np.testing.assert_array_equal(again, rows)


@pytest.mark.usefixtures("small")
def test_a_table_that_lists_do_not_help_is_searched_whole() -> None:
    """Items in all directions alike: the best are in any list."""
    pytest.importorskip("faiss")
    rng = np.random.default_rng(4)
    users, table = (rng.normal(size=(count, SIZE)).astype(np.float32) for count in (USERS, ITEMS + 1))
    rows, _, told = found(users, table)
    assert told[0].endswith("and 0.99 is wanted: each item is looked at")
    np.testing.assert_array_equal(rows, exact_top(users, table, 20)[0])


@pytest.mark.usefixtures("small")
def test_lists_that_hold_too_few_are_filled_up_exactly() -> None:
    """A user who has had nearly everything, and more items wanted than the lists hold."""
    pytest.importorskip("faiss")
    users, table = clustered(2)
    seen = [np.zeros(0, int)] * USERS
    seen[1] = np.arange(1, ITEMS - 4)  # 5 are left
    seen[2] = np.setdiff1d(np.arange(1, ITEMS + 1), np.argsort(table[1:] @ users[2])[:30] + 1)  # its worst 30 are left
    rows, scores, _ = found(users, table, seen=seen)
    exact, values = exact_top(users[1:3], table, 20, seen[1:3])
    np.testing.assert_array_equal(rows[1:3], exact)
    np.testing.assert_allclose(scores[1:3], values, rtol=1e-5)
    assert (rows[1] > 0).sum() == 5


@pytest.mark.usefixtures("small")
def test_without_faiss_every_item_is_looked_at_and_one_line_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    users, table = clustered()
    rows, scores, told = found(users, table)
    assert told == ["each of 4,000 items is looked at for each user: pip install 'pocketrec[ann]', and faiss looks at "
                    "some"]  # fmt: skip
    exact, values = exact_top(users, table, 20)
    np.testing.assert_array_equal(rows, exact)
    np.testing.assert_array_equal(scores, values)


def test_faiss_is_asked_neither_for_small_catalogues_nor_for_few_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    users, table = clustered()
    told: list[str] = []
    assert nearest(users, table, 3, say=told.append)[0].shape == (USERS, 3)
    monkeypatch.setattr(ann, "LARGE", ITEMS - 1)
    assert nearest(users[:2], table, 3, say=told.append)[0].shape == (2, 3)
    assert not told
    assert 5_000 < ann._PAYS * ann._building(600_000) / 600_000 < 50_000, "users that pay for an index"
