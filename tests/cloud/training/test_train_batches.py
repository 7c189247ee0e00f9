# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.data.sequences import Sequences, offsets_of
from pocketrec.cloud.training import batches as train_batches
from pocketrec.cloud.training import sessions as train_sessions
from pocketrec.cloud.training.batches import Batch, Batches, WindowBatches, recency_weights
from pocketrec.cloud.training.sessions import SessionBatches

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=40)


def log_of(lengths: list[int]) -> Sequences:
    """Item 1, 2, .. in the order of the events, so that each transition can be told."""
    users = np.array([f"{i:03}" for i in range(len(lengths))], object)
    events = np.arange(sum(lengths))
    return Sequences(users, offsets_of(np.array(lengths)), (events + 1).astype(np.int32), events)


def dealt(batches: Batches, seed: list[int]) -> list[Batch]:
    """The batches of an epoch, one by one."""
    return [Batch(*step) for block in batches.blocks(seed) for step in zip(*block.batches, strict=True)]


def windows(log: Sequences, width: int, batch: int, *, packed: bool = True) -> WindowBatches:
    return WindowBatches(log, np.arange(log.events, dtype=np.float32), width, batch, packed=packed)


def sessions(log: Sequences, batch: int, unroll: int) -> SessionBatches:
    return SessionBatches(log, np.arange(log.events, dtype=np.float32), batch, unroll)


def targets_of(batches: list[Batch]) -> list[int]:
    return [target for batch in batches for target in batch.targets[batch.targets > 0].tolist()]


@examples(80)
@given(LENGTHS, st.integers(1, 9), st.integers(1, 7), st.integers(0, 3), st.sampled_from(["packed", "plain", "state"]))
def test_every_transition_appears_once(lengths: list[int], batch: int, width: int, seed: int, kind: str) -> None:
    """D6, also for fewer sequences than a batch has rows and for the tail; input, target and weight belong together."""
    log = log_of(lengths)
    made = sessions(log, batch, width) if kind == "state" else windows(log, width, batch, packed=kind == "packed")
    batches = dealt(made, [seed, 0])
    wanted = sorted(set(log.items.tolist()) - set((log.offsets[:-1] + 1).tolist()))
    assert sorted(targets_of(batches)) == wanted
    assert made.targets == len(wanted)
    for step in batches:
        assert {part.shape for part in step} == {(made.rows, made.width)}
        assert step.items.dtype == step.targets.dtype == np.int32
        assert step.weights.dtype == step.keep.dtype == np.float32
        inside = step.targets > 0
        np.testing.assert_array_equal(step.items[inside], step.targets[inside] - 1)
        np.testing.assert_array_equal(step.weights, np.where(inside, step.targets - 1, 0))


@examples(60)
@given(LENGTHS, st.integers(1, 7), st.integers(0, 3))
def test_windows_lie_whole_and_start_with_a_cut(lengths: list[int], width: int, seed: int) -> None:
    log = log_of(lengths)
    found = []
    for batch in dealt(windows(log, width, 4), [seed]):
        for row, keep in zip(batch.items, batch.keep, strict=True):
            used = int((row > 0).sum())
            assert (row[used:] == 0).all()
            starts = [*np.flatnonzero((keep == 0)[:used]).tolist(), used]
            found += [tuple(row[a:b].tolist()) for a, b in itertools.pairwise(starts)]
    cut = windows(log, width, 4).windows
    assert sorted(found) == [
        tuple(log.items[a : a + n].tolist()) for a, n in zip(cut.start.tolist(), cut.length.tolist(), strict=True)
    ]


@examples(60)
@given(LENGTHS, st.integers(1, 9), st.integers(1, 7), st.integers(0, 3))
def test_each_row_reads_whole_sessions_one_after_the_other(
    lengths: list[int], batch: int, unroll: int, seed: int
) -> None:
    """D7: the state is cut at the first event of every session and nowhere else."""
    log = log_of(lengths)
    batches = dealt(sessions(log, batch, unroll), [seed])
    if not batches:
        return
    items, keep = (np.concatenate([getattr(step, name) for step in batches], 1) for name in ("items", "keep"))
    found = []
    for row, carried in zip(items, keep, strict=True):
        used = int((row > 0).sum())
        assert (row[used:] == 0).all()
        assert used == 0 or carried[0] == 0
        starts = [*np.flatnonzero(carried[:used] == 0).tolist(), used]
        found += [row[a:b].tolist() for a, b in itertools.pairwise(starts)]
    assert sorted(found) == [log.of(i)[0][:-1].tolist() for i in range(len(lengths)) if lengths[i] > 1]
    used = (items > 0).sum(1)
    assert used.max() - used.min() <= 2 * max(lengths)  # rows end at about the same time


@pytest.mark.parametrize("kind", ["windows", "sessions"])
def test_epochs_differ_and_seeds_decide(kind: str) -> None:
    log = log_of([4] * 50)
    made = windows(log, 3, 8) if kind == "windows" else sessions(log, 8, 3)
    one, two, other = (targets_of(dealt(made, seed)) for seed in ([1, 0], [1, 0], [1, 1]))
    assert one == two
    assert one != other


@pytest.mark.parametrize("kind", ["windows", "sessions"])
def test_an_epoch_can_be_taken_up_at_any_block(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(train_batches, "BLOCK", 40)
    monkeypatch.setattr(train_sessions, "BLOCK", 40)
    log = log_of([5, 3, 8, 2] * 20)
    made = windows(log, 4, 3) if kind == "windows" else sessions(log, 5, 2)
    blocks = list(made.blocks([3, 1]))
    assert len(blocks) > 4
    assert blocks[0].begin == 0
    assert blocks[-1].end == 1
    assert all(a.end == b.begin < b.end for a, b in itertools.pairwise(blocks))
    for one, two in zip(made.blocks([3, 1], 2), blocks[2:], strict=True):
        assert (one.begin, one.end) == (two.begin, two.end)
        assert all(np.array_equal(a, b) for a, b in zip(one.batches, two.batches, strict=True))
    assert len(targets_of(dealt(made, [3, 1]))) == made.targets


def test_steps_hold_about_as_many_windows_as_asked_for_and_waste_little() -> None:
    lengths = np.random.default_rng(0).integers(2, 7, 1000).tolist()
    batches = dealt(windows(log_of(lengths), 16, 20), [1])
    filled = np.array([(batch.items > 0).mean() for batch in batches])
    assert 45 <= len(batches) <= 60
    assert filled.min() > 0.7
    assert filled.mean() > 0.9


def test_weights_of_recent_events() -> None:
    weights = recency_weights(np.array([0, 50, 100, 200]), 0.25)  # half as much every 50
    np.testing.assert_allclose(weights / weights[-1], [1 / 16, 1 / 8, 1 / 4, 1], rtol=1e-6)
    assert weights.mean() == pytest.approx(1)
    for times, half_life in (([3, 4], 0.0), ([7, 7], 0.5), ([], 0.5)):
        assert recency_weights(np.array(times, np.int64), half_life).tolist() == [1] * len(times)
