# SPDX-License-Identifier: Apache-2.0
"""Exact top-k in blocks, and the sources that stand on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketrec.cloud.candidates import exact
from pocketrec.cloud.candidates.exact import exact_top
from pocketrec.cloud.candidates.mix import mixed
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.device.base.errors import ConfigError


def plain(users: np.ndarray, items: np.ndarray, k: int, seen: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    scores = users @ items.T
    scores[:, 0] = -np.inf
    for row, gone in zip(scores, seen, strict=True):
        row[gone] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, 1)
    rows = np.where(best > -np.inf, order, 0)
    short = k - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, max(0, short)))), np.pad(best, ((0, 0), (0, max(0, short))),
                                                              constant_values=-np.inf)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 9), st.integers(0, 70), st.integers(1, 30), st.integers(1, 20), st.integers(0, 10**6))
def test_blocks_give_what_a_whole_sort_gives(users: int, items: int, k: int, block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.integers(-3, 4, (users, 4)).astype(np.float32)  # whole numbers: exact, with many ties
    table = rng.normal(size=(items + 1, 4)).astype(np.float32)
    seen = [rng.integers(1, items + 1, rng.integers(0, 9)) if items else np.zeros(0, int) for _ in range(users)]
    sizes = exact._ITEMS, exact._USERS
    try:
        exact._ITEMS, exact._USERS = block, 4
        rows, scores = exact_top(embeddings, table, k, seen)
    finally:
        exact._ITEMS, exact._USERS = sizes
    expected_rows, expected = plain(embeddings, table, k, seen)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    differ = rows != expected_rows  # only where scores are equal but for rounding
    np.testing.assert_allclose(scores[differ], expected[differ], rtol=1e-5, atol=1e-5)
    for row in rows:
        kept = row[row > 0]
        assert len(set(kept.tolist())) == len(kept)
        assert not kept.size or (row[: len(kept)] > 0).all()


def test_padding_and_seen_rows_never_come() -> None:
    rows, scores = exact_top(np.ones((1, 2), np.float32), np.array([[9, 9], [1, 1], [2, 2], [0, 1]], np.float32), 5,
                             [np.array([2])])  # fmt: skip
    assert rows.tolist() == [[1, 3, 0, 0, 0]]
    assert scores[0, 2:].tolist() == [-np.inf] * 3


def test_all_items_are_the_exhaustive_order() -> None:
    """K6: c = N gives the exhaustive result exactly."""
    rng = np.random.default_rng(2)
    users, table = rng.normal(size=(3, 5)).astype(np.float32), rng.normal(size=(41, 5)).astype(np.float32)
    rows, _ = exact_top(users, table, 40)
    np.testing.assert_array_equal(rows, 1 + np.argsort(-(users @ table[1:].T), 1))


def test_a_mix_takes_from_each_source_by_its_share() -> None:
    one, two = np.array([[1, 2, 3, 4]]), np.array([[9, 2, 8, 7]])
    assert mixed([one, two], [0.5, 0.5], 4).tolist() == [[1, 9, 2, 3]]
    assert mixed([one, two], [0.75, 0.25], 4).tolist() == [[1, 2, 3, 9]]
    assert mixed([one, np.zeros_like(two)], [0.5, 0.5], 4).tolist() == [[1, 2, 3, 4]], "an empty source"
    assert mixed([np.array([[1, 0]]), np.array([[1, 0]])], [1, 1], 2).tolist() == [[1, 0]]


@pytest.mark.parametrize("shares", [{}, {"embedding": 0}, {"oracle": 1}, {"als": True}])
def test_shares_that_make_no_sense_are_refused(shares: dict) -> None:
    with pytest.raises(ConfigError, match=r"candidates\.mix"):
        config_from_dict({"candidates": {"method": "mix", "mix": {"shares": shares}}})
