# SPDX-License-Identifier: Apache-2.0
"""Quality on the device by Java: Python's tests, the same ranks, alarms and file, and both sides in turns."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import by_java
import numpy as np
import pytest
from by_java import JAVA
from java_recommender import TypedRecommender
from loyal import loyal
from traces import traces

from pocketrec.device import Recommender
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.state.file import quality_of
from pocketrec.device.state.quality import Quality, QualityReport, load_quality

pytestmark = [pytest.mark.java, pytest.mark.skipif(not JAVA, reason="run by `make test-android`")]
globals().update(by_java.cases("device/conftest.py", {}, ()))

_FILE = "device/state/test_quality.py"
_JAVAS = {
    "test_each_event_is_ranked_once_and_none_that_was_learned",
    "test_a_history_that_is_given_whole_each_time_is_ranked_once",
    "test_a_damaged_file_is_begun_again",
    "test_a_crash_between_state_and_quality_ranks_nothing_that_was_learned",
    "test_two_holders_of_one_state",
}
_OTHERS = set() if not JAVA else {name for name in vars(by_java.module_of(_FILE)) if name.startswith("test_")} - _JAVAS
globals().update(by_java.cases(_FILE, {"Recommender": TypedRecommender}, _OTHERS))

OLD, NEW = (5, 9, 13), (31, 37, 44, 2)


def events(rows: np.ndarray, start: float) -> list[tuple[str, float]]:
    return [(f"item {row}", start + place) for place, row in enumerate(rows.tolist())]


def plain(value: Any) -> Any:
    """With all numbers as one list, for a comparison that allows for rounding."""
    if isinstance(value, dict):
        return {name: plain(inside) for name, inside in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(inside) for inside in value)
    return pytest.approx(value, rel=1e-4, abs=1e-6) if isinstance(value, float) else value


def same(one: QualityReport, other: QualityReport) -> None:
    assert one.to_dict() == plain(other.to_dict())


def kept(state: Path) -> Quality:
    """What lies beside a state, which is what either side would have written."""
    found = load_quality(state, None)
    assert found is not None
    assert found.to_bytes() == quality_of(state).read_bytes()
    return found


@pytest.mark.parametrize("where", ["state", "store"])
def test_in_turns_a_change_of_taste_leads_back_to_global_at_the_same_event(
    folder: Path, tmp_path: Path, where: str
) -> None:
    """The files of a user whom Java and Python serve in turns, beside those of one whom Python serves alone."""
    bundle = open_bundle(folder)
    bundle.recipe = dataclasses.replace(bundle.recipe, repeats=Repeats(0.3))

    def opened(kind: Any, name: str) -> Any:
        store = tmp_path / f"{name}.e" if where == "store" else None
        return kind(bundle, user="u3", state=tmp_path / name, store=store)

    parts = [("personalise", events(loyal(200, 0, OLD), 1000)), ("add", events(loyal(60, 1, OLD), 2000))]
    parts += [("add", events(loyal(60, 2 + part, NEW), 3000 + 100 * part)) for part in range(4)]
    parts += [("personalise", events(loyal(60, 9, NEW), 4000))]
    chosen = []
    for turn, (work, given) in enumerate(parts):
        seen = []
        for name, kind in (("alone", Recommender), ("turns", (TypedRecommender, Recommender)[turn % 2])):
            with opened(kind, name) as one:
                getattr(one, work)(given)
                seen.append(one.quality(5, 300))
                one.save()
                choice = one.report["choice"]
        same(seen[1], seen[0])
        alone, turns = kept(tmp_path / "alone"), kept(tmp_path / "turns")
        np.testing.assert_array_equal(turns.ranks, alone.ranks)
        assert (turns.mark, turns.generation, turns.ranked, turns.model_id) == (
            alone.mark, alone.generation, alone.ranked, alone.model_id
        )  # fmt: skip
        assert dataclasses.asdict(turns.watch) == plain(dataclasses.asdict(alone.watch))
        chosen.append(choice)
    assert chosen[1] == "personal"
    assert "global" in chosen[2:6]
    assert seen[0].most < 1.0


@pytest.mark.parametrize("kind", ["retrieve", "ranked", "lean", "cloze"])
def test_other_bundles_are_ranked_alike(made: Path, tmp_path: Path, kind: str) -> None:
    folder = shutil.copytree(made.with_name(f"{made.name}.{kind}"), tmp_path / "bundle")
    found = []
    for each in (Recommender, TypedRecommender):
        with each(folder, user="u3", state=tmp_path / each.__name__) as one:
            one.personalise(events(loyal(40, 0, OLD), 1000))
            one.add(events(loyal(12, 1, OLD), 2000))
            one.quality()
            one.save()
        found.append(kept(tmp_path / each.__name__))
    np.testing.assert_array_equal(found[0].ranks, found[1].ranks)
    assert len(found[0].ranks) == 51


@pytest.mark.parametrize("work", ["forget", "wipe", "reset"])
def test_what_is_kept_goes_with_what_it_is_about(folder: Path, tmp_path: Path, work: str) -> None:
    """It has neither items nor user, but the time of an event; and what a killed writer has left goes too."""
    left = tmp_path / ".s.quality.0123456789abcdef.tmp"
    with TypedRecommender(folder, user="somebody-3", state=tmp_path / "s") as one:
        one.personalise(events(loyal(40), 1000))
        one.save()
        content = quality_of(tmp_path / "s").read_bytes()
        assert traces(content, "item ", "somebody-3") == []
        left.write_bytes(b"half")
        if work == "forget":
            one.forget(["item 9"])
        elif work == "wipe":
            assert quality_of(tmp_path / "s") in one.wipe()
            assert {path.name for path in tmp_path.iterdir()} == {"bundle", ".s.lock"}
        else:
            one.reset()
            one.save()
        assert not quality_of(tmp_path / "s").exists()
        assert not left.exists()
        assert one.quality().ranked == 0
        one.add(events(loyal(4), 2000))
        assert one.quality().ranked == (3 if work != "forget" else 4)


def test_too_many_at_once_and_wrong_questions(folder: Path, tmp_path: Path) -> None:
    from pocketrec.device.base.errors import DataError

    many = events(loyal(560), 1000)
    reports = []
    for each in (Recommender, TypedRecommender):
        with each(folder, user="u3") as one:
            one.add(many)
            reports.append(one.quality(10, 1000))
    assert (reports[1].ranked, reports[1].passed) == (500, 59)
    same(reports[1], reports[0])
    with TypedRecommender(folder, user="u3") as one:
        for wrong in ((0, 10), (101, 10), (10, 0)):
            with pytest.raises(DataError, match="k must be 1 to 100"):
                one.quality(*wrong)
