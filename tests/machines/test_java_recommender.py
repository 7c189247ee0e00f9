# SPDX-License-Identifier: Apache-2.0
"""Java's recommender with an event store, and after a new release: what it keeps is what Python keeps."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import by_java
import numpy as np
import pytest
from by_java import JAVA
from java_recommender import JavaRecommender
from loyal import loyal
from neighbouring import ring, with_file

from pocketrec.device import Recommender
from pocketrec.device.base.errors import BundleError, StateError
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.state.file import load_state
from pocketrec.device.store.database import EventStore
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.write import write_bundle_files

pytestmark = [pytest.mark.java, pytest.mark.skipif(not JAVA, reason="run by `make test-android`")]
globals().update(by_java.cases("device/conftest.py", {}, ()))


def events(count: int, start: float = 1000) -> list[Any]:
    return [(f"item {row}", start + place) for place, row in enumerate(loyal(count))]


def renewed(bundle: Bundle, folder: Path, gone: str) -> Path:
    """A bundle of another vocabulary: the items in reverse order, one of them unknown."""
    ids = ["something new" if item == gone else item for item in reversed(bundle.vocabulary.ids(range(1, 61)))]
    write_bundle_files(
        folder, BundleContent(
            model_file=bundle.model_path.read_bytes() + bytes(8), items=ids, recipe=bundle.recipe, card="",
        model=bundle.manifest.model, tensors=bundle.manifest.tensors, candidates=(["u1"], np.arange(1, 26)[None]),
        cut_off=bundle.manifest.cut_off,
    ))  # fmt: skip
    return folder


def same_report(java_report: dict[str, Any], python: dict[str, Any]) -> None:
    """Equal decisions; losses that differ by rounding only."""
    losses = (java_report.pop("losses"), python.pop("losses"))
    gains = (java_report.pop("expected_gain"), python.pop("expected_gain"))
    assert java_report == {name: python[name] for name in java_report}
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert gains[0] == pytest.approx(gains[1], abs=1e-5)


def same_ranking(one: list[Any], other: list[Any]) -> None:
    assert [item for item, _ in one] == [item for item, _ in other]
    np.testing.assert_allclose([score for _, score in one], [score for _, score in other], atol=1e-5)


def test_one_store_and_one_state_in_turns(folder: Path, tmp_path: Path) -> None:
    """Python and Java personalise one user's files in turns; a twin does all of it in Python."""
    given = events(60)
    files = {"user": "u1", "state": tmp_path / "s", "store": tmp_path / "e"}
    twin_files = {"user": "u1", "state": tmp_path / "twin.s", "store": tmp_path / "twin.e"}
    for turn in range(4):
        part, resume = given[15 * turn : 15 * turn + 15], turn > 1
        with Recommender(folder, **twin_files) as twin:  # type: ignore[arg-type]
            expected = twin.personalise(part, resume=resume).to_dict()
            twin.save()
            ranked = twin.recommend(10, now=5000.0)
        if turn % 2:
            with Recommender(folder, **files) as python:  # type: ignore[arg-type]
                assert python.outdated == ""
                same_report(dict(expected), python.personalise(part, resume=resume).to_dict())
                python.save()
                same_ranking(python.recommend(10, now=5000.0), ranked)
        else:
            recommender = JavaRecommender(folder, **files)  # type: ignore[arg-type]
            assert recommender.outdated == ""
            same_report(recommender.personalise(part, resume), dict(expected))
            recommender.save()
            same_ranking(recommender.recommend(10, now=5000.0), ranked)
            recommender.close()
        both = [load_state(path, open_bundle(folder).manifest) for path in (tmp_path / "s", tmp_path / "twin.s")]
        for name in ("trained", "steps", "generation", "through", "user"):
            assert getattr(both[0], name) == getattr(both[1], name), name
        assert len(both[0].rows) == 0, "the store has the history"


def test_neighbours_are_added_alike(folder: Path) -> None:
    with_file(folder, ring(60, 3.0).to_bytes())
    given = events(20)
    with Recommender(folder, user="u1") as python:
        python.add(given)
        ranked = python.recommend(60, now=5000.0)
    recommender = JavaRecommender(folder, user="u1")
    recommender.add(given)
    same_ranking(recommender.recommend(60, now=5000.0), ranked)
    recommender.close()


