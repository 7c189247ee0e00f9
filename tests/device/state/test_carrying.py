# SPDX-License-Identifier: Apache-2.0
"""A new model on a device whose history lies in the state: it is carried over by item id, and said so."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from loyal import loyal

from pocketrec.cli import main
from pocketrec.device import Recommender
from pocketrec.device.contract.recipe import GuardRecipe
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.state.file import load_state, save_state
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.write import write_bundle_files


def events(count: int, start: float = 1000) -> list[tuple[str, float | None]]:
    return [(f"item {row}", start + place) for place, row in enumerate(loyal(count))]


def equal(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def renewed(bundle: Bundle, folder: Path, gone: str) -> Bundle:
    """A bundle of another model file and vocabulary: the items in reverse order, one of them unknown."""
    ids = ["something new" if item == gone else item for item in reversed(bundle.vocabulary.ids(range(1, 61)))]
    write_bundle_files(
        folder, BundleContent(
            model_file=bundle.model_path.read_bytes(), items=ids, recipe=bundle.recipe, card="",
        model=bundle.manifest.model, tensors=bundle.manifest.tensors, candidates=(["u1"], np.arange(1, 26)[None]),
        cut_off=bundle.manifest.cut_off,
    ))  # fmt: skip
    return open_bundle(folder)


@pytest.fixture
def old(bundle: Bundle, tmp_path: Path) -> Recommender:
    """A recommender of the old bundle that has trained and saved."""
    bundle.recipe = dataclasses.replace(bundle.recipe, guard=GuardRecipe(enabled=False))
    recommender = Recommender(bundle, user="u1", state=tmp_path / "s")
    recommender.personalise(events(20))
    recommender.save()
    return recommender


def test_the_history_goes_over_by_item_id(old: Recommender, tmp_path: Path) -> None:
    gone = old.history[0]
    kept = [item for item in old.history if item != gone]
    new = renewed(old.bundle, tmp_path / "elsewhere" / "new", gone)  # the old vocabulary is not beside it
    recommender = Recommender(new, user="u1", state=tmp_path / "s")
    assert recommender.history == kept
    left = 20 - len(kept)
    assert recommender.outdated == (
        f"it was of another model; {len(kept)} events were carried over by item id, {left} were left out, whose items "
        "the new model does not know"
    )
    plain = Recommender(new, user="u1")
    assert equal(recommender.model.export_weights(), plain.model.export_weights())  # the global ones
    report = recommender.personalise(resume=True)
    other = plain.personalise([event for event in events(20) if event[0] != gone])
    assert report == other
    assert equal(recommender.model.export_weights(), plain.model.export_weights())
    recommender.save()
    assert Recommender(new, user="u1", state=tmp_path / "s").outdated == ""


def without_ids(path: Path, bundle: Bundle) -> None:
    """Write the state as versions without item ids did."""
    save_state(path, dataclasses.replace(load_state(path), items=()), bundle.manifest)
    assert load_state(path).items == ()


def test_without_ids_the_old_vocabulary_beside_the_bundle_tells(old: Recommender, tmp_path: Path) -> None:
    without_ids(tmp_path / "s", old.bundle)
    shutil.copytree(old.bundle.folder, tmp_path / "versions" / "before")
    new = renewed(old.bundle, tmp_path / "versions" / "after", old.history[0])
    recommender = Recommender(new, user="u1", state=tmp_path / "s")
    assert recommender.history == [item for item in old.history if item != old.history[0]]


def test_without_ids_and_vocabulary_the_loss_is_told(old: Recommender, tmp_path: Path) -> None:
    without_ids(tmp_path / "s", old.bundle)
    new = renewed(old.bundle, tmp_path / "elsewhere" / "new", old.history[0])
    recommender = Recommender(new, user="u1", state=tmp_path / "s")
    assert len(recommender) == 0
    assert "its 20 events are lost, for it names no item ids" in recommender.outdated
    assert load_state(tmp_path / "s").rows.shape == (20,)  # nothing is written until somebody saves


def test_another_model_of_the_same_items(old: Recommender, tmp_path: Path) -> None:
    old.bundle.manifest = dataclasses.replace(old.bundle.manifest, model_id="0" * 64)
    recommender = Recommender(old.bundle, user="u1", state=tmp_path / "s")
    assert recommender.history == old.history
    assert recommender.outdated == "it was of another model; 20 events were carried over by item id"
    assert recommender.personalise().choice == "personal"


def test_the_commands_go_on_and_say_so(old: Recommender, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    renewed(old.bundle, tmp_path / "new", old.history[0])
    user = ["--bundle", str(tmp_path / "new"), "--user", "u1", "--state", str(tmp_path / "s")]
    assert main(["recommend", *user]) == 0
    said = capsys.readouterr().out
    assert "the personal state was left aside: it was of another model; " in said
    assert json.loads(said.splitlines()[-1])["outdated"].startswith("it was of another model")
    (tmp_path / "more.csv").write_text("item,timestamp\nitem 5,1100\n")
    assert main(["personalise", *user, "--events", str(tmp_path / "more.csv"), "--append"]) == 0
    said = capsys.readouterr().out
    assert "left aside: it was of another model; " in said
    assert json.loads(said.splitlines()[-1])["history"] == len(
        [item for item in old.history if item != old.history[0]]
    ) + 1  # fmt: skip
    assert main(["recommend", *user]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["outdated"] == ""
