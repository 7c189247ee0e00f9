# SPDX-License-Identifier: Apache-2.0
"""The sequential test of personal weights: how often it is wrong, and how soon it notices."""

from __future__ import annotations

import numpy as np
import pytest

from pocketrec.device.personal.watch import AVERAGE_RUN, BETS, RECOVERY, RUNGS, Watch


def events_to_alarm(differences: np.ndarray) -> int:
    """Events up to the first alarm; their number where there is none."""
    watch = Watch()
    for place, difference in enumerate(differences.tolist(), 1):
        watch = watch.after([difference])
        if watch.alarm:
            return place
    return len(differences)


def ranks(generator: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Reciprocal ranks of events of which each rank up to `size` is as likely."""
    return 1.0 / generator.integers(1, size + 1, count)


def test_false_alarms_are_rarer_than_it_says() -> None:
    """Weights that are as good as the global ones in expectation, with differences of several forms."""
    generator = np.random.default_rng(1)
    runs = []
    for size in (2, 5, 30):
        for _ in range(20):
            runs.append(events_to_alarm(ranks(generator, 4000, size) - ranks(generator, 4000, size)))
    for _ in range(20):  # rare large losses that many small gains make up for
        runs.append(events_to_alarm(np.where(generator.random(4000) < 0.1, -0.9, 0.1)))
    assert np.mean(runs) > AVERAGE_RUN  # a run without an alarm counts as 4,000, which is less than it would be


def test_equal_ranks_are_no_evidence() -> None:
    assert Watch().after([0.0] * 10_000) == Watch(since=10_000)


@pytest.mark.parametrize("good", [0, 300, 3000])
def test_a_loss_is_noticed_whatever_was_before(good: int) -> None:
    """A loss of .15 in MRR with a standard deviation of .3 is noticed in 250 events, after a long good time too."""
    generator = np.random.default_rng(2)
    needed = []
    for _ in range(20):
        before = generator.normal(0.15, 0.3, good).clip(-1, 1)
        after = generator.normal(-0.15, 0.3, 1000).clip(-1, 1)
        watch = Watch().after(before.tolist())
        assert not watch.alarm
        for place, difference in enumerate(after.tolist(), 1):
            watch = watch.after([difference])
            if watch.alarm:
                needed.append(place)
                break
    assert len(needed) == 20
    assert np.mean(needed) < 250


def test_worst_differences_keep_the_values_valid() -> None:
    watch = Watch().after([1.0] * 2000)
    assert min(watch.values) > 0
    assert watch.after([-1.0] * 1000).alarm


def test_the_cap_falls_with_each_alarm_and_rises_with_time() -> None:
    watch, seen = Watch(), []
    for share in (1.0, 0.5, 0.25, 0.25):
        watch = watch.returned(share)
        seen.append(watch.most)
        assert watch.values == (1.0,) * len(BETS)
    assert seen == [0.5, 0.25, 0.0, 0.0]
    for rung in RUNGS[1:]:
        watch = watch.after([0.0] * (RECOVERY - 1))
        assert watch.most < rung
        watch = watch.after([0.0])
        assert watch.most == rung
    assert Watch().returned(0.75).most == 0.5


def test_events_after_an_alarm_belong_to_other_weights() -> None:
    alarmed = Watch().after([-1.0] * 50)
    assert alarmed.alarm
    assert alarmed.after([-1.0] * 50) == alarmed
    assert not alarmed.anew().alarm
