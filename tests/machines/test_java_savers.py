# SPDX-License-Identifier: Apache-2.0
"""Several Java recommenders, and Java and Python, that save one state: nothing that either has recorded is lost."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import by_java
import pytest
from by_java import JAVA
from java_recommender import JavaRecommender
from loyal import loyal
from neighbouring import with_file

from pocketrec.device import Recommender
from pocketrec.device.contract.recipe import GuardRecipe
from pocketrec.device.delivery.bundle import Bundle, open_bundle

pytestmark = [pytest.mark.java, pytest.mark.skipif(not JAVA, reason="run by `make test-android`")]
globals().update(by_java.cases("device/conftest.py", {}, ()))


@pytest.fixture
def unguarded(folder: Path) -> Bundle:
    """The bundle, whose recipe says so in its file."""
    recipe = dataclasses.replace(open_bundle(folder).recipe, guard=GuardRecipe(enabled=False))
    with_file(folder, json.dumps(recipe.to_dict()).encode(), "recipe.json")
    return open_bundle(folder)


_NOT_JAVA = {
    name for name in vars(by_java.module_of("device/state/test_savers.py")) if name.startswith("test_")
} - {
    "test_two_savers_keep_each_others_events",
    "test_who_only_adds_keeps_what_the_other_has_trained",
    "test_what_one_forgets_does_not_come_back_with_the_other",
    "test_a_history_that_is_begun_anew_keeps_the_events_of_others",
    "test_a_state_that_became_another_users_is_not_overwritten",
}  # fmt: skip
_cases = by_java.cases("device/state/test_savers.py", {"Recommender": JavaRecommender}, _NOT_JAVA)
globals().update({name: value for name, value in _cases.items() if name != "unguarded"})


@pytest.mark.parametrize("first", ["java", "python"])
def test_java_and_python_keep_each_others_events(unguarded: Bundle, tmp_path: Path, first: str) -> None:
    """One adds, the other trains; who saves last keeps what the other has done."""
    kinds = [JavaRecommender, Recommender] if first == "java" else [Recommender, JavaRecommender]
    adds, trains = (kind(unguarded, user="u1", state=tmp_path / "s") for kind in kinds)
    trains.personalise([(f"item {row}", 1000.0 + place) for place, row in enumerate(loyal(40))])
    adds.add([("item 9", 1100.0), ("item 4", 1101.0)])
    trains.save()
    adds.save()
    assert adds.history[-2:] == ["item 9", "item 4"]
    assert len(adds.history) == 42
    trains.add([("item 11", 1102.0)])
    trains.save()
    assert list(trains.history) == [*adds.history, "item 11"]
    for kind in kinds:
        one = kind(unguarded, user="u1", state=tmp_path / "s")
        assert list(one.history) == [*adds.history, "item 11"]
        assert one.report["choice"] == "personal"
        assert one.recommend(5, now=5000.0)
        one.close()
