# SPDX-License-Identifier: Apache-2.0
"""Neighbours on the device: the formula, candidates and catalogue alike; a file is checked before it is used."""

from __future__ import annotations

import numpy as np
import pytest

from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract import tensorfile
from pocketrec.device.contract.neighbours import LARGEST, Neighbours


def _table(decay: float = 0.5, strength: float = 2.0) -> Neighbours:
    """Of four items: 1 goes with 2 (.5) and 3 (.25), 2 with 4 (.1); 3 and 4 with nothing."""
    return Neighbours(
        np.array([0, 0, 2, 3, 3, 3]), np.array([2, 3, 4], np.int32), np.array([127, 64, 127], np.int8),
        np.array([0, 0.5, 0.1, 0, 0], np.float32), decay, strength,
    )  # fmt: skip


def test_the_sum_over_the_history_is_raised_by_its_logarithm() -> None:
    items, bonus = _table().bonus(np.array([1, 2], np.int32))
    summed = np.array([0.5 * 0.5, 0.5 * 0.5 * 64 / 127, 0.1])  # of items 2, 3, 4
    assert items.tolist() == [2, 3, 4]
    np.testing.assert_allclose(bonus, 2.0 * np.log1p(100 * summed / summed.max()), rtol=1e-5)


def test_a_history_without_neighbours_raises_nothing() -> None:
    scores = np.ones(4, np.float32)
    for history in ([], [3], [4, 3]):
        items, bonus = _table().bonus(np.array(history, np.int32))
        assert len(items) == len(bonus) == 0
        assert _table().add_to(scores, np.arange(1, 5), np.array(history, np.int32)) is scores


def test_candidates_are_raised_as_in_the_catalogue() -> None:
    history = np.array([3, 2, 1], np.int32)
    items, bonus = _table().bonus(history)
    catalogue = np.zeros(5, np.float32)
    catalogue[items] += bonus
    candidates = np.array([4, 1, 2], np.int32)
    raised = _table().add_to(np.zeros(3, np.float32), candidates, history)
    np.testing.assert_array_equal(raised, catalogue[candidates])


def test_the_best_are_those_raised_most() -> None:
    history = np.array([1, 2], np.int32)
    assert _table().best(history, 2).tolist() == [2, 3]
    assert _table().best(history, 9).tolist() == [2, 3, 4]
    assert len(_table().best(np.array([3], np.int32), 9)) == 0


def test_old_events_count_less_and_at_last_nothing() -> None:
    history = np.array([1, *[3] * 10, 2], np.int32)
    items, bonus = _table(decay=0.5).bonus(history)
    assert items.tolist() == [2, 3, 4]
    assert bonus[2] > bonus[0] > bonus[1] > 0
    forgotten, _ = _table(decay=0.1).bonus(history)
    assert forgotten.tolist() == [4]


def test_the_file_gives_the_table_back_and_equal_tables_give_equal_bytes() -> None:
    content = _table().to_bytes()
    again = Neighbours.from_bytes(content, 4)
    assert again.to_bytes() == content
    for name in ("offsets", "rows", "codes", "scales"):
        np.testing.assert_array_equal(getattr(again, name), getattr(_table(), name))
    assert (again.decay, again.strength) == (0.5, 2.0)
    assert again.codes.max() == LARGEST


def _altered(**tensors: object) -> bytes:
    file = tensorfile.parse(_table().to_bytes())
    changed = {name: np.asarray(tensor) for name, tensor in tensors.items()}
    return tensorfile.dump({**file.tensors, **changed}, {"decay": "0.5", "strength": "2.0"})


@pytest.mark.parametrize("content", [
    b"", _table().to_bytes()[:-1], _altered(rows=np.array([2, 3, 5], np.uint8)), _altered(rows=np.zeros(3, np.uint8)),
    _altered(counts=np.array([1, 1, 1, 0, 0], np.uint8)), _altered(counts=np.array([0, 2, 1, 1, 0], np.uint8)),
    _altered(codes=np.array([0, 1, 2], np.int8)), _altered(scales=np.array([0, np.nan, 0, 0, 0], np.float32)),
    _altered(rows=np.zeros((3, 1), np.uint8)), tensorfile.dump({"rows": np.zeros(1, np.uint8)}),
    tensorfile.dump(tensorfile.parse(_table().to_bytes()).tensors, {"decay": "2", "strength": "1"}),
    tensorfile.dump(tensorfile.parse(_table().to_bytes()).tensors, {"decay": "0.5", "strength": "nan"}),
])  # fmt: skip
def test_a_file_that_does_not_fit_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(BundleError, match="fetch or export the bundle again") as refused:
        Neighbours.from_bytes(content, 4)
    assert "\n" not in str(refused.value)


def test_a_table_of_another_catalogue_is_refused() -> None:
    with pytest.raises(BundleError):
        Neighbours.from_bytes(_table().to_bytes(), 5)
