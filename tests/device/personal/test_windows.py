# SPDX-License-Identifier: Apache-2.0
"""Windows: every target once, right context, right padding; negatives."""

from __future__ import annotations

import numpy as np
import pytest

from pocketrec.device.personal.windows import context, log_uniform, replay_windows, replayed_count, training_windows


@pytest.mark.parametrize("stride", [None, 1, 2, 3])
@pytest.mark.parametrize("first", [0, 1, 4, 9, 25])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 6, 7, 20, 23])
def test_every_target_once_right_after_its_context(count: int, first: int, stride: int | None) -> None:
    window, batch = 5, 2
    rows = np.arange(1, count + 1, dtype=np.int32)
    items, targets = training_windows(rows, first, window, batch, stride)
    assert items.shape == targets.shape == (len(items), batch, window)
    assert items.dtype == targets.dtype == np.int32
    assert sorted(targets[targets > 0]) == list(rows[max(1, first) :])
    for inputs, wanted in zip(items.reshape(-1, window), targets.reshape(-1, window), strict=True):
        length = int((inputs > 0).sum())
        assert (inputs[length:] == 0).all()
        assert (wanted[length:] == 0).all()
        for place in np.flatnonzero(wanted):
            assert inputs[place] == wanted[place] - 1  # rows are 1, 2, 3, ...: a target follows its input
            if stride is not None:
                assert place + 1 >= min(window - stride + 1, wanted[place] - 1)  # inputs before the target


@pytest.mark.parametrize("first", [0, 1, 4, 9, 25])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 6, 7, 20, 23])
def test_a_window_for_each_target_where_a_window_has_one(count: int, first: int) -> None:
    """For models that see both sides of an event: every target once, in no window of its own, after its whole past."""
    rows = np.arange(1, count + 1, dtype=np.int32)
    items, targets = training_windows(rows, first, 5, 2, targets=1)
    assert items.shape == (len(items), 2, 5)
    assert targets.shape == (len(items), 2, 1)
    flat = targets.ravel()
    assert flat[flat > 0].tolist() == rows[max(1, first) :].tolist()
    for inputs, target in zip(items.reshape(-1, 5), flat, strict=True):
        expected = context(rows[: target - 1], 5)[0] if target else np.zeros(5, np.int32)
        np.testing.assert_array_equal(inputs, expected)


def test_replay_with_a_window_for_each_target() -> None:
    rows = np.arange(1, 31, dtype=np.int32)
    items, targets = replay_windows(rows, 20, 5, 0.5, 4, 3, (1,), 1)
    assert targets.shape == (5, 3, 1)
    drawn = targets[targets > 0]
    assert sorted(drawn[drawn > 20]) == list(range(21, 31))
    assert len(set(drawn[drawn <= 20])) == replayed_count(10, 20, 5, 0.5, 1) == 5
    for inputs, target in zip(items.reshape(-1, 4), targets.ravel(), strict=True):
        if target:
            np.testing.assert_array_equal(inputs, context(rows[: target - 1], 4)[0])


def test_windows_are_spread_evenly_and_in_order() -> None:
    items, targets = training_windows(np.arange(1, 27, dtype=np.int32), 0, 5, 4)
    assert [(step > 0).any(axis=1).sum() for step in items] == [3, 2]
    ends = targets.max(axis=2)
    assert list(ends[ends > 0]) == sorted(ends[ends > 0])
    assert ends.max() == 26


def test_context_is_the_latest_window() -> None:
    np.testing.assert_array_equal(context(np.array([1, 2, 3], np.int32), 5), [[1, 2, 3, 0, 0]])
    np.testing.assert_array_equal(context(np.array([1, 2, 3], np.int32), 2), [[2, 3]])
    np.testing.assert_array_equal(context(np.zeros(0, np.int32), 2), [[0, 0]])


def test_negatives_follow_zipf_and_depend_on_the_step_alone() -> None:
    drawn = np.concatenate([log_uniform(1000, 50, 1, step) for step in range(100)])
    assert drawn.dtype == np.int32
    assert (drawn.min(), drawn.max()) == (1, 50)
    rows = np.arange(1, 51)
    expected = np.log((rows + 1) / rows) / np.log(51)
    np.testing.assert_allclose(np.bincount(drawn, minlength=51)[1:] / len(drawn), expected, atol=0.004)
    np.testing.assert_array_equal(log_uniform(8, 50, 1, 3), log_uniform(8, 50, 1, 3))
    assert not np.array_equal(log_uniform(8, 50, 1, 3), log_uniform(8, 50, 1, 4))
