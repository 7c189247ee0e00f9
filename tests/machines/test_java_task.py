# SPDX-License-Identifier: Apache-2.0
"""Java's tasks against Python's: the same patches beside the same model, swapped to and fro, and the same refusals."""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Iterable
from pathlib import Path

import by_java
import pytest
from by_java import JAVA, java
from examples import LONG
from patches import altered, make_patch, put
from publishing import QUICK
from server import Server

from pocketrec.device import Recommender
from pocketrec.device.base.errors import BundleError, PocketRecError
from pocketrec.device.contract.patch import PROFILE_KIND, pack
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.patches import open_patch, patch_path

pytestmark = [pytest.mark.java, pytest.mark.skipif(not JAVA, reason="run by `make test-android`")]


def _pull_tasks(folder: Path, tasks: Iterable[str] = (), *, patience: object = None, older: bool = False) -> list[str]:
    """`pocketrec.device.delivery.tasks.pull_tasks`, by Java."""
    found: list[str] = java().call("pull_tasks", str(folder), list(tasks), older)
    return found


def _get(site: Server | str, here: object, **options: object) -> object:
    """`publishing.get`, by Java."""
    url = site if isinstance(site, str) else site.url
    return by_java.pull(url, here, **{"patience": QUICK, **options})  # type: ignore[arg-type]


for _file, _left_out in {
    "device/conftest.py": set[str](),
    "device/delivery/conftest.py": set(),
    # Left out: the command line, and checks by Python alone.
    "device/delivery/test_pull_tasks.py": {
        "test_the_command_pulls_tasks_and_tells_what_is_not_offered_in_one_line",
        "test_a_patch_of_another_model_or_task_is_refused",
        "test_altered_in_a_thousand_ways_it_is_refused_in_one_line",
    },
}.items():
    globals().update(by_java.cases(_file, {"pull_tasks": _pull_tasks, "get": _get}, _left_out))
NOW = 2000.0


@pytest.mark.parametrize("form", ["", ".packed", ".lean", ".tasks"])
def test_java_says_of_tasks_what_python_says(made: Path, tmp_path: Path, form: str) -> None:
    source = made.with_name(made.name + form)
    if not source.exists():
        pytest.skip("the ready bundle is of before there were tasks: make it again (tests/make_bundle.py)")
    folder = Path(shutil.copytree(source, tmp_path / "bundle"))
    bundle = open_bundle(folder)
    patch = make_patch(bundle, "buys", seed=1)
    recipe = dataclasses.replace(patch.recipe, repeats=Repeats(0.7, 0.8))
    for one in (patch, dataclasses.replace(make_patch(bundle, "likes", seed=2), recipe=recipe),
                make_patch(bundle, "band", kind=PROFILE_KIND, seed=3)):  # fmt: skip
        put(folder, one)
    events = [(f"item {row}", 900.0 + place) for place, row in enumerate((3, 9, 4, 20, 7, 3))]
    recommender = Recommender(folder, user="u1")
    opened = java().call("open", str(folder), "u1", None, None)
    empty = java().call("task", opened, "buys", 3, None, False, NOW)
    assert [tuple(one) for one in empty] == recommender.task("buys").recommend(3)
    recommender.add(events)
    java().call("add", opened, [[item, time] for item, time in events])
    plain = java().call("recommend", opened, 9, None, None, NOW)
    for _ in range(2):
        for name, masked in (("buys", False), ("likes", True), ("band", False), ("buys", True)):
            expected = recommender.task(name).recommend(99, mask_seen=masked, now=NOW)
            found = java().call("task", opened, name, 99, None, masked, NOW)
            assert [item for item, _ in found] == [item for item, _ in expected]
            assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=2e-5)
        assert java().call("recommend", opened, 9, None, None, NOW) == plain, "the recommender's own weights are back"
    some = java().call("task", opened, "likes", 9, [patch.ids[0], "new 1", "nothing"], False, NOW)
    expected = recommender.task("likes").recommend(9, [patch.ids[0], "new 1", "nothing"], now=NOW)
    assert [item for item, _ in some] == [item for item, _ in expected]


def test_java_refuses_what_python_refuses(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "bundle"))
    bundle = open_bundle(folder)
    patch = make_patch(bundle, "buys", seed=1)
    opened = java().call("open", str(folder), "u1", None, None)
    content = pack(patch)
    cases = [
        (content[:-9], "its checksum does not match"),
        (content[:99], "cut short|cannot be used"),
        (pack(dataclasses.replace(patch, model="0" * 64)), "belongs to another model"),
        (pack(dataclasses.replace(patch, task="likes")), "is of task 'likes' and not 'buys'"),
        (pack(dataclasses.replace(patch, tensors=dict(list(patch.tensors.items())[1:]))), "other tensors"),
    ]
    with pytest.raises(BundleError, match=r"has no task 'buys' \(it has none\)"):
        java().call("task", opened, "buys", 3, None, False, NOW)
    patch_path(folder, "buys").parent.mkdir()
    for wrong, message in cases:
        patch_path(folder, "buys").write_bytes(wrong)
        with pytest.raises(BundleError, match=message):
            java().call("task", opened, "buys", 3, None, False, NOW)
    with pytest.raises(BundleError, match="is not the name of a task"):
        java().call("task", opened, "../buys", 3, None, False, NOW)


@pytest.mark.scaled
def test_java_refuses_altered_patches_in_one_line(made: Path, tmp_path: Path) -> None:
    """Those of `test_altered_in_a_thousand_ways_it_is_refused_in_one_line`: what Python refuses Java does, too."""
    folder = Path(shutil.copytree(made, tmp_path / "bundle"))
    bundle = open_bundle(folder)
    path = put(folder, make_patch(bundle, "buys", seed=1))
    content = path.read_bytes()
    opened = java().call("open", str(folder), "u1", None, None)
    java().call("add", opened, [["item 3", 900.0]])
    drawn, taken, count = random.Random(1), 0, 1000 if LONG else 50
    for number in range(count):
        path.write_bytes(altered(content, drawn, number))
        told = python = ""
        try:
            open_patch(bundle, "buys")
        except PocketRecError as error:
            python = str(error)
        try:
            java().call("task", opened, "buys", 3, None, False, NOW)
        except PocketRecError as error:
            told = str(error)
        assert "\n" not in told
        assert told or not python, (number, python)
        taken += not told
    assert 0 < taken < count / 2
