# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import builtins
import hashlib
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.config.load import config_from_dict, load_config
from pocketrec.cloud.config.moved import values_of_run
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.search import SECTIONS
from pocketrec.cloud.config.toml import to_toml
from pocketrec.cloud.data.prepared import DEVICES_FOLDER, load_cloud
from pocketrec.cloud.search.search import Trial, best_of, is_behind
from pocketrec.cloud.search.search import search as try_all
from pocketrec.cloud.search.space import check_space, draw, space_of, spaces, with_values
from pocketrec.commands.search import search
from pocketrec.device.base.errors import ConfigError, DataError

SMALL: dict[str, Any] = {
    "data": {"set": "synthetic", "synthetic": {"users": 40, "items": 40}},
    "model": {"embedding": 8, "window": 3, "gru": {"hidden": 8, "layers": 1}},
    "train": {"epochs": 2, "batch": 16, "learning_rate": 0.02},
    "search": {"space": {"model.dropout": {"low": 0.0, "high": 0.5}, "train.batch": [8, 16]}},
    "resources": {"threads": 1},
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("search")
    return folder, search(config_from_dict(SMALL), folder, system="global", trials=2, seed=4)


def test_trials_have_the_categories_that_their_negatives_are_drawn_by(tmp_path: Path) -> None:
    rows = ["user,item,timestamp,category"]
    rows += [f"u{user},i{(user + 3 * event) % 20},{100 * event + user},c{(user + 3 * event) % 4}"
             for user in range(30) for event in range(12)]  # fmt: skip
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    train = {"epochs": 1, "batch": 16, "loss": "bpr", "sampler": "category_week"}
    config = config_from_dict({**SMALL, "train": train, "data": {"path": str(tmp_path / "log.csv"),
                                                                 "category": "category"}})  # fmt: skip
    search(config, tmp_path / "search", system="global", trials=1, seed=4)
    (trial,) = json.loads((tmp_path / "search" / "search.json").read_text())["trials"]
    assert (trial["ended"], len(trial["curve"])) == ("", 1)


def test_trials_are_recorded_and_the_best_can_be_run(found: tuple[Path, str]) -> None:
    folder, text = found
    trials = json.loads((folder / "search.json").read_text())["trials"]
    assert [trial["trial"] for trial in trials] == [0, 1]
    assert trials[0]["values"] == {}, "the configuration as it is comes first"
    assert all(set(trial["values"]) == set(SMALL["search"]["space"]) for trial in trials[1:])
    assert all(len(trial["curve"]) == 2 and trial["curve"][-1] == trial["figures"]["mrr@20"] for trial in trials)
    best = max(trials, key=lambda trial: trial["figures"]["mrr@20"])
    run = load_config(folder / "best.toml")
    assert run == config_from_dict(
        {**with_values(config_from_dict(SMALL), best["values"]).to_dict(), "search": {}}
        | {"resources": SMALL["resources"]}
    )
    last = json.loads(text.splitlines()[-1])
    assert last["best"]["mrr@20"] == best["figures"]["mrr@20"]
    assert not (folder / "trial").exists()


@pytest.mark.long
def test_a_search_goes_on_where_it_was_and_ends_alike(found: tuple[Path, str], tmp_path: Path) -> None:
    whole = json.loads((found[0] / "search.json").read_text())
    search(config_from_dict(SMALL), tmp_path, system="global", trials=1, seed=4)
    first = json.loads((tmp_path / "search.json").read_text())["trials"][0]
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "model.checkpoint.npz").write_bytes(b"left by a killed trial")
    search(config_from_dict(SMALL), tmp_path, system="global", trials=2, seed=4)
    again = json.loads((tmp_path / "search.json").read_text())
    assert again["trials"][0] == first, "what was done is not done again"
    assert [t["curve"] for t in again["trials"]] == [t["curve"] for t in whole["trials"]]
    with pytest.raises(ConfigError, match="another"):
        search(config_from_dict(SMALL), tmp_path, system="global", trials=3, seed=5)


