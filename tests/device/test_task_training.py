# SPDX-License-Identifier: Apache-2.0
"""A personal patch on a shared one: guard and blends go to the patch, states are bound to it, nothing else moves."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from patches import make_patch, put

from pocketrec import cli
from pocketrec.device import Recommender
from pocketrec.device.base.errors import BundleError, ConfigError
from pocketrec.device.contract.patch import PROFILE_KIND
from pocketrec.device.contract.recipe import GuardRecipe, Line, Prior, Recipe
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.personal.options import TrainingOptions
from pocketrec.device.personal.task_training import batch_of, judge_task
from pocketrec.device.state.task_state import task_file, task_files

pytestmark = pytest.mark.runtime
HISTORY = [(f"item {row % 7 + 1}", 1000.0 + 10 * row) for row in range(20)]
CHOOSE = {name: GuardRecipe(prior={choice: Prior(Line(float(choice == name))) for choice in ("personal", "blend")})
          for name in ("personal", "blend")}  # fmt: skip


def recipe(choice: str = "personal", **more: object) -> Recipe:
    return dataclasses.replace(Recipe(way="patch", learning_rate=0.05, passes=6, guard=CHOOSE[choice]), **more)  # type: ignore[arg-type]


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A bundle that trains tasks, with two tasks of items and a profile."""
    source = made.with_name(made.name + ".tasks")
    if not source.exists():
        pytest.skip("the ready bundle is of before there were tasks: make it again (tests/make_bundle.py)")
    copy = Path(shutil.copytree(source, tmp_path / "bundle"))
    bundle = open_bundle(copy)
    for seed, (name, choice) in enumerate((("buys", "personal"), ("likes", "blend")), 1):
        put(copy, dataclasses.replace(make_patch(bundle, name, seed=seed), recipe=recipe(choice)))
    put(copy, make_patch(bundle, "band", kind=PROFILE_KIND, seed=3))
    return copy


def asked(folder: Path, state: Path | None = None) -> Recommender:
    recommender = Recommender(folder, user="u1", state=state)
    recommender.add(HISTORY)
    return recommender


def test_a_personal_patch_raises_what_the_user_does_and_touches_nothing_else(folder: Path) -> None:
    recommender = asked(folder)
    buys, likes = recommender.task("buys"), recommender.task("likes")
    wanted = buys.ids[-1]
    before = {item: place for place, (item, _) in enumerate(buys.recommend(99))}
    others = recommender.recommend(9, now=2000.0), likes.recommend(9)
    seen = []
    report = buys.personalise([(wanted, 1005.0 + 20 * number) for number in range(9)],
                              progress=lambda done, total, note="": seen.append((done, total)))  # fmt: skip
    assert (report.choice, report.events, report.heldback) == ("personal", 9, 3)
    assert report.losses[-1] < report.losses[0]
    assert seen[-1][0] == seen[-1][1] == report.steps
    after = {item: place for place, (item, _) in enumerate(buys.recommend(99))}
    assert after[wanted] < before[wanted]
    assert (recommender.recommend(9, now=2000.0), likes.recommend(9)) == others
    assert recommender.state.weights == {}
    assert buys.choice == "personal"
    again = asked(folder).task("buys")
    assert again.personalise([(wanted, 1005.0 + 20 * number) for number in range(9)]).losses == report.losses
    assert again.recommend(99) == buys.recommend(99), "equal input, equal bits"


def test_a_blend_lies_between_the_shared_patch_and_the_personal_one(folder: Path) -> None:
    recommender = asked(folder)
    likes = recommender.task("likes")
    events = [(likes.ids[number % 3], 1005.0 + 20 * number) for number in range(9)]
    report = likes.personalise(events)
    assert report.choice == "blend"
    patch = dataclasses.replace(likes.patch, recipe=recipe("personal"))
    put(folder, patch)
    personal = asked(folder).task("likes")
    assert personal.personalise(events).choice == "personal"
    for name, shared in patch.tensors.items():
        whole = personal.state.weights[name]
        assert not np.array_equal(whole, shared)
        middle = (shared + np.float32(0.5) * (whole - shared)).astype(np.float32)
        assert np.array_equal(likes.state.weights[name], middle)


def test_the_guard_says_so_where_nothing_is_gained(folder: Path) -> None:
    put(folder, dataclasses.replace(make_patch(open_bundle(folder), "buys"), recipe=recipe(personalise=False)))
    recommender = asked(folder)
    buys = recommender.task("buys")
    before = buys.recommend(9)
    report = buys.personalise([(buys.ids[0], 1100.0)] * 2)
    assert report.choice == "global"
    assert report.reason == "the rehearsal found no training that gains enough at little harm"
    assert buys.recommend(9) == before
    put(folder, dataclasses.replace(make_patch(open_bundle(folder), "buys"), recipe=recipe(guard=GuardRecipe(
        prior={name: Prior(Line(-1.0)) for name in ("personal", "blend")}))))  # fmt: skip
    buys = asked(folder).task("buys")
    report = buys.personalise([(buys.ids[0], 1005.0 + number) for number in range(9)])
    assert (report.choice, report.losses) == ("global", [])
    assert report.expected_gain["personal"] < 0
    assert buys.recommend(9) == before


def test_the_guard_compares_with_the_shared_patch(folder: Path) -> None:
    recommender = asked(folder)
    buys = recommender.task("buys")
    buys.add([(buys.ids[-1], 1005.0 + 20 * number) for number in range(9)])
    examples, model = buys._examples(), recommender.model
    reference = dict(buys._reference())
    judgement = judge_task(model, buys.patch, examples, reference)
    assert judgement.heldback == 3
    assert judgement.observed["personal"].loglik > 0
    none = judge_task(model, buys.patch, examples, reference, TrainingOptions(passes=0))
    assert {seen.loglik for seen in none.observed.values()} == {0.0}


