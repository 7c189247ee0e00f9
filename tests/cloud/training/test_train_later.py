# SPDX-License-Identifier: Apache-2.0
"""Objective `later_item`: targets are later items of the same user, each as likely; and the balance of users."""

from __future__ import annotations

import numpy as np
import pytest

from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.training.batches import WindowBatches, balance_weights
from pocketrec.cloud.training.later import LaterBatches
from pocketrec.device.base.errors import ConfigError


def log(lengths: list[int]) -> Sequences:
    users = np.array([f"u{i}" for i in range(len(lengths))], object)
    codes = np.repeat(np.arange(len(lengths)), lengths)
    items = np.arange(1, sum(lengths) + 1)  # every event has an item of its own
    return Sequences.build(users, codes, items, np.arange(len(items)))


def pairs(sequences: Sequences, epoch: int, window: int = 4) -> np.ndarray:
    """(input item, target item) of every target of an epoch."""
    batches = LaterBatches(sequences, np.ones(sequences.events, np.float32), window, 3)
    found = []
    for block in batches.blocks([1, epoch]):
        part = block.batches
        counted = part.targets > 0
        found.append(np.stack([part.items[counted], part.targets[counted]], 1))
    return np.concatenate(found)


def test_targets_are_later_events_of_the_same_user_each_as_likely() -> None:
    sequences = log([5, 2, 9])
    found = np.concatenate([pairs(sequences, epoch) for epoch in range(400)])
    ends = {item: end for begin, end in ((1, 5), (6, 7), (8, 16)) for item in range(begin, end + 1)}
    assert all(source < target <= ends[source] for source, target in found.tolist())
    first = found[found[:, 0] == 1, 1]
    assert np.bincount(first, minlength=6)[2:6] / len(first) == pytest.approx(np.full(4, 0.25), abs=0.06)


def test_every_input_has_a_target_once_an_epoch_and_another_draw_the_next() -> None:
    sequences = log([5, 2, 9])
    one, again, two = pairs(sequences, 0), pairs(sequences, 0), pairs(sequences, 1)
    np.testing.assert_array_equal(one, again)
    assert sorted(one[:, 0].tolist()) == sorted(two[:, 0].tolist()) == [1, 2, 3, 4, 6, *range(8, 16)]
    assert sorted(map(tuple, one.tolist())) != sorted(map(tuple, two.tolist()))


def test_a_block_is_made_again_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketrec.cloud.training.batches.BLOCK", 8)
    batches = LaterBatches(log([5, 9, 7]), np.ones(21, np.float32), 4, 1)
    assert isinstance(batches, WindowBatches)
    whole = [block.batches.targets for block in batches.blocks([3, 0])]
    assert len(whole) > 2
    np.testing.assert_array_equal(next(batches.blocks([3, 0], 2)).batches.targets, whole[2])


def test_balance_weighs_users_alike() -> None:
    lengths = np.array([4, 1, 2])
    weights = balance_weights(lengths, 1.0)
    assert [float(part.sum()) for part in np.split(weights, [4, 5])] == pytest.approx([7 / 3] * 3)
    np.testing.assert_array_equal(balance_weights(lengths, 0.0), np.ones(7, np.float32))


def test_sessions_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"wants train\.batching = .windows."):
        config_from_dict({"train": {"objective": "later_item", "batching": "sessions"}})
