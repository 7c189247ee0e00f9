# SPDX-License-Identifier: Apache-2.0
"""The simulated devices against values worked out apart, and the fleet's promises: same positions, resumable, clean."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import tiny_device

from pocketrec.cloud.base.processes import run_jobs
from pocketrec.cloud.baselines.baseline import Past
from pocketrec.cloud.baselines.files import save_baseline, save_index
from pocketrec.cloud.baselines.fitting import fit_all
from pocketrec.cloud.config.baselines import BASELINES
from pocketrec.cloud.config.candidates import AlsOptions, CandidatesConfig
from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.resources import ResourceConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.evaluation import evaluate
from pocketrec.cloud.fleet import fleet
from pocketrec.cloud.fleet.device import DeviceUser, Settings, first_list, is_offered, known_positions, system_ranks
from pocketrec.cloud.fleet.offered import retrieved
from pocketrec.device.contract.recipe import Recipe

RECIPE = Recipe(learning_rate=0.1, passes=20).to_dict()
ONE = ResourceConfig(processes=1)


def systems(tiny: Path) -> list[fleet.System]:
    files = (tiny / "partial.tflite", tiny / "items.npy")
    return [
        fleet.System("global", *files),
        fleet.System("personal", *files, recipe=RECIPE),
        fleet.System("naive", *files, recipe=RECIPE, guard=False),
    ]


@pytest.fixture(scope="session")
def served(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    fleet.run_fleet(tiny_device.loyal_users(6), systems(tiny), folder, evaluate=EvaluateConfig(),
                    baselines=baselines(folder), resources=ResourceConfig(processes=2))  # fmt: skip
    return folder


def baselines(folder: Path) -> Path:
    """Every baseline, fitted to what the users had before the cut-off: ``folder/baselines``."""
    users = tiny_device.loyal_users(6)
    codes = np.repeat(np.arange(6), [len(user.before) for user in users])
    items = np.concatenate([user.before for user in users])
    log = Sequences.build(np.array([u.user for u in users], dtype=object), codes, items, np.arange(len(items)))
    home = folder / "baselines"
    config = RunConfig(candidates=CandidatesConfig(tables={"als": AlsOptions(factors=2)}))
    fitted = fit_all(config, Past(log, tiny_device.ITEMS), BASELINES)
    save_index(home, {name: save_baseline(home, name, one) for name, one in fitted.items()})
    return home


def user(**parts: list[int]) -> DeviceUser:
    arrays = {name: np.array(rows, np.int32) for name, rows in parts.items()}
    return DeviceUser("u", **{"before": np.zeros(0, np.int32), **arrays})


def test_contexts_hold_earlier_test_events_and_no_unknown_item() -> None:
    rows, places = known_positions(user(before=[1, 0, 2], learn=[3], test=[4, 0, 5]))
    assert rows.tolist() == [1, 2, 3, 4, 5]
    assert places.tolist() == [3, 4], "the unknown event is in no context and is not a target"


SCORES = np.array([[9, 0.5, 0.4, 0.3, 0.2, 0.1]], np.float32)


@pytest.mark.parametrize(
    ("candidates", "target", "expected"),
    [([3, 5, 1], 5, (5, 3)), ([3, 5, 1], 2, (2, math.inf)), ([], 1, (1, 1)), ([4, 0, 0], 4, (4, 2))],
)
@pytest.mark.feature("D18")
def test_ranks_in_full_and_within_the_set(candidates: list[int], target: int, expected: tuple[float, float]) -> None:
    one = user(learn=[1], test=[target], candidates=candidates)
    full, within = system_ranks(one, lambda part: SCORES[part], 6, Settings("worst", False, "auto"))
    assert (full[0], within[0]) == expected


def test_seen_items_leave_the_ranking_where_the_log_never_repeats() -> None:
    one = user(before=[1], learn=[2], test=[3, 4], candidates=[1, 4])
    scores = np.repeat(SCORES, 2, axis=0)
    full, within = system_ranks(one, lambda part: scores[part], 6, Settings("worst", True, "auto"))
    assert full.tolist() == [1, 1], "1, 2 and, at the second position, 3 are out"
    assert within.tolist() == [math.inf, 1]


def test_a_device_offers_candidates_and_what_the_user_had_until_then() -> None:
    one = user(before=[1], learn=[2], test=[3, 3, 5, 4], candidates=[4])
    assert is_offered(one, Settings("worst", False, "auto")).tolist() == [False, True, False, True]
    assert is_offered(one, Settings("worst", True, "auto")).tolist() == [False, False, False, True]
    scores = np.repeat(SCORES, 4, axis=0)
    _, within = system_ranks(one, lambda part: scores[part], 6, Settings("worst", False, "auto"))
    assert within.tolist() == [math.inf, 3, math.inf, 4], "of 1, 2, 4; then also 3; then 5 as well"


def test_the_first_list_holds_what_the_device_offers_then() -> None:
    one = user(before=[1], learn=[2], test=[3, 4], candidates=[4, 3, 0])
    scores = np.array([[9, 0.1, 0.4, 0.3, 0.3, 0.8], [0] * 6], np.float32)

    def listed(*settings: object) -> list[int]:
        return first_list(one, lambda part: scores[part], Settings("worst", *settings), 3)  # type: ignore[arg-type]

    assert listed(False, "auto") == [2, 3, 4]  # neither 5, which nobody offers, nor 1, the fourth
    assert listed(True, "auto") == [3, 4]
    assert listed(False, "auto", 4) == [5, 2, 3]


SEARCHED = np.array([[9, 0.5, 0.4, 0.3, 0.2, 0.1], [9, 0.1, 0.2, 0.3, 0.4, 0.5]], np.float32)


def test_a_device_that_searches_offers_the_best_of_the_catalogue_and_the_own_items() -> None:
    """Found by the scores without the bonus, which moves the own item 5 to the top, and ranked with it."""
    one = user(before=[5], learn=[], test=[2, 1], candidates=[4])
    raised = SEARCHED.copy()
    raised[:, 5] += 1
    settings = Settings("worst", False, "auto", retrieve=2)
    full, within = system_ranks(one, lambda part: raised[part], 6, settings, lambda part: SEARCHED[part])
    assert full.tolist() == [3, 5]
    assert within.tolist() == [3, math.inf], "offered are 1, 2 and 5; then 4, 5 and 2"
    _, alone = system_ranks(one, lambda part: raised[part], 6, settings)
    assert alone.tolist() == [math.inf, math.inf], "with the bonus in the search 5 takes a place"


def test_seen_items_that_are_left_out_make_room_for_others() -> None:
    one = user(before=[1], learn=[], test=[2, 3], candidates=[4])
    scores = np.repeat(SEARCHED[:1], 2, axis=0)
    settings = Settings("worst", True, "auto", retrieve=1)
    _, within = system_ranks(one, lambda part: scores[part], 6, settings)
    assert within.tolist() == [1, 1], "what was found was seen, so the search goes on"
    rows, places = known_positions(one)
    offered = retrieved(scores, rows, places, 4, mask_seen=False)
    assert offered.astype(int).tolist() == [[0, 1, 1, 1, 1, 0]] * 2


def test_the_record_tells_how_many_items_are_found(tiny: Path, tmp_path: Path) -> None:
    one, two = systems(tiny)[:2]
    told = fleet.run_fleet(tiny_device.loyal_users(2), [dataclasses.replace(one, retrieve=7), two], tmp_path,
                           evaluate=EvaluateConfig(), resources=ONE)  # fmt: skip
    assert told["candidates"] == 7
    for entry in evaluate.read_users(tmp_path):
        ranks, within = entry["ranks"]["global"], entry["within"]["global"]
        assert all(place is not None for rank, place in zip(ranks, within, strict=True) if rank <= 7)
        assert entry["ceiling_candidates"] == sum(rank <= 7 for rank in ranks)
        assert entry["ceiling"] == sum(place is not None for place in entry["within"]["personal"])


def test_every_system_is_ranked_on_the_same_positions(served: Path) -> None:
    users = evaluate.read_users(served)
    assert [entry["user"] for entry in users] == [f"u{i:02}" for i in range(6)]
    for entry in users:
        assert set(entry["ranks"]) == {"global", "personal", "naive", *BASELINES}
        assert {len(rank) for rank in entry["ranks"].values()} == {6}
        assert {len(rank) for rank in entry["within"].values()} == {6}


def test_lines_keep_an_example_of_what_systems_offer(served: Path) -> None:
    users = {one.user: one for one in tiny_device.loyal_users(6)}
    for line in (json.loads(text) for text in (served / "users.jsonl").read_text().splitlines()[1:]):
        one, shown = users[line["user"]], line["example"]
        assert shown["had"] == one.history[::-1][:5].tolist()
        assert shown["next"] == one.test[0]
        for name in ("global", "personal", "item_knn"):
            assert len(shown[name]) == 5
            rank = line["within"][name][0] or math.inf  # of equal scores the worst place
            place = shown[name].index(one.test[0]) + 1 if one.test[0] in shown[name] else math.inf
            assert place in (math.inf, *range(1, int(min(rank, 5)) + 1))
            assert rank > 5 or place <= 5


def test_personal_training_learns_the_favourites(served: Path) -> None:
    users = evaluate.read_users(served)
    means = {name: np.mean([(1 / entry["ranks"][name]).mean() for entry in users]) for name in ("global", "naive")}
    assert means["naive"] > 2 * means["global"]


def test_infer_equals_embedding_times_item_table(served: Path) -> None:
    assert json.loads((served / "fleet.json").read_text())["infer_difference"] < 1e-5


@pytest.mark.feature("D16", "D17", "D18")
def test_metrics_of_the_fleet(served: Path) -> None:
    result = evaluate.fleet_metrics(served, evaluate=EvaluateConfig(bootstrap=200))
    users = evaluate.read_users(served)
    naive = [entry["ranks"]["naive"] for entry in users]
    by_hand = np.mean([np.where(rank <= 20, 1 / rank, 0).mean() for rank in naive])
    assert result["naive"]["mrr@20"] == pytest.approx(by_hand)
    assert result["users"]["evaluated"] == 6
    assert result["ceiling"] == pytest.approx(np.mean([entry["ceiling"] / 6 for entry in users]))
    assert result["candidates"]["naive"]["recall@20"] == pytest.approx(result["ceiling"]), "13 offered: all in 20"
    assert result["ceiling_candidates"] == pytest.approx(np.mean([entry["ceiling_candidates"] / 6 for entry in users]))
    assert result["ceiling_candidates"] < result["ceiling"] == 1, "these users only repeat themselves"
    assert result["groups"]["old"]["users"] == 6
    assert result["device"]["fleet_train_ms_p50"] > 0
    assert "train_ms_p50" not in result["device"], "that is of a process of its own"
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_killed_fleet_goes_on_and_ends_alike(tiny: Path, served: Path, tmp_path: Path) -> None:
    lines = (served / "users.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "users.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:40])  # two users and a torn line
    seen: list[int] = []
    fleet.run_fleet(tiny_device.loyal_users(6), systems(tiny), tmp_path, evaluate=EvaluateConfig(),
                    baselines=baselines(tmp_path), resources=ONE,
                    progress=lambda done, total, note="": seen.append(done))  # fmt: skip
    assert seen == [2, 3, 4, 5, 6], "two users were done already"
    again, before = evaluate.read_users(tmp_path), evaluate.read_users(served)
    assert all(
        np.array_equal(a["ranks"][name], b["ranks"][name])
        for a, b in zip(again, before, strict=True)
        for name in b["ranks"]
    )


def test_another_recipe_is_not_a_continuation(tiny: Path, served: Path, tmp_path: Path) -> None:
    (tmp_path / "users.jsonl").write_bytes((served / "users.jsonl").read_bytes())
    gentle = [systems(tiny)[0], dataclasses.replace(systems(tiny)[1], recipe=Recipe(personalise=False).to_dict())]
    users = tiny_device.loyal_users(2)
    fleet.run_fleet(users, gentle, tmp_path, evaluate=EvaluateConfig(), resources=ONE)
    entries = evaluate.read_users(tmp_path)
    assert len(entries) == 2
    assert all(np.array_equal(e["ranks"]["personal"], e["ranks"]["global"]) for e in entries)
    assert all(e["decision"]["personal"]["kept"] == "global" for e in entries)


def test_a_user_without_any_known_event_is_served_popular_items(tiny: Path, tmp_path: Path) -> None:
    stranger = user(learn=[0], test=[7, 8])
    fleet.run_fleet([stranger], systems(tiny), tmp_path, evaluate=EvaluateConfig(), resources=ONE)
    (entry,) = evaluate.read_users(tmp_path)
    assert entry["ranks"]["global"][0] == 7
    assert entry["empty"] == 1


def _modules(_job: int) -> dict[str, list[str]]:
    import sys


    return {"found": sorted({name.partition(".")[0] for name in sys.modules})}


def _nothing() -> None:
    """No preparation."""


def test_the_processes_hold_no_tensorflow_and_no_pandas(tmp_path: Path) -> None:
    lines = run_jobs({"one": 1}, _modules, tmp_path / "lines.jsonl", "x", start=_nothing)
    assert not {"tensorflow", "keras", "pandas", "implicit", "scipy"} & set(lines["one"]["found"])