def test_a_file_of_neighbours_that_does_not_fit_is_refused(folder: Path) -> None:
    with_file(folder, ring(59, 3.0).to_bytes())
    recommender = JavaRecommender(folder, user="u1")
    recommender.add(events(20))
    with pytest.raises(BundleError, match="its arrays do not fit"):
        recommender.recommend(10, now=5000.0)
    recommender.close()


def test_forget_deletes_events_weights_and_the_generation_before(folder: Path, tmp_path: Path) -> None:
    state, store = tmp_path / "s", tmp_path / "e"
    recommender = JavaRecommender(folder, user="u1", state=state, store=store)
    recommender.personalise(events(40))
    recommender.save()
    recommender.save()
    gone = recommender.history[0]
    kept = [item for item in recommender.history if item != gone]
    before = recommender.recommend(10, now=5000.0)
    assert recommender.forget([gone]) == 40 - len(kept)
    assert recommender.history == kept
    assert not recommender.state["personal"]
    assert not Path(f"{state}.previous").exists()
    assert gone.encode() + b'"' not in store.read_bytes() + Path(f"{store}-wal").read_bytes()
    with Recommender(folder, user="u1", state=state, store=store) as python:
        assert (python.history, python.outdated, python.state.weights) == (kept, "", {})
    assert recommender.recommend(10, now=5000.0) != before
    assert recommender.export(str(tmp_path / "x.csv")) == len(kept)
    assert recommender.wipe() != []
    assert recommender.history == []
    assert not state.exists()
    assert not store.exists()
    recommender.close()


def test_forget_of_a_history_in_the_state(folder: Path, tmp_path: Path) -> None:
    files = {"user": "u1", "state": tmp_path / "s"}
    given = events(40)
    recommender = JavaRecommender(folder, **files)  # type: ignore[arg-type]
    recommender.personalise(given)
    recommender.save()
    assert recommender.forget([given[3]]) == 1
    recommender.close()
    with Recommender(folder, **files) as python:  # type: ignore[arg-type]
        assert python.history == [item for item, _ in given[:3] + given[4:]]
        assert (python.state.forgotten, python.state.weights) == (1, {})
    assert not (tmp_path / "s.previous").exists()


def test_what_another_process_forgets_is_in_no_weights(folder: Path, tmp_path: Path) -> None:
    files = {"user": "u1", "state": tmp_path / "s", "store": tmp_path / "e"}
    recommender = JavaRecommender(folder, **files)  # type: ignore[arg-type]
    recommender.personalise(events(40))
    recommender.save()
    gone = recommender.history[0]
    with EventStore(tmp_path / "e") as store:
        assert store.forget([gone]) > 0
    recommender.add([("item 9", 9000.0)])
    assert "were forgotten" in recommender.outdated
    assert gone not in recommender.history
    assert not recommender.state["personal"]
    recommender.save()
    assert not Path(f"{tmp_path / 's'}.previous").exists()
    recommender.close()


@pytest.mark.parametrize("writer", ["python", "java"])
@pytest.mark.parametrize("stored", [False, True])
def test_after_a_new_release_the_history_goes_over_by_item_id(
    folder: Path, tmp_path: Path, writer: str, stored: bool
) -> None:
    files: dict[str, Any] = {"user": "u1", "state": tmp_path / "s", **({"store": tmp_path / "e"} if stored else {})}
    old = Recommender(folder, **files) if writer == "python" else JavaRecommender(folder, **files)
    old.personalise(events(20))
    old.save()
    history = old.history
    old.close()
    new = renewed(open_bundle(folder), tmp_path / "elsewhere" / "new", history[0])
    twin = {**files, "state": tmp_path / "twin"}
    shutil.copyfile(tmp_path / "s", tmp_path / "twin")
    with Recommender(new, **twin) as python:
        expected = (python.history, python.outdated)
        ranked = python.recommend(10, now=5000.0)
    assert expected[0] == [item for item in history if item != history[0]]
    recommender = JavaRecommender(new, **files)
    assert (recommender.history, recommender.outdated) == expected
    assert not recommender.state["personal"]
    same_ranking(recommender.recommend(10, now=5000.0), ranked)
    recommender.personalise()
    recommender.save()
    recommender.close()
    again = JavaRecommender(new, **files)
    assert (again.outdated, again.history) == ("", expected[0])
    again.close()