@pytest.mark.parametrize("system", ["als", "item_knn", "global"])
def test_what_comes_after_the_cut_off_is_never_opened(
    system: str, found: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The devices' folder is away, and nothing notices."""
    folder, _ = found
    opened: list[str] = []
    plain = builtins.open

    def spy(file: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(os.fspath(file) if not isinstance(file, int) else "")
        return plain(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", spy)
    monkeypatch.setattr("io.open", spy)
    from pocketrec.cloud.data.prepared import load_cloud

    config = config_from_dict(SMALL if system == "global" else {**SMALL, "search": {}})
    data = load_cloud(folder)
    devices = folder / DEVICES_FOLDER
    hidden = devices.rename(folder / "elsewhere")
    try:
        try_all(config, data, folder / system, system=system, trials=1 if system == "global" else 2)
    finally:
        hidden.rename(devices)
    assert any("before" in path or "items.txt" in path for path in opened), "the spy sees"
    assert not any("devices" in path or "elsewhere" in path for path in opened)


def test_trials_hear_nothing_of_the_later_events(tmp_path: Path) -> None:
    """Another future of known items changes no figure."""
    rows = [(f"u{i % 20}", f"i{i * 7 % 11}", i) for i in range(400)]  # the first .8 lie before the cut-off
    trials = []
    for name, future in (("one", rows[320:]), ("two", [(u, "i3", t) for u, _, t in rows[320:]])):
        path = tmp_path / f"{name}.csv"
        lines = [",".join(map(str, row)) for row in [*rows[:320], *future]]
        path.write_text("user,item,timestamp\n" + "\n".join(lines) + "\n", encoding="utf-8")
        tables = {**SMALL, "data": {"path": str(path)}}
        search(config_from_dict(tables), tmp_path / name, system="global", trials=1, seed=1)
        trials.append([t["figures"] for t in json.loads((tmp_path / name / "search.json").read_text())["trials"]])
    assert trials[0] == trials[1]


def trial(number: int, curve: list[float], planned: int = 4, ended: str = "") -> Trial:
    return Trial(number, {}, curve, {"mrr@20": curve[-1]}, planned, 1.0, ended)


def test_the_median_rule() -> None:
    others = [trial(0, [0.1, 0.2, 0.3, 0.4]), trial(1, [0.2, 0.3, 0.4, 0.5]), trial(2, [0.2, 0.4], 4, "ended")]
    assert is_behind([0.1, 0.29], 4, others), "after half of the epochs the others had .2, .3 and .4"
    assert not is_behind([0.1, 0.3], 4, others)
    assert not is_behind([0.1], 4, others), "every trial gets a third of its epochs"
    assert not is_behind([0.1, 0.1], 4, others[:2]), "two are not a field"
    assert not is_behind([0.1, 0.1, 0.1], 4, others), "only two got that far"
    assert is_behind([0.1] * 4, 8, others), "a share of the epochs, not a number"


def test_the_best_ran_to_its_end() -> None:
    assert best_of([trial(0, [0.3]), trial(1, [0.9], ended="below the median"), trial(2, [0.3])]).trial == 0
    with pytest.raises(DataError, match="no trial"):
        best_of([trial(0, [0.3], ended="the loss is nan")])


@given(st.integers(0, 2**31), st.integers(1, 1000))
def test_draws_follow_from_the_seed_and_lie_in_the_space(seed: int, number: int) -> None:
    space = {"a": [1, 2, 3], "b": {"low": 0.001, "high": 1.0, "log": True}, "c": {"low": 2, "high": 5}}
    values = draw(space, seed, number)
    assert values == draw(space, seed, number)
    assert values["a"] in (1, 2, 3)
    assert 0.001 <= values["b"] <= 1
    assert values["c"] in (2, 3, 4, 5)
    assert isinstance(values["c"], int)


@pytest.mark.parametrize(
    "space",
    [
        {"train.batches": [1]}, {"batch": [1]}, {"train.batch": []}, {"train.batch": [0]}, {"train.batch": 3},
        {"model.dropout": {"low": 0.5, "high": 0.1}}, {"model.dropout": {"low": 0.0, "high": 0.5, "log": True}},
        {"model.dropout": {"low": 0.1, "high": 1.5}}, {"model.dropout": {"low": 0.1}}, {"seed": [1]},
    ],
)  # fmt: skip
def test_a_wrong_space_is_refused(space: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        check_space(RunConfig(), space)


def test_each_system_has_the_keys_that_shape_it() -> None:
    config = config_from_dict({"search": {"space": {"baselines.knn.decay": [0.5], "train.batch": [4, 8]}}})
    assert space_of(config, "item_knn") == {"baselines.knn.decay": [0.5]}
    assert space_of(config, "global") == {"train.batch": [4, 8]}
    assert space_of(config, "als") == spaces(config, "als") != {}
    with pytest.raises(ConfigError, match="no system"):
        space_of(config_from_dict({"search": {"space": {"evaluate.ties": ["best"]}}}), "global")


def test_the_spaces_that_come_with_it_fit() -> None:
    for system in SECTIONS:
        assert spaces(RunConfig(), system)
        check_space(RunConfig(), spaces(RunConfig(), system))


def test_a_search_of_before_keys_moved_is_known_again(found: tuple[Path, str], tmp_path: Path) -> None:
    """Its key is of the tables, the space and the log as they were then; its trials' values get today's keys."""
    data = load_cloud(found[0])
    config = config_from_dict({**SMALL, "search": {"space": {"baselines.knn.decay": [0.4, 0.9]}}})
    stored = values_of_run(config)
    assert stored["knn"]["decay"] == 0.9
    assert stored["model"]["hidden"] == 8
    tables = {key: value for key, value in stored.items() if key != "resources"}
    digest = hashlib.sha256(json.dumps([tables, "item_knn", 1, {"knn.decay": [0.4, 0.9]}], sort_keys=True).encode())
    for array in (data.before.offsets, data.before.items, data.before.timestamps):
        digest.update(np.ascontiguousarray(array).tobytes())
    trial = {"trial": 0, "values": {}, "curve": [0.1], "figures": {"mrr@20": 0.1}, "planned": 1}
    trials = [trial, {**trial, "trial": 1, "values": {"knn.decay": 0.4}}]
    (tmp_path / "search.json").write_text(json.dumps({"key": digest.hexdigest(), "trials": trials}))
    done = try_all(config, data, tmp_path, system="item_knn", trials=2)
    assert [trial.values for trial in done] == [{}, {"baselines.knn.decay": 0.4}]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@examples(50)
@given(TEXT.filter(bool), st.lists(TEXT), st.floats(1e-9, 1e9), st.dictionaries(TEXT, st.lists(TEXT), max_size=3))
def test_a_configuration_written_as_toml_is_read_back(
    name: str, words: list[str], rate: float, keep: dict[str, list[str]]
) -> None:
    tables = {
        "seed": 7, "data": {"path": name, "keep": keep}, "split": {"test_values": words},
        "train": {"learning_rate": rate, "refit": False}, "search": {"space": {"train.batch": [4, 5]}},
    }  # fmt: skip
    config = config_from_dict(tables)
    assert config_from_dict(tomllib.loads(to_toml(config))) == config
    assert "search" not in tomllib.loads(to_toml(config, ("search",)))


def test_positions_of_the_slice_are_judged_by_each_system_alike(found: tuple[Path, str]) -> None:
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.search.search import Slice

    data = load_cloud(found[0])
    judge = Slice(config_from_dict(SMALL), data)
    one, two = judge.places(1), judge.places(10)
    assert np.array_equal(one.where.targets, two.where.targets)
    assert [h.tolist() for h in one.seen] == [h.tolist() for h in two.seen]
    late = judge.whole.events - judge.first.sum()
    assert 0 < len(one.where) <= late
    assert judge.whole.events <= data.before.events
