# SPDX-License-Identifier: Apache-2.0
"""Java's search of the whole catalogue, its filters and titles, by the tests of Python's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import by_java
import numpy as np
import pytest
from by_java import JAVA
from java_recommender import JavaRecommender
from loyal import loyal
from neighbouring import ring, with_file

from pocketrec.device import Recommender
from pocketrec.device.base.errors import DataError
from pocketrec.device.contract.lists import Lists
from pocketrec.device.contract.names import RECIPE_FILE
from pocketrec.device.contract.recipe import CHOICES, GuardRecipe, Line, Prior, Recipe, Signal
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.contract.titles import TITLES_FILE, titles_file
from pocketrec.device.delivery.bundle import Bundle, open_bundle

pytestmark = [pytest.mark.java, pytest.mark.skipif(not JAVA, reason="run by `make test-android`")]
globals().update(by_java.cases("device/conftest.py", {}, ()))
globals().update(by_java.cases("device/test_recommender_catalogue.py", {"Recommender": JavaRecommender}, {
    # Left out: the command line, checks of Python's types, calls of Python's model, and a line of Python's bundle.
    "test_the_command_line_filters_and_searches",
    "test_no_candidate_file_is_opened_and_nothing_is_sent",
    "test_what_cannot_be_is_one_line",
    "test_what_is_found_is_ordered_by_the_ranker_which_the_device_trains",
    "test_an_index_is_looked_into_and_a_damaged_one_is_left_aside_with_a_line",
}))  # fmt: skip

EVENTS = [(f"item {row}", 1000.0 + place) for place, row in enumerate(loyal(9))]


def same(folder: Path | Bundle, **options: object) -> list[str]:
    """Items that both recommend after `EVENTS`, with equal scores."""
    found = []
    for kind in (Recommender, JavaRecommender):
        recommender = kind(folder, user="u3")  # type: ignore[operator]
        recommender.add(EVENTS)
        found.append(recommender.recommend(20, now=5000.0, **options))
        recommender.close()
    assert [item for item, _ in found[0]] == [item for item, _ in found[1]]
    np.testing.assert_allclose([score for _, score in found[0]], [score for _, score in found[1]], atol=1e-5)
    return [item for item, _ in found[0]]


def test_what_cannot_be_searched_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"export it with export\.retrieve above 0"):
        JavaRecommender(folder).recommend(retrieve=True)


def test_candidates_are_ranked_where_the_catalogue_is_not_wanted(whole: Bundle) -> None:
    assert same(whole, retrieve=False) != same(whole)


def test_what_the_neighbours_raise_most_is_ranked_too(whole: Bundle) -> None:
    """Twenty-five items of either; the ring's neighbours of the history are among the best, found or not."""
    before = same(whole)
    with_file(whole.folder, ring(60, 9.0).to_bytes())
    assert same(whole.folder) != before


def test_a_ranker_of_its_own_orders_what_is_found(made: Path) -> None:
    same(made.with_name(made.name + ".ranked"))


@pytest.mark.parametrize("strength", [0.0, 1.5])
def test_the_ranker_is_trained_and_judged_as_in_python(made: Path, tmp_path: Path, strength: float) -> None:
    """Steps over user embeddings, the guard's signals by both stages, the weights, and a training that goes on."""
    folder = shutil.copytree(made.with_name(made.name + ".ranked"), tmp_path / "ranked")
    if "positions" not in open_bundle(folder).manifest.model:
        pytest.skip("the ready bundle is of before steps took user embeddings: make it again (tests/make_bundle.py)")
    prior = Prior(Line(0.1), Signal(weight=0.1), Signal(weight=0.3))
    recipe = Recipe(way="ranker", learning_rate=0.1, passes=3, proximal=0.05, minimum_events=2, replay=0.5,
                    targets="all", guard=GuardRecipe(prior=dict.fromkeys(CHOICES, prior)),
                    repeats=Repeats(strength, 1.0, 0.5))  # fmt: skip
    with_file(folder, json.dumps(recipe.to_dict()).encode(), RECIPE_FILE)
    events = [(f"item {row}", 1000.0 + place) for place, row in enumerate(loyal(60))]
    python, java = (kind(folder, user="u3") for kind in (Recommender, JavaRecommender))
    for resume, part in ((False, events[:40]), (True, events[40:])):
        ours, theirs = python.personalise(part, resume=resume).to_dict(), java.personalise(part, resume=resume)
        np.testing.assert_allclose(ours["losses"], theirs["losses"], rtol=1e-4)
        assert (ours["choice"], ours["steps"], len(ours["losses"])) == (theirs["choice"], theirs["steps"], 3)
        assert theirs["expected_gain"] == pytest.approx(ours["expected_gain"], abs=1e-4)
        assert len(set(ours["expected_gain"].values())) == len(CHOICES), "what was seen counts"
        weights = java.weights()
        for name, value in python.model.export_weights().items():
            np.testing.assert_allclose(weights[name], value.ravel(), atol=2e-4)
    mine, other = (dict(one.recommend(20, now=5000.0)) for one in (python, java))
    assert mine.keys() == other.keys()
    np.testing.assert_allclose([mine[item] for item in mine], [other[item] for item in mine], atol=1e-3)


@pytest.mark.parametrize("copied", [True, False])
def test_an_index_is_searched_as_python_does(whole: Bundle, tmp_path: Path, copied: bool) -> None:
    numbers, scales = whole.item_scan().stored()
    drawn = np.random.default_rng(4)
    rows = drawn.permutation(60) + 1
    centroids = drawn.normal(size=(6, numbers.shape[1])).astype(np.float16)
    copy = (scales[rows], numbers[rows]) if copied else ()
    lists = Lists(centroids, np.arange(0, 61, 10, dtype=np.uint32), rows.astype(np.uint32),
                  np.full(6, 100, np.float16), *copy).dump()  # fmt: skip
    with_lists = by_java.module_of("device/test_recommender_catalogue.py").with_lists
    found = {probes: same(with_lists(whole, tmp_path / f"p{probes}", lists, probes)) for probes in (0, 1, 3, 6)}
    assert found[6] == same(whole)
    assert found[1] != found[6], "few lists find other items"
    for number, damaged in enumerate((lists[:-1], lists[:9], b"", lists[:40] + b"\xff\xff" + lists[42:])):
        assert same(with_lists(whole, tmp_path / f"d{number}", damaged, 1)) == found[6]


def test_titles_are_those_of_the_file(folder: Path) -> None:
    recommender = JavaRecommender(folder, user="u1")
    assert recommender.titles(["item 1", "item 2"]) == ["", ""], "the bundle brings none"
    with_file(folder, titles_file([f"Tîtle {row}" if row % 2 else "" for row in range(1, 61)]), TITLES_FILE)
    wanted = ["item 3", "item 4", "no such item", "item 59"]
    assert JavaRecommender(folder, user="u1").titles(wanted) == ["Tîtle 3", "", "", "Tîtle 59"]
    assert Recommender(folder, user="u1").titles(wanted) == ["Tîtle 3", "", "", "Tîtle 59"]