def test_a_large_head_is_compared_with_drawn_negatives_and_never_with_a_target_twice(folder: Path) -> None:
    bundle = open_bundle(folder)
    put(folder, dataclasses.replace(make_patch(bundle, "large", items=400), recipe=recipe()))
    large = asked(folder).task("large")
    large.add([(large.ids[number % 5], 1005.0 + 10 * number) for number in range(12)])
    model, examples = large._session.serving.model(), large._examples()
    batch = batch_of(model, large.patch, examples, np.arange(3), 7)
    assert batch.wanted.sum(axis=1).tolist() == [1, 1, 1, 0]
    head = large.patch.head()
    for place in range(3):
        row = int(batch.wanted[place].argmax())
        assert np.array_equal(batch.head[row], head[examples.targets[place]])
        same = (batch.head == batch.head[row]).all(axis=1) & (batch.biases > -1)
        assert same.sum() == 1
    assert large.personalise().losses


def test_a_state_is_of_its_patch(folder: Path, tmp_path: Path) -> None:
    state = tmp_path / "u1.state"
    recommender = asked(folder, state)
    buys = recommender.task("buys")
    buys.personalise([(buys.ids[-1], 1005.0 + 20 * number) for number in range(9)])
    recommender.save()
    assert buys.save() == task_file(state, "buys")
    best = buys.recommend(9)
    again = Recommender(folder, user="u1", state=state)
    assert (again.task("buys").recommend(9), again.task("buys").choice) == (best, "personal")
    assert again.task("likes").choice == "global"
    patch = make_patch(open_bundle(folder), "buys", seed=1)
    fewer = dataclasses.replace(make_patch(open_bundle(folder), "buys", seed=8), ids=(*patch.ids[:-1], "other"),
                                recipe=recipe())  # fmt: skip
    put(folder, fewer)
    other = again.task("buys")
    assert other.outdated == "it was of another patch; 0 events were carried over by item id"
    assert other.choice == "global"
    put(folder, dataclasses.replace(patch, settings={"seed": "another"}, recipe=recipe()))
    other = again.task("buys")
    assert other.outdated == "it was of another patch; 9 events were carried over by item id"
    assert other.personalise().losses


def test_what_is_forgotten_goes_from_tasks_too(folder: Path, tmp_path: Path) -> None:
    state = tmp_path / "u1.state"
    recommender = asked(folder, state)
    buys, likes = recommender.task("buys"), recommender.task("likes")
    buys.personalise([(buys.ids[number % 2], 1005.0 + 20 * number) for number in range(9)])
    likes.personalise([(likes.ids[-1], 1005.0 + 20 * number) for number in range(9)])
    for one in (recommender, buys, likes):
        one.save()
    assert recommender.forget([buys.ids[0]]) >= 5
    assert (buys.choice, len(buys)) == ("personal", 9), "as it was, until it is asked"
    buys.recommend(3)
    assert (buys.choice, len(buys)) == ("global", 4)
    assert not list(tmp_path.glob("*.previous"))
    assert likes.recommend(3)
    assert (likes.choice, len(likes)) == ("global", 9), "what was forgotten was its context"
    for file in task_files(state):
        assert b"weights/" not in file.read_bytes()
    deleted = recommender.wipe()
    assert set(deleted) >= {task_file(state, "buys"), task_file(state, "likes")}
    assert list(tmp_path.glob("u1*")) == []


def test_what_cannot_be_learned_is_one_line(folder: Path, made: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tells a class, and has no events"):
        asked(folder).task("band").personalise(["item 1"])
    plain = Path(shutil.copytree(made, tmp_path / "plain"))
    put(plain, dataclasses.replace(make_patch(open_bundle(plain), "buys"), recipe=recipe()))
    task = asked(plain).task("buys")
    with pytest.raises(BundleError, match="the bundle's model trains no tasks"):
        task.personalise([(task.ids[0], 1100.0)])


def test_the_commands(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = make_patch(open_bundle(folder), "buys").ids
    pages, buys = tmp_path / "pages.csv", tmp_path / "buys.csv"
    pages.write_text("item,timestamp\n" + "".join(f"{item},{time}\n" for item, time in HISTORY))
    buys.write_text("item,timestamp\n" + "".join(f"{ids[-1]},{1005 + 20 * number}\n" for number in range(9)))
    common = ["--bundle", str(folder), "--user", "u1"]
    assert cli.main(["record", *common, "--events", str(pages)]) == 0
    capsys.readouterr()
    assert cli.main(["recommend", *common, "--task", "buys", "-k", "3"]) == 0
    before = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (before["task"], before["weights"], len(before["items"])) == ("buys", "global", 3)
    assert cli.main(["personalise", *common, "--task", "buys", "--events", str(buys)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["task"], told["choice"], told["history"]) == ("buys", "personal", 9)
    assert cli.main(["recommend", *common, "--task", "buys", "-k", "3"]) == 0
    after = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert after["weights"] == "personal"
    assert after["scores"] != before["scores"]
    assert cli.main(["recommend", *common, "--task", "gone"]) == 2
    assert "has no task 'gone' (it has band, buys, likes)" in capsys.readouterr().err
    assert cli.main(["personalise", *common, "--task", "band", "--events", str(buys)]) == 2
    assert "tells a class" in capsys.readouterr().err
    assert cli.main(["personalise", *common, "--task", "buys", "--resume"]) == 2
    assert cli.main(["wipe", *common]) == 0
    assert "task-buys" in capsys.readouterr().out
