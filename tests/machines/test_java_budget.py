# SPDX-License-Identifier: Apache-2.0
"""Java's trainings that a budget stops, and those where nothing is new: Python's tests, and both sides in turns."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import by_java
import numpy as np
import pytest
from by_java import JAVA
from java_recommender import JavaRecommender, TypedRecommender
from loyal import loyal

from pocketrec.device import Recommender
from pocketrec.device.contract.recipe import GuardRecipe, Prior
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.personal.budget import Budget
from pocketrec.device.personal.report import Report
from pocketrec.device.state.file import load_state

pytestmark = [pytest.mark.java, pytest.mark.skipif(not JAVA, reason="run by `make test-android`")]
globals().update(by_java.cases("device/conftest.py", {}, ()))

_FILE = "device/personal/test_budget.py"
_JAVAS = {
    "test_events_that_come_meanwhile_wait_for_the_next_training",
    "test_another_wish_or_a_forgotten_event_begins_anew",
    "test_the_hottest_zone_counts",
    "test_nothing_is_trained_where_nothing_is_new",
}
_OTHERS = set() if not JAVA else {name for name in vars(by_java.module_of(_FILE)) if name.startswith("test_")} - _JAVAS
globals().update(by_java.cases(_FILE, {"Recommender": TypedRecommender}, _OTHERS))

#: Every choice of the guard is compared, the bonus for repeats in some recipes too.
_RECIPES = {
    "plain": {},
    "choices": {"guard": GuardRecipe(prior={"quarter": Prior(), "most": Prior()})},
    "repeats": {"repeats": Repeats(1.0, time_power=0.5), "proximal": 0},
}


class Steps(Budget):
    """So many questions."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        object.__setattr__(self, "steps", steps)

    def start(self) -> Any:
        left = iter(range(self.steps))  # type: ignore[attr-defined]
        return lambda: "" if next(left, None) is not None else "enough"


def events(count: int, start: float) -> list[tuple[str, float]]:
    return [(f"item {row}", start + place) for place, row in enumerate(loyal(count))]


def same(one: Report, other: Report) -> None:
    """Equal but for rounding."""
    assert dataclasses.replace(one, losses=[], expected_gain={}) == dataclasses.replace(
        other, losses=[], expected_gain={}
    )
    np.testing.assert_allclose(one.losses, other.losses, rtol=1e-4)
    assert one.expected_gain == pytest.approx(other.expected_gain, abs=1e-5)


@pytest.mark.parametrize(("recipe", "with_store"), [("plain", False), ("choices", True), ("repeats", False)])
def test_each_goes_on_where_the_other_was_stopped(
    folder: Path, tmp_path: Path, recipe: str, with_store: bool
) -> None:
    """A training of Java's and Python's in turns comes to what Python alone comes to, and neither begins anew."""

    def opened(kind: Any, name: str) -> Any:
        bundle = open_bundle(folder)
        bundle.recipe = dataclasses.replace(bundle.recipe, **_RECIPES[recipe])
        store = tmp_path / f"{name}.events" if with_store else None
        return kind(bundle, user="u1", state=tmp_path / name, store=store)

    whole, kinds = opened(Recommender, "whole"), (TypedRecommender, Recommender)
    for given, resume in ((events(40, 1000), False), (events(30, 1100), True)):
        expected = whole.personalise(given, resume=resume)
        turn, done, python = 0, None, 0
        while done is None or done.paused:
            with opened(kinds[turn % 2], "parts") as parts:
                done = parts.personalise(given if turn == 0 else (), resume=resume, budget=Steps(4))
                parts.save()
            state = load_state(tmp_path / "parts", open_bundle(folder).manifest)
            assert (state.pending is None) == (done.paused == 0)
            turn += 1
        assert turn > 2
        same(done, expected)
        with opened(Recommender, "alone") as alone:  # as many turns as Python alone takes
            while alone.personalise(given if python == 0 else (), resume=resume, budget=Steps(4)).paused:
                python += 1
            alone.save()
        assert turn == python + 1
        known, parts_state = whole.state, load_state(tmp_path / "parts")
        for name in ("trained", "steps", "through", "learned"):
            assert getattr(known, name) == getattr(parts_state, name), name
        assert known.weights.keys() == parts_state.weights.keys()
        for name, value in known.weights.items():
            np.testing.assert_allclose(parts_state.weights[name], value, atol=1e-5)
    java = opened(TypedRecommender, "parts")
    assert java.personalise(if_new=True, resume=True).reason == whole.personalise(if_new=True, resume=True).reason
    java.close()


@pytest.mark.parametrize("first", [JavaRecommender, Recommender])
def test_nothing_is_new_for_the_other_either(folder: Path, tmp_path: Path, first: Any) -> None:
    """The fingerprint of what was learned is the same text on both sides."""
    other = Recommender if first is JavaRecommender else JavaRecommender
    for kind, reason in ((first, None), (other, "nothing is new since the last training")):
        with kind(folder, user="u1", state=tmp_path / "s") as one:
            done = one.personalise(events(30, 1000), if_new=True)
            told = done if isinstance(done, dict) else done.to_dict()
            assert (told["reason"] == reason) == (reason is not None)
            one.save()
