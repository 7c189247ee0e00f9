# SPDX-License-Identifier: Apache-2.0
"""The recommender as an application uses it."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loyal import loyal

from pocketrec.device import Recommender
from pocketrec.device.base.errors import DataError, StateError
from pocketrec.device.contract.recipe import GuardRecipe, Line, Prior
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.delivery.bundle import Bundle
from pocketrec.device.personal.guard import PERSONAL, events_to_learn
from pocketrec.device.personal.served import served_set
from pocketrec.device.personal.windows import context
from pocketrec.device.state.file import previous_of
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.write import write_bundle_files

pytestmark = pytest.mark.runtime

DOCS = Path(__file__).parents[2] / "docs" / "device.md"


def events(rows: np.ndarray, start: float = 1000) -> list[tuple[str, float | None]]:
    return [(f"item {row}", start + place) for place, row in enumerate(rows)]


def with_recipe(bundle: Bundle, **changes: object) -> Bundle:
    bundle.recipe = dataclasses.replace(bundle.recipe, **changes)
    return bundle


def weights(recommender: Recommender) -> dict[str, np.ndarray]:
    return recommender.model.export_weights()


def equal(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.feature("D15")
def test_scores_are_inner_products_and_the_order_is_numpys(bundle: Bundle, table: np.ndarray) -> None:
    recommender = Recommender(bundle, user="u3")
    recommender.personalise(events(loyal(30)))
    assert recommender.report["choice"] == "personal"
    candidates = bundle.candidates_of("u3")
    assert candidates is not None
    assert len(candidates) == 25  # more than one call of ten scores
    own = bundle.vocabulary.rows(recommender.history)
    candidates = served_set(candidates, own)
    assert set(own) < set(candidates)
    scores = table[candidates] @ recommender.embed()
    best = recommender.recommend(60)
    expected = candidates[np.argsort(-scores, kind="stable")]
    assert [item for item, _ in best] == bundle.vocabulary.ids(expected.tolist())
    np.testing.assert_allclose([score for _, score in best], np.sort(scores)[::-1], atol=1e-5)
    assert recommender.recommend(3) == best[:3]


def test_personal_weights_move_the_users_items_up(bundle: Bundle) -> None:
    everything = bundle.vocabulary.ids(range(1, 61))
    recommender = Recommender(bundle, user="u3")
    recommender.add(events(loyal(30)))
    places = [[item for item, _ in recommender.recommend(60, everything)].index("item 9")]
    recommender.personalise(passes=30)
    places.append([item for item, _ in recommender.recommend(60, everything)].index("item 9"))
    assert places[1] < places[0]
    assert places[1] < 3


def test_ties_go_to_the_more_popular_item(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    recommender = Recommender(bundle)
    recommender.add(["item 1"])
    monkeypatch.setattr(recommender.model, "infer", lambda items, candidates: np.zeros(10, np.float32))
    best = recommender.recommend(3, ["item 30", "item 4", "item 20", "item 4", "unknown"])
    assert best == [("item 4", 0.0), ("item 20", 0.0), ("item 30", 0.0)]


def test_users_without_candidates_get_popular_items_in_order(bundle: Bundle) -> None:
    assert Recommender(bundle, user="nobody").recommend(2) == [("item 1", 1.0), ("item 2", 0.5)]
    assert Recommender(bundle).recommend(1) == [("item 1", 1.0)]
    assert not Recommender(bundle, user="nobody").is_known()
    assert Recommender(bundle, user="u1").is_known()
    known = bundle.candidates_of("u1")
    assert known is not None
    assert Recommender(bundle, user="u1").recommend(1)[0][0] == bundle.vocabulary.ids([int(known[0])])[0]


def test_seen_items_are_masked_where_asked_or_where_the_manifest_says(bundle: Bundle) -> None:
    recommender = Recommender(bundle)
    recommender.add(["item 1", "item 2"])
    assert {"item 1", "item 2"} <= {item for item, _ in recommender.recommend(25)}
    masked = [item for item, _ in recommender.recommend(25, mask_seen=True)]
    assert len(masked) == 23
    assert not {"item 1", "item 2"} & set(masked)
    bundle.manifest = dataclasses.replace(bundle.manifest, mask_seen=True)
    assert [item for item, _ in recommender.recommend(25)] == masked
    assert recommender.recommend(5, ["item 1"]) == []


def test_history_repeats_unknown_items_and_order(bundle: Bundle) -> None:
    recommender = Recommender(bundle)
    assert recommender.add([("item 2", 20), ("item 1", 10), ("strange", 15), ("item 2", 20)]) == 1
    assert recommender.history == ["item 1", "item 2", "item 2"]
    recommender.add([("item 2", 20), ("item 2", 21), ("item 3", 5)])
    assert recommender.history == ["item 3", "item 1", "item 2", "item 2", "item 2"]
    recommender.add(["item 9", "item 9"])  # without times: new, and the latest
    assert recommender.history[-2:] == ["item 9", "item 9"]
    assert len(recommender) == 7
    with pytest.raises(DataError):
        recommender.add([3])  # type: ignore[list-item]


def test_own_items_join_the_candidates_the_latest_first() -> None:
    candidates = np.array([5, 3, 9, 0], np.int32)
    rows = np.array([7, 3, 0, 8, 7, 5], np.int32)
    assert served_set(candidates, rows).tolist() == [5, 3, 9, 7, 8]
    assert served_set(candidates, rows, mask_seen=True).tolist() == [9]
    assert served_set(candidates, rows[:0]).tolist() == [5, 3, 9]
    assert served_set(candidates[:0], rows).dtype == np.int32


@pytest.mark.parametrize("user", ["u3", "nobody", None])
def test_what_a_user_comes_back_to_can_be_recommended(bundle: Bundle, user: str | None) -> None:
    recommender = Recommender(with_recipe(bundle, repeats=Repeats(100.0), guard=GuardRecipe(enabled=False)), user=user)
    own = None if user is None else bundle.candidates_of(user)
    rows = set((bundle.popular() if own is None else own).tolist())
    outside = [f"item {row}" for row in range(1, 60) if row not in rows][:3]
    recommender.personalise([(item, 1000 + place) for place, item in enumerate(outside * 10)])
    assert recommender.report["choice"] == PERSONAL
    assert {item for item, _ in recommender.recommend(3)} == set(outside)
    assert len(recommender.recommend(60)) == 28
    assert len(recommender.recommend(60, mask_seen=True)) == 25
    assert recommender.recommend(60, outside[:1])[0][0] == outside[0]


def test_equal_events_count_as_often_as_they_are_known(bundle: Bundle) -> None:
    recommender = Recommender(bundle)
    recommender.add([("item 1", 10), ("item 1", 10)])
    recommender.add([("item 1", 10)])
    assert recommender.history == ["item 1"] * 2
    recommender.add([("item 1", 10)] * 3)
    assert recommender.history == ["item 1"] * 3
    recommender.personalise([("item 1", 10)] * 3)
    assert recommender.history == ["item 1"] * 3


@pytest.mark.parametrize("seed", range(10))
def test_batches_that_overlap_give_the_history_of_one_go(bundle: Bundle, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, 12, 40))
    log = [(f"item {row}", float(time)) for row, time in zip(rng.integers(1, 5, 40), times, strict=True)]
    whole = Recommender(bundle)
    whole.add(log)
    assert len(whole) == 40
    parts = Recommender(bundle)
    first, second = sorted(rng.integers(0, 13, 2))
    parts.add([event for event in log if event[1] < second])
    parts.add([event for event in log if event[1] >= first])
    parts.add(log)
    assert parts.history == whole.history


def test_events_to_learn_leave_out_what_is_only_context() -> None:
    assert [events_to_learn(np.arange(5), since) for since in (0, 1, 2, 5, 9)] == [4, 4, 3, 0, 0]
    assert events_to_learn([], 0) == 0


def test_without_a_cut_off_the_number_of_known_events_tells_what_is_new(bundle: Bundle, tmp_path: Path) -> None:
    write_bundle_files(
        tmp_path / "by number", BundleContent(
            model_file=bundle.model_path.read_bytes(),
        items=bundle.vocabulary.ids(range(1, 61)), recipe=bundle.recipe, card="", model=bundle.manifest.model,
        tensors=bundle.manifest.tensors, candidates=(["u1"], np.arange(1, 26)[None]), known=np.array([12]),
    ))  # fmt: skip
    learned = {}
    for user in ("u1", "nobody", None):
        recommender = Recommender(tmp_path / "by number", user=user)
        assert recommender.personalise(events(loyal(10), start=0)).events == (0 if user == "u1" else 9)
        learned[user] = recommender.personalise(events(loyal(30), start=0)).events
    assert learned == {"u1": 18, "nobody": 29, None: 29}
    kept = Recommender(tmp_path / "by number", user="u1", store=tmp_path / "e")
    assert kept.personalise(events(loyal(30), start=0)).events == 18
    assert kept.store is not None
    kept.store.retain(events=22)  # eight of the twelve go
    again = Recommender(tmp_path / "by number", user="u1", store=tmp_path / "e")
    assert (len(again), again.personalise().events) == (22, 18)


@pytest.mark.parametrize(
    ("given", "learned", "reason"),
    [
        ([], 0, "there is no event to learn from"),
        ([("item 1", 2000)], 0, "there is no event to learn from"),
        ([("unknown", 2000)], 0, "there is no event to learn from"),
        (events(loyal(20), start=10), 0, "there is no event to learn from"),  # all before the cut-off
        ([("item 1", 10), ("item 2", 2000)], 1, "fewer events than the recipe's minimum of 2"),
    ],
)
@pytest.mark.feature("N3")
def test_too_little_to_learn_is_a_no_op(
    bundle: Bundle, given: list[tuple[str, float | None]], learned: int, reason: str
) -> None:
    recommender = Recommender(bundle, user="u1")
    before = weights(recommender)
    report = recommender.personalise(given)
    assert (report.choice, report.events, report.reason, report.steps) == ("global", learned, reason, 0)
    assert equal(weights(recommender), before)
    assert len(recommender.recommend(5)) == 5


@pytest.mark.feature("N3")
def test_one_event_after_the_cut_off_is_learned_where_the_recipe_allows_it(bundle: Bundle) -> None:
    hopeful = GuardRecipe(prior={PERSONAL: Prior(gain=Line(0.01))})
    recommender = Recommender(with_recipe(bundle, minimum_events=1, guard=hopeful))
    report = recommender.personalise([("item 1", 10), ("item 2", 2000)])
    assert (report.choice, report.events, report.heldback, report.steps) == ("personal", 1, 0, 4)


def test_recipe_without_personal_training_leaves_the_model_alone(bundle: Bundle) -> None:
    recommender = Recommender(with_recipe(bundle, personalise=False))
    report = recommender.personalise(events(loyal(30)))
    assert report.choice == "global"
    assert "rehearsal found no training" in report.reason
    assert len(recommender) == 30


def test_blend_lies_half_way(bundle: Bundle) -> None:
    guard = GuardRecipe(prior={"blend": Prior(gain=Line(9.0)), PERSONAL: Prior(gain=Line(8.0))})
    blended = Recommender(with_recipe(bundle, guard=guard))
    start = weights(blended)
    assert blended.personalise(events(loyal(30))).choice == "blend"
    naive = Recommender(with_recipe(bundle, guard=GuardRecipe(enabled=False)))
    assert naive.personalise(events(loyal(30))).choice == "personal"
    full, half = weights(naive), weights(blended)
    for name, value in start.items():
        np.testing.assert_allclose(half[name], (value + full[name]) / 2, rtol=1e-5, atol=1e-7)


def test_personalise_starts_from_the_global_weights_each_time(bundle: Bundle) -> None:
    recommender = Recommender(bundle)
    recommender.personalise(events(loyal(30)))
    first = weights(recommender)
    report = recommender.personalise()
    assert equal(weights(recommender), first)
    assert report.steps == recommender.report["steps"] > 0


@pytest.mark.parametrize("guard", [True, False])
@pytest.mark.feature("D21")
def test_saved_killed_restored_and_continued_equals_uninterrupted(folder: Path, tmp_path: Path, guard: bool) -> None:
    recipe = json.loads((folder / "recipe.json").read_bytes())
    first, second = events(loyal(30)), events(loyal(25, seed=1), start=2000)
    path = tmp_path / "u.state"

    def opened(state: Path | None) -> Recommender:
        recommender = Recommender(folder, user="u1", state=state)
        with_recipe(recommender.bundle, guard=GuardRecipe(enabled=guard), passes=recipe["passes"])
        return recommender

    whole = opened(None)
    whole.personalise(first)
    after_first = weights(whole)
    report = whole.personalise(second, resume=True)
    assert report.choice == "personal"
    assert report.events == 25

    interrupted = opened(path)
    interrupted.personalise(first)
    interrupted.save()
    del interrupted
    restored = opened(path)
    assert equal(weights(restored), after_first)  # optimiser slots included
    restored.personalise(second, resume=True)
    assert equal(weights(restored), weights(whole))
    assert not equal(weights(restored), after_first)
    assert restored.report == whole.report
    assert restored.recommend(10) == whole.recommend(10)


def test_passes_can_be_split_by_a_restart(folder: Path, tmp_path: Path) -> None:
    off = GuardRecipe(enabled=False)
    whole = Recommender(folder)
    with_recipe(whole.bundle, guard=off)
    whole.personalise(events(loyal(30)), passes=6)
    part = Recommender(folder, state=tmp_path / "s")
    with_recipe(part.bundle, guard=off)
    part.personalise(events(loyal(30)), passes=2)
    part.save()
    part = Recommender(folder, state=tmp_path / "s")
    with_recipe(part.bundle, guard=off)
    report = part.personalise(resume=True, passes=4)
    assert equal(weights(part), weights(whole))
    assert report.steps == whole.report["steps"]


def test_resume_with_events_already_known_changes_nothing(bundle: Bundle) -> None:
    recommender = Recommender(bundle)
    recommender.personalise(events(loyal(30)))
    before = weights(recommender)
    report = recommender.personalise(events(loyal(30)), resume=True)
    assert (report.choice, report.reason) == ("personal", "there is no event to learn from")
    assert equal(weights(recommender), before)


def test_states_of_other_users_and_damaged_ones_are_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "s"
    recommender = Recommender(folder, user="u1", state=path)
    recommender.personalise(events(loyal(30)))
    recommender.save()
    recommender.save()
    with pytest.raises(StateError, match="is the state of user u1"):
        Recommender(folder, user="u2", state=path)
    assert Recommender(folder, state=path).user == "u1"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StateError, match="pocketrec state restore"):
        Recommender(folder, user="u1", state=path)
    before = weights(recommender)
    with pytest.raises(StateError):
        recommender.load()
    assert equal(weights(recommender), before)
    recommender.load(previous_of(path))
    recommender.reset()
    assert (len(recommender), recommender.report) == (0, {})
    assert not equal(weights(recommender), before)
    with pytest.raises(StateError, match="no state file was named"):
        Recommender(folder).save()


def test_no_history_embeds_the_empty_window(bundle: Bundle) -> None:
    recommender = Recommender(bundle)
    expected = recommender.model.embed(context(np.zeros(0, np.int32), recommender.model.window))
    np.testing.assert_array_equal(recommender.embed(), expected)


def test_wrong_arguments(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="k must be at least 1"):
        Recommender(bundle).recommend(0)
    with pytest.raises(DataError, match="give a list"):
        Recommender(bundle).recommend(1, "item 1")


def test_the_examples_in_the_documentation_run(folder: Path) -> None:
    example, of_a_store = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=folder.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"(personal|blend|global) - ", done.stdout)
    assert len(done.stdout.splitlines()) == 6
    assert (folder.parent / "u1.state").exists()
    words = [sys.executable, "-c", of_a_store]
    done = subprocess.run(words, cwd=folder.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (folder.parent / "u1.state").exists()