def test_without_ids_the_old_vocabulary_beside_the_bundle_tells(folder: Path, tmp_path: Path) -> None:
    """States of earlier versions note no ids."""
    from pocketrec.device.contract import tensorfile

    with Recommender(folder, user="u1", state=tmp_path / "s") as old:
        old.personalise(events(20))
        old.save()
        history = old.history
    read = tensorfile.load(tmp_path / "s")
    del read.metadata["items"]
    (tmp_path / "s").write_bytes(tensorfile.dump(read.tensors, read.metadata))
    beside = renewed(open_bundle(folder), folder.with_name("new"), "item 60")
    elsewhere = renewed(open_bundle(folder), tmp_path / "elsewhere" / "new", "item 60")
    recommender = JavaRecommender(beside, user="u1", state=tmp_path / "s")
    assert recommender.history == history
    recommender.close()
    recommender = JavaRecommender(elsewhere, user="u1", state=tmp_path / "s")
    assert recommender.history == []
    assert "its 20 events are lost" in recommender.outdated
    recommender.close()


def test_a_state_made_without_a_store_hands_its_history_over(folder: Path, tmp_path: Path) -> None:
    recommender = JavaRecommender(folder, user="u1", state=tmp_path / "s")
    recommender.personalise(events(30))
    recommender.save()
    history, ranked = recommender.history, recommender.recommend(10, now=5000.0)
    recommender.close()
    stored = JavaRecommender(folder, user="u1", state=tmp_path / "s", store=tmp_path / "e")
    assert (stored.history, stored.outdated) == (history, "")
    assert stored.state["through"] == 30
    same_ranking(stored.recommend(10, None, None, 5000.0), ranked)
    stored.close()
    with pytest.raises(StateError, match="lies in an event store"):
        JavaRecommender(folder, user="u1", state=tmp_path / "s")
    with pytest.raises(StateError, match="is the state of user u1"):
        JavaRecommender(folder, user="u2", state=tmp_path / "s", store=tmp_path / "e")


@pytest.mark.parametrize("form", ["retrieve", "ranked"])
def test_the_whole_catalogue_is_searched_and_ranked_as_python_does(made: Path, tmp_path: Path, form: str) -> None:
    """Before and after personal training; with the ranker it is the ranker that trains. Without events too."""
    folder = shutil.copytree(made.with_name(f"{made.name}.{form}"), tmp_path / form)
    python, recommender = Recommender(folder, user="u1"), JavaRecommender(folder, user="u1")
    assert [item for item, _ in recommender.recommend(25, None, None, 5000.0)] == [
        item for item, _ in python.recommend(25, now=5000.0)
    ]
    found = []
    for work in ("add", "personalise"):
        getattr(python, work)(events(20) if work == "add" else [])
        getattr(recommender, work)(events(20) if work == "add" else [])
        found.append(python.recommend(25, now=5000.0))
        same_ranking(recommender.recommend(25, None, None, 5000.0), found[-1])
        same_ranking(recommender.recommend(5, None, True, 5000.0), python.recommend(5, mask_seen=True, now=5000.0))
    assert found[0] != found[1]


@pytest.mark.parametrize("work", ["forget", "wipe"])
def test_what_python_keeps_of_quality_goes_too(folder: Path, tmp_path: Path, work: str) -> None:
    """It has the time of an event."""
    with Recommender(folder, user="u1", state=tmp_path / "s") as python:
        python.add(events(20))
        python.quality()
        python.save()
    assert (tmp_path / "s.quality").exists()
    recommender = JavaRecommender(folder, user="u1", state=tmp_path / "s")
    recommender.forget(["item 1"]) if work == "forget" else recommender.wipe()
    assert not (tmp_path / "s.quality").exists()
    recommender.close()
