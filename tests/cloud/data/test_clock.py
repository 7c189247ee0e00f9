# SPDX-License-Identifier: Apache-2.0
"""What a log's times are taken for, and the line that says so."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pocketrec.cloud.data.clock import clock_of
from pocketrec.cloud.data.sequences import Sequences

USERS, EACH = 20, 30
BEGIN = 1.5e9


def log(times: Callable[[np.random.Generator], np.ndarray]) -> Sequences:
    """Events of users with these times, [users, events of each]."""
    of_user = np.sort(times(np.random.default_rng(1)), axis=1)
    codes = np.repeat(np.arange(USERS), EACH)
    ids = np.array([f"u{user:02}" for user in range(USERS)], dtype=object)
    return Sequences.build(ids, codes, np.ones(USERS * EACH, np.int32), of_user.ravel())


def seconds(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 10**6, (USERS, EACH))


@pytest.mark.parametrize(
    ("unit", "words"), [(1, ""), (1000, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds")]
)
def test_unix_times_are_told_by_their_size(unit: int, words: str) -> None:
    found = clock_of(log(lambda rng: (int(BEGIN) + seconds(rng)) * unit))
    assert (found.unit, found.periods) == (unit, True)
    said = found.in_words()
    assert words in said
    assert bool(said) == (unit != 1)
    assert "\n" not in said


def test_a_start_of_its_own_has_periods_and_no_moment() -> None:
    for start in (lambda rng: seconds(rng), lambda rng: seconds(rng) / 7, lambda rng: seconds(rng) - 10**6):
        found = clock_of(log(start))
        assert (found.unit, found.periods) == (0, True)
        assert "cannot look at the moment of asking" in found.in_words()


def test_an_order_has_neither() -> None:
    own = np.tile(np.arange(EACH), (USERS, 1))
    rows = np.arange(USERS * EACH)
    for order in (lambda rng: own, lambda rng: own + 1, lambda rng: own * 2, lambda rng: np.zeros_like(own),
                  lambda rng: rng.permutation(rows).reshape(USERS, EACH)):  # fmt: skip
        found = clock_of(log(order))
        assert (found.unit, found.periods) == (0, False)
        assert "an order" in found.in_words()


def test_one_time_of_another_kind_takes_the_clock_away_and_is_shown() -> None:
    def times(rng: np.random.Generator) -> np.ndarray:
        found = BEGIN + seconds(rng)
        found[0, 0] = 12.0
        return found

    said = clock_of(log(times)).in_words()
    assert said.startswith("times (12 to 1,50")


def test_a_log_without_events_says_nothing_wrong() -> None:
    none = log(seconds).keep(np.zeros(USERS * EACH, bool))
    assert not clock_of(none).periods
