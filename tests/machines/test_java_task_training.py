# SPDX-License-Identifier: Apache-2.0
"""Personal patches by Java: Python's tests, and the same reports, scores and state files as Python's."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import by_java
import numpy as np
import pytest
from by_java import JAVA
from java_recommender import JavaRecommender
from patches import make_patch, put

from pocketrec.device import Recommender
from pocketrec.device.base.errors import StateError
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.personal.budget import Budget

pytestmark = [pytest.mark.java, pytest.mark.skipif(not JAVA, reason="run by `make test-android`")]
globals().update(by_java.cases("device/conftest.py", {}, ()))
globals().update(by_java.cases("device/test_task_training.py", {"Recommender": JavaRecommender}, {
    # Left out: the command line, and looks inside Python's objects.
    "test_the_commands",
    "test_a_personal_patch_raises_what_the_user_does_and_touches_nothing_else",
    "test_a_blend_lies_between_the_shared_patch_and_the_personal_one",
    "test_the_guard_compares_with_the_shared_patch",
    "test_a_large_head_is_compared_with_drawn_negatives_and_never_with_a_target_twice",
}))  # fmt: skip

HISTORY = [(f"item {row % 7 + 1}", 1000.0 + 10 * row) for row in range(20)]


@pytest.mark.parametrize("name", ["buys", "likes", "large", "raised"])
def test_training_is_that_of_python(folder: Path, tmp_path: Path, name: str) -> None:
    """The personal weights, a blend, a head with drawn negatives, a bonus for repeats; each goes on with the state
    that the other has saved."""
    bundle = open_bundle(folder)
    buys = open_bundle(folder)
    own = Recommender(buys, user="u1").task("buys").patch
    put(folder, dataclasses.replace(make_patch(bundle, "large", items=400), recipe=own.recipe))
    repeats = dataclasses.replace(own.recipe, repeats=Repeats(0.7, 0.8))
    put(folder, dataclasses.replace(make_patch(bundle, "raised", seed=5), recipe=repeats))
    found = []
    ids = Recommender(bundle, user="u1").task(name).ids
    events = [(ids[number % 3 - 2], 1005.0 + 20 * number) for number in range(9)]
    for kind in (Recommender, JavaRecommender):
        recommender = kind(folder, user="u1", state=tmp_path / kind.__name__)
        recommender.add(HISTORY)
        task = recommender.task(name)
        plain = recommender.recommend(9, now=5000.0)
        seen: list[tuple[int, int]] = []
        report = task.personalise(events, progress=lambda done, total, *_: seen.append((done, total)))  # noqa: B023
        assert recommender.recommend(9, now=5000.0) == plain, "the recommender's own weights are back"
        recommender.save()
        task.save()
        found.append((report, task.recommend(30, now=5000.0), seen))
    python, java = found
    assert java[2] == python[2]
    for field in ("choice", "reason", "history", "unknown", "events", "heldback", "steps"):
        assert getattr(java[0], field) == getattr(python[0], field), field
    np.testing.assert_allclose(java[0].losses, python[0].losses, rtol=1e-4)
    assert java[0].expected_gain == pytest.approx(python[0].expected_gain, abs=1e-5)
    assert [item for item, _ in java[1]] == [item for item, _ in python[1]]
    np.testing.assert_allclose([one for _, one in java[1]], [one for _, one in python[1]], atol=1e-4)
    for kind, saved, ranked in ((Recommender, "JavaRecommender", java[1]), (JavaRecommender, "Recommender", python[1])):
        again = kind(folder, user="u1", state=tmp_path / saved).task(name)
        assert (again.outdated, len(again), again.choice) == ("", 9, python[0].choice)
        scores = dict(again.recommend(30, now=5000.0))
        assert list(scores) == [item for item, _ in ranked]
        np.testing.assert_allclose(list(scores.values()), [one for _, one in ranked], atol=1e-4)


@pytest.mark.parametrize("kind", [Recommender, JavaRecommender])
def test_a_training_that_its_budget_stops_keeps_the_patch_and_begins_again(folder: Path, kind: Any) -> None:
    recommender = kind(open_bundle(folder), user="u1")
    recommender.add(HISTORY)
    task = recommender.task("buys")
    events = [(task.ids[number % 3], 1005.0 + 20 * number) for number in range(9)]
    report = task.personalise(events, budget=Budget(seconds=1e-9))
    assert (report.choice, report.reason, report.events, report.losses) == ("global", "1e-09 s are over", 9, [])
    assert (report.steps, report.paused, task.choice) == (0, 0, "global")
    assert task.personalise().losses


@pytest.mark.parametrize(("writer", "reader"), [(Recommender, JavaRecommender), (JavaRecommender, Recommender)])
def test_the_state_of_a_task_is_sealed_with_the_users(folder: Path, tmp_path: Path, writer: Any, reader: Any) -> None:
    pytest.importorskip("cryptography")
    key = bytes(range(32))
    with writer(folder, user="u1", state=tmp_path / "s", key=key) as recommender:
        recommender.add(HISTORY)
        recommender.save()
        task = recommender.task("buys")
        task.personalise([(task.ids[number % 3], 1005.0 + 20 * number) for number in range(9)])
        choice, first = task.choice, task.ids[0]
        assert first.encode() not in task.save().read_bytes()
    with reader(folder, user="u1", state=tmp_path / "s", key=key) as recommender:
        task = recommender.task("buys")
        assert (task.outdated, len(task), task.choice) == ("", 9, choice)
        assert recommender.forget([first])
        assert len(recommender.task("buys")) == 6
    with pytest.raises(StateError, match="with another key"):
        reader(folder, user="u1", state=tmp_path / "s", key=bytes(32))
