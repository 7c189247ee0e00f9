from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketrec.cloud.train_batches import Batch, Packer


def windows_of(lengths: list[int], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows whose items are all different, so that each transition can be told; the first target is context."""
    items, targets = np.zeros((len(lengths), width), np.int32), np.zeros((len(lengths), width), np.int32)
    following = 1
    for i, length in enumerate(lengths):
        items[i, :length] = np.arange(following, following + length)
        targets[i, :length] = items[i, :length] + 1
        if length > 2:
            targets[i, 0] = 0
        following += length + 1
    return items, targets


def pairs(batches: list[Batch]) -> list[tuple[int, int]]:
    return [(int(b.items[at]), int(b.targets[at])) for b in batches for at in zip(*np.nonzero(b.targets), strict=True)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 6), max_size=40), st.integers(1, 9), st.integers(6, 13), st.integers(0, 3))
def test_every_pair_of_every_window_appears_once(lengths: list[int], batch: int, width: int, seed: int) -> None:
    """D6, also for fewer windows than a batch and for the last, partial batch."""
    items, targets = windows_of(lengths, 6)
    packer = Packer(items, targets, batch, width)
    batches = list(packer.epoch([seed, 0]))
    inside = targets > 0
    assert sorted(pairs(batches)) == sorted(zip(items[inside].tolist(), targets[inside].tolist(), strict=True))
    assert packer.targets_total == inside.sum()
    assert len({b.items.shape for b in batches}) <= 1


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=40), st.integers(0, 3))
def test_windows_lie_whole_and_start_with_a_cut(lengths: list[int], seed: int) -> None:
    items, targets = windows_of(lengths, 6)
    found = []
    for batch in Packer(items, targets, 4, 8).epoch([seed]):
        for row, keep in zip(batch.items, batch.keep, strict=True):
            used = int((row > 0).sum())
            assert (row[used:] == 0).all()
            starts = [*np.flatnonzero((keep == 0)[:used]).tolist(), used]
            found += [tuple(row[a:b].tolist()) for a, b in itertools.pairwise(starts)]
    assert sorted(found) == sorted(tuple(row[row > 0].tolist()) for row in items)


def test_epochs_differ_and_seeds_decide() -> None:
    packer = Packer(*windows_of([3] * 50, 3), 8, 6)
    one, two, other = (pairs(list(packer.epoch(seed))) for seed in ([1, 0], [1, 0], [1, 1]))
    assert one == two
    assert one != other


def test_steps_hold_about_as_many_windows_as_asked_for_and_waste_little() -> None:
    lengths = np.random.default_rng(0).integers(1, 6, 1000).tolist()
    batches = list(Packer(*windows_of(lengths, 6), 20, 16).epoch([1]))
    filled = np.array([(batch.items > 0).mean() for batch in batches])
    assert 45 <= len(batches) <= 60
    assert filled.min() > 0.7
    assert filled.mean() > 0.9
