# SPDX-License-Identifier: Apache-2.0
"""P16: tasks beside one model: swapped to and fro bit for bit with one open of the model; what a task recommends."""

from __future__ import annotations

import builtins
import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patches import make_patch, put

from pocketrec.device import Recommender
from pocketrec.device.base.errors import BundleError, DataError
from pocketrec.device.contract.patch import ITEMS_KIND, PROFILE_KIND, Patch
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.engine import runtime

EVENTS = [(f"item {row}", 900.0 + place) for place, row in enumerate((3, 9, 4, 20, 7))]


@pytest.fixture
def tasks(folder: Path) -> Path:
    """The bundle with three tasks, whose patches differ."""
    bundle = open_bundle(folder)
    for seed, name in enumerate(("buys", "likes"), 1):
        put(folder, make_patch(bundle, name, seed=seed))
    put(folder, make_patch(bundle, "band", kind=PROFILE_KIND, seed=3))
    return folder


@pytest.mark.runtime
def test_swapping_to_and_fro_is_bit_equal_with_one_open_of_the_model(
    tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    load = runtime.load_interpreter

    def counted(path: Any, *more: Any) -> Any:
        opened.append(os.fspath(path))
        return load(path, *more)

    monkeypatch.setattr("pocketrec.device.engine.model.load_interpreter", counted)
    recommender = Recommender(tasks, user="u1")
    recommender.add(EVENTS)
    before = recommender.recommend(10, now=1000.0)
    first, second, third = (recommender.task(name) for name in ("buys", "likes", "band"))
    a, b, c = first.recommend(5), second.recommend(5), third.recommend(2)
    own = [task.embed() for task in (first, second, third)]
    for _ in range(2):
        assert (first.recommend(5), second.recommend(5), third.recommend(2)) == (a, b, c)
        assert second.recommend(5) == b
        assert recommender.recommend(10, now=1000.0) == before, "the recommender's own weights are back"
        assert [task.embed().tobytes() for task in (first, second, third)] == [value.tobytes() for value in own]
    assert a != b
    assert len(opened) == 1
    assert recommender.state.weights == {}


@pytest.mark.runtime
def test_a_task_recommends_by_its_own_head_and_the_patched_model(tasks: Path) -> None:
    bundle = open_bundle(tasks)
    patch = make_patch(bundle, "buys", seed=1)
    model = bundle.load_model()
    model.import_weights({**model.export_weights(), **_as_held(patch)})
    window = np.zeros((1, model.window), np.int32)
    rows = bundle.vocabulary.rows([item for item, _ in EVENTS])
    window[0, : len(rows)] = rows
    expected = patch.head() @ model.embed(window)  # (M + 1,)
    recommender = Recommender(tasks)
    task = recommender.task("buys")
    assert [score for _, score in task.recommend(3)] == [1.0, 0.5, pytest.approx(1 / 3)], "no history: by frequency"
    assert [item for item, _ in task.recommend(3)] == list(task.ids[:3])
    recommender.add(EVENTS)
    best = task.recommend(len(task.ids))
    assert [item for item, _ in best] == [task.ids[row] for row in np.argsort(-expected[1:], kind="stable")]
    assert [score for _, score in best] == pytest.approx(sorted(expected[1:], reverse=True), abs=1e-5)
    chosen = task.recommend(9, candidates=[task.ids[4], "nothing", task.ids[1], task.ids[4]])
    assert {item for item, _ in chosen} == {task.ids[4], task.ids[1]}
    seen = {item for item, _ in EVENTS} & set(task.ids)
    assert seen
    masked = task.recommend(len(task.ids), mask_seen=True)
    assert {item for item, _ in masked} == set(task.ids) - seen
    assert sum(value for _, value in recommender.task("band").recommend(5)) == pytest.approx(1, abs=1e-6)
    with pytest.raises(DataError, match="is one string"):
        task.recommend(candidates="item 1")
    with pytest.raises(ValueError, match="at least 1"):
        task.recommend(0)


@pytest.mark.runtime
def test_the_bonus_for_repeats_raises_what_the_history_and_the_task_share(folder: Path) -> None:
    patch = make_patch(open_bundle(folder), "buys", seed=1)
    recipe = dataclasses.replace(patch.recipe, repeats=Repeats(strength=1.0, decay=0.5))
    put(folder, patch)
    put(folder, dataclasses.replace(patch, task="again", recipe=recipe))
    recommender = Recommender(folder)
    recommender.add(EVENTS)
    plain, raised = (dict(recommender.task(name).recommend(99)) for name in ("buys", "again"))
    for age, (item, _) in enumerate(reversed(EVENTS)):
        if item in plain:
            assert raised[item] == pytest.approx(plain[item] + np.log1p(100 * 0.5**age), abs=1e-5)
    for item in plain.keys() - {item for item, _ in EVENTS}:
        assert raised[item] == plain[item]


def test_a_task_that_is_not_there_is_told_with_those_that_are(tasks: Path) -> None:
    recommender = Recommender(tasks)
    with pytest.raises(BundleError, match=r"has no task 'gone' \(it has band, buys, likes\)"):
        recommender.task("gone")
    with pytest.raises(BundleError, match="is not the name of a task"):
        recommender.task("../buys")


@pytest.mark.runtime
def test_packed_and_lean_bundles_have_tasks_too(made: Path, tmp_path: Path) -> None:
    import shutil

    for form in ("packed", "lean"):
        source = made.with_name(f"{made.name}.{form}")
        folder = Path(shutil.copytree(source, tmp_path / form))
        bundle = open_bundle(folder)
        put(folder, make_patch(bundle, "buys", seed=1))
        put(folder, make_patch(bundle, "likes", seed=2))
        recommender = Recommender(folder, user="u1")
        recommender.add([*EVENTS, ("item 55", 990.0)])
        best = recommender.task("buys").recommend(5)
        other = recommender.task("likes").recommend(5)
        assert best != other
        assert recommender.task("buys").recommend(5) == best


def _as_held(patch: Patch) -> dict[str, Any]:
    """The patch's tensors as the file holds them."""
    from pocketrec.device.contract.patch import pack, unpack

    assert patch.kind == ITEMS_KIND
    assert builtins.all(value.dtype == np.float32 for value in patch.tensors.values())
    return unpack(pack(patch)).tensors
