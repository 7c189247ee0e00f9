# SPDX-License-Identifier: Apache-2.0
"""Personal item rows: the gradient is that of the loss, only own items move, the guard keeps what helps."""

from __future__ import annotations

import numpy as np
import pytest

from pocketrec.device.personal.item_rows import DELTA, NONE, ROWS, ItemRows, Seen

ITEMS, SIZE = 30, 4

pytestmark = pytest.mark.feature("F10")


def _seen(case: tuple[np.ndarray, ...]) -> Seen:
    embedded, targets, scores, own = case
    return Seen.of(own, embedded, targets, scores)


def _case(seed: int = 1, targets: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    embedded = rng.normal(size=(targets, SIZE)).astype(np.float32)
    own = np.array([7, 3, 3, 12, 25, 7], np.int32)
    chosen = rng.choice(np.append(own, [1, 2]), targets).astype(np.int32)
    return embedded, chosen, rng.normal(size=(targets, ITEMS + 1)).astype(np.float32), own


def _loss(case: tuple[np.ndarray, ...], delta: np.ndarray, pull: float) -> float:
    """The loss as the module states it, in its own words: a table of all changes, float64."""
    embedded, targets, scores, own = case
    change = np.zeros((ITEMS + 1, SIZE))
    change[np.unique(own)] = delta
    raised = (scores + embedded.astype(np.float64) @ change.T)[:, 1:]
    total = np.log(np.exp(raised).sum(axis=1))
    return float((total - raised[np.arange(len(targets)), targets - 1]).mean() + pull / 2 * (delta**2).sum())


@pytest.mark.parametrize("pull", [0.0, 0.1])
def test_one_step_goes_down_the_gradient_of_the_loss(pull: float) -> None:
    """Adagrad's first step is the sign of the gradient: compared with differences of the loss, number by number."""
    case = _case()
    found = _seen(case).fit(0.25, 1, pull)
    rows = np.unique(case[3])
    assert found.rows.tolist() == rows.tolist()
    for row in range(len(rows)):
        for place in range(SIZE):
            step = np.zeros((len(rows), SIZE))
            step[row, place] = 1e-5
            slope = (_loss(case, step, pull) - _loss(case, -step, pull)) / 2e-5
            assert found.delta[row, place] == pytest.approx(-0.25 * np.sign(slope), abs=1e-3)


def test_many_steps_reach_the_least_loss() -> None:
    case = _case()
    found = _seen(case).fit(0.3, 3000, 0.05).delta.astype(np.float64)
    least = _loss(case, found, 0.05)
    assert least < _loss(case, np.zeros_like(found), 0.05)
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert _loss(case, found + rng.normal(0, 0.05, found.shape), 0.05) > least


def test_only_items_of_the_history_move_and_scores_follow() -> None:
    case = embedded, targets, scores, own = _case()
    seen = _seen(case)
    found = seen.fit(0.3, 20, 0.0)
    raised = scores.copy()
    found.add_to_catalogue(raised, embedded)
    others = np.setdiff1d(np.arange(ITEMS + 1), own)
    np.testing.assert_array_equal(raised[:, others], scores[:, others])
    assert (raised[:, np.unique(own)] != scores[:, np.unique(own)]).any()
    candidates = np.array([5, 25, 3, 1, 30], np.int32)
    for place in range(len(targets)):
        np.testing.assert_allclose(found.add_to(scores[place, candidates], candidates, embedded[place]),
                                   raised[place, candidates], rtol=1e-5)  # fmt: skip
    assert (seen.log_likelihood(found) - seen.log_likelihood(NONE)).mean() > 0.1
    expected = _loss(case, found.delta.astype(np.float64), 0.0)
    assert -seen.log_likelihood(found).mean() == pytest.approx(expected, rel=1e-5)


def test_parts_joined_are_the_whole() -> None:
    embedded, targets, scores, own = _case()
    parts = [Seen.of(own, embedded[at : at + 1], targets[at : at + 1], scores[at : at + 1]) for at in range(12)]
    joined, whole = Seen.join(parts).fit(0.3, 5, 0.0), _seen(_case()).fit(0.3, 5, 0.0)
    np.testing.assert_array_equal(joined.rows, whole.rows)
    np.testing.assert_array_equal(joined.delta, whole.delta)


def test_nothing_to_learn_moves_nothing() -> None:
    embedded, targets, scores, own = _case()
    none = _seen((embedded[:0], targets[:0], scores[:0], own))
    for found in (none.fit(0.3, 5, 0.0), _seen((embedded, targets, scores, own[:0])).fit(0.3, 5, 0.0), NONE):
        raised = scores.copy()
        found.add_to_catalogue(raised, embedded[:, : found.delta.shape[1]])
        np.testing.assert_array_equal(raised, scores)
        np.testing.assert_array_equal(found.add_to(scores[0], np.arange(ITEMS + 1), embedded[0]), scores[0])
        assert found.to_tensors() == {}


def test_large_scores_overflow_nowhere_and_a_history_may_have_every_item() -> None:
    embedded, targets, scores, _ = _case()
    everything = np.arange(1, ITEMS + 1, dtype=np.int32)
    with np.errstate(over="raise", invalid="raise"):
        found = Seen.of(everything, embedded * 100, targets, scores * 1000).fit(1.0, 50, 0.0)
    assert np.isfinite(found.delta).all()


def test_the_guard_keeps_rows_that_later_events_bear_out_and_no_others() -> None:
    """A habit that goes on is kept; one that turns into its opposite where the guard looks is not."""
    rng = np.random.default_rng(2)
    direction = rng.normal(size=SIZE)
    embedded = (direction + 0.1 * rng.normal(size=(30, SIZE))).astype(np.float32)
    scores = rng.normal(size=(30, ITEMS + 1)).astype(np.float32)
    own = np.array([4, 9], np.int32)
    steady, turned = np.full(30, 4, np.int32), np.where(np.arange(30) < 20, 4, 9).astype(np.int32)
    kept = Seen.of(own, embedded, steady, scores).guarded(0.3, 20, 0.0, 10)
    assert kept.rows.tolist() == [4, 9]
    np.testing.assert_array_equal(kept.delta, Seen.of(own, embedded, steady, scores).fit(0.3, 20, 0.0).delta)
    assert Seen.of(own, embedded, turned, scores).guarded(0.3, 20, 0.0, 10) is NONE
    for held_back in (0, 30):
        assert Seen.of(own, embedded, steady, scores).guarded(0.3, 20, 0.0, held_back) is NONE


def test_a_state_keeps_them_to_the_bit_and_damage_is_told() -> None:
    found = _seen(_case()).fit(0.3, 5, 0.0)
    kept = found.to_tensors()
    again = ItemRows.from_tensors(kept, ITEMS)
    np.testing.assert_array_equal(again.rows, found.rows)
    np.testing.assert_array_equal(again.delta, found.delta)
    assert ItemRows.from_tensors({}, ITEMS) is NONE
    broken = found.delta.copy()
    broken[0, 0] = np.nan
    for damage in (
        {ROWS: found.rows}, {DELTA: found.delta}, {**kept, DELTA: broken}, {**kept, ROWS: found.rows[::-1]},
        {**kept, ROWS: found.rows + 20}, {**kept, ROWS: found.rows - 3}, {**kept, DELTA: found.delta[:2]},
        {**kept, DELTA: found.delta.astype(np.float32)},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="its personal item rows"):
            ItemRows.from_tensors(damage, ITEMS)
