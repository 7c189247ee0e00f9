# SPDX-License-Identifier: Apache-2.0
"""Stages are done once, resume where they were, and are done again when what they depend on has changed."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pocketrec.cloud.base.runs import Pipeline, Run, Stage, stage_seconds
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.ranker import RANKERS
from pocketrec.cloud.config.run import RunConfig
from pocketrec.device.base.errors import DataError, StorageError
from pocketrec.device.contract.rankers import RANKERS as DEVICE_RANKERS
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.contract.repeats import Repeats
from pocketrec.stages import STAGES
from pocketrec.stages.recipes import repeats_alone


class Workshop:
    """A run of three toy stages, a -> b and a -> c, which count their calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[str] = []
        self.lines: list[str] = []
        self.during: dict[str, Callable[[Run], None]] = {}

    def pipeline(self, **tables: Any) -> Pipeline:
        config = config_from_dict({"data": {"set": "synthetic"}, **tables})
        return Pipeline(self.stages(), Run(config, self.folder, self.lines.append))

    def stages(self) -> tuple[Stage, ...]:
        def work(name: str) -> Callable[[Run], None]:
            def do(run: Run) -> None:
                self.calls.append(name)
                self.during.get(name, lambda run: None)(run)
                run.path(name, "result.txt").write_text(name, encoding="utf-8")
                run.record([{"call": len(self.calls)}])

            return do

        return (
            Stage("a", "first", (), lambda c: c.seed, work("a"), ("a/result.txt",), ("a",)),
            Stage("b", "second", ("a",), lambda c: c.train.epochs, work("b"), ("b/result.txt",), ("b",),
                  applies=lambda c: c.rehearse.enabled),
            Stage("c", "third", ("a", "b"), lambda c: c.model.options.hidden, work("c"), ("c/result.txt",), ("c",)),
        )  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "run")


def test_a_second_run_does_nothing(shop: Workshop) -> None:
    assert shop.pipeline().execute() == ["a", "b", "c"]
    assert shop.pipeline().execute() == []
    assert shop.calls == ["a", "b", "c"]


def test_what_a_run_does_and_measures_goes_to_the_standard_logging(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.during["b"] = lambda run: run.detail("7  events")
    with caplog.at_level(logging.INFO, "pocketrec"):
        shop.pipeline().execute()
    told = [record.getMessage() for record in caplog.records if not hasattr(record, "entry")]
    assert told == ["a first", "b second", "7 events", "c third"]
    measured = [record.__dict__ for record in caplog.records if hasattr(record, "entry")]
    assert [one["stage"] for one in measured] == ["a", "b", "c"]
    assert [one["entry"] for one in measured] == [{"call": 1}, {"call": 2}, {"call": 3}]
    assert {one["run"] for one in measured} == {str(shop.folder)}
    assert {record.name for record in caplog.records} == {"pocketrec.run"}


def test_a_commands_log_file_has_what_is_logged_with_its_time(tmp_path: Path) -> None:
    code = (
        "import logging, sys\nfrom pathlib import Path\nfrom pocketrec.commands.terminal import native_noise_into\n"
        "logger = logging.getLogger('pocketrec.run')\n"
        "with native_noise_into(Path('log.txt')) as terminal:\n"
        "    logger.info('inside')\n    print('to people', file=terminal)\n"
        "logger.info('outside')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == "to people\n"
    (line,) = (tmp_path / "log.txt").read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \S+ INFO pocketrec.run inside", line)


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"seed": 2}, ["a", "b", "c"]),
        ({"train": {"epochs": 3}}, ["b", "c"]),
        ({"model": {"gru": {"hidden": 7}}}, ["c"]),
        ({"resources": {"threads": 1}}, []),
        ({"split": {"quantile": 0.5}}, []),
    ],
)
def test_a_changed_configuration_redoes_exactly_what_depends_on_it(
    shop: Workshop, change: dict[str, Any], again: list[str]
) -> None:
    shop.pipeline().execute()
    assert shop.pipeline(**change).execute() == again


def test_a_change_is_named(shop: Workshop) -> None:
    shop.pipeline().execute()
    shop.lines.clear()
    shop.pipeline(train={"epochs": 3}).execute()
    assert "train.epochs 30 -> 3" in shop.lines[0]


def test_an_older_result_is_never_mistaken_for_the_new_one(shop: Workshop) -> None:
    shop.pipeline().execute()
    shop.pipeline(train={"epochs": 3}).execute()
    assert shop.pipeline().execute() == ["b", "c"], "the marker of the first configuration is gone"


def test_a_target_brings_along_what_it_needs_and_nothing_else(shop: Workshop) -> None:
    assert shop.pipeline().execute(["b"]) == ["a", "b"]
    assert shop.pipeline().execute(["c"]) == ["c"]


def test_a_stage_that_came_later_leaves_finished_runs_as_they_are(shop: Workshop) -> None:
    """It has no part in the keys of the stages that need it, and is done only where one of them is."""
    shop.pipeline().execute()
    a, b, c = shop.stages()
    made = shop.folder / "new" / "result.txt"

    def work(run: Run) -> None:
        shop.calls.append("new")
        run.path("new", "result.txt").write_text("new", encoding="utf-8")

    new = Stage("new", "came later", ("a",), lambda c: c.seed, work, ("new/result.txt",), ("new",), keyed=False)
    table = (a, b, new, dataclasses.replace(c, needs=("a", "b", "new")))

    def pipeline(**tables: Any) -> Pipeline:
        return Pipeline(table, shop.pipeline(**tables).run)

    assert pipeline().execute() == []
    assert not made.exists(), "nobody needs it"
    assert pipeline(model={"gru": {"hidden": 7}}).execute() == ["new", "c"]
    assert made.exists()
    assert pipeline(model={"gru": {"hidden": 7}}).execute() == []
    assert pipeline(model={"gru": {"hidden": 8}}).execute() == ["c"], "it is up to date"
    assert pipeline(model={"gru": {"hidden": 8}}).execute(["new"], force=True) == ["new"]
    made.unlink()
    assert pipeline(model={"gru": {"hidden": 8}}).execute(["c"], force=True) == ["new", "c"]


def test_force_redoes_the_target_only(shop: Workshop) -> None:
    shop.pipeline().execute()
    assert shop.pipeline().execute(["b"], force=True) == ["b"]


def test_a_lost_result_is_made_again(shop: Workshop) -> None:
    shop.pipeline().execute()
    (shop.folder / "b" / "result.txt").unlink()
    assert shop.pipeline().execute() == ["b"]


def test_an_interrupted_stage_goes_on_with_what_it_left(shop: Workshop) -> None:
    def killed(run: Run) -> None:
        run.path("b", "partial").write_text("half", encoding="utf-8")
        raise KeyboardInterrupt

    shop.during["b"] = killed
    with pytest.raises(KeyboardInterrupt):
        shop.pipeline().execute()
    shop.during["b"] = lambda run: shop.lines.append((run.folder / "b" / "partial").read_text(encoding="utf-8"))
    assert shop.pipeline().execute() == ["b", "c"]
    assert "half" in shop.lines
    assert any("resumes" in line for line in shop.lines)


def test_what_an_interrupted_stage_left_is_dropped_when_its_configuration_changes(shop: Workshop) -> None:
    def killed(run: Run) -> None:
        run.path("b", "partial").write_text("half", encoding="utf-8")
        raise KeyboardInterrupt

    shop.during["b"] = killed
    with pytest.raises(KeyboardInterrupt):
        shop.pipeline().execute()
    del shop.during["b"]
    shop.pipeline(train={"epochs": 3}).execute()
    assert not (shop.folder / "b" / "partial").exists()


def test_a_failed_stage_is_not_done(shop: Workshop) -> None:
    def fails(run: Run) -> None:
        raise DataError("no such log: name another")

    shop.during["b"] = fails
    for _ in range(2):
        with pytest.raises(DataError):
            shop.pipeline().execute()
    assert shop.calls == ["a", "b", "b"]


def test_a_stage_that_no_longer_applies_takes_its_results_along(shop: Workshop) -> None:
    shop.pipeline().execute()
    assert shop.pipeline(rehearse={"enabled": False}).execute() == ["c"]
    assert not (shop.folder / "b").exists()
    assert "b" not in stage_seconds(shop.folder)


def test_the_folder_says_how_it_was_made(shop: Workshop) -> None:
    shop.pipeline(seed=7).execute()
    assert config_from_dict(json.loads((shop.folder / "config.json").read_text())) == RunConfig(
        seed=7, data=dataclasses.replace(RunConfig().data, set="synthetic")
    )
    assert json.loads((shop.folder / "versions.json").read_text())["pocketrec"]
    assert set(stage_seconds(shop.folder)) == {"a", "b", "c"}


def test_the_history_holds_each_stage_once(shop: Workshop) -> None:
    shop.pipeline().execute()
    shop.pipeline(train={"epochs": 3}).execute()
    lines = [json.loads(line) for line in (shop.folder / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"stage": "a", "call": 1}, {"stage": "b", "call": 4}, {"stage": "c", "call": 5}]


def test_two_runs_in_one_folder_are_refused(shop: Workshop) -> None:
    pytest.importorskip("fcntl")
    shop.folder.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, os, sys\nfile = open(sys.argv[1], 'w')\n"
         "fcntl.flock(file, fcntl.LOCK_EX)\nfile.write(str(os.getpid())); file.flush()\n"
         "print('held', flush=True)\nsys.stdin.read()",
         str(shop.folder / ".lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StorageError, match=f"in use by process {holder.pid}"):
            shop.pipeline().execute()
    finally:
        holder.communicate("")
    assert shop.pipeline().execute() == ["a", "b", "c"], "the lock goes with its process"


def test_a_damaged_marker_counts_as_none(shop: Workshop) -> None:
    shop.pipeline().execute()
    (shop.folder / "stages" / "b.json").write_text("{", encoding="utf-8")
    assert shop.pipeline().execute() == ["b"]


# --- the real table ---------------------------------------------------------------------------------------------


def _redone(change: dict[str, Any]) -> set[str]:
    """Stages of the real pipeline whose key changes."""
    folder = Path("unused")
    keys = []
    for tables in ({}, change):
        run = Run(config_from_dict({"data": {"set": "synthetic"}, **tables}), folder)
        pipeline = Pipeline(STAGES, run)
        keys.append({stage.name: pipeline.key(stage) for stage in STAGES if stage.applies(run.config)})
    return {name for name in keys[1] if keys[0].get(name) != keys[1][name]}


def test_stages_only_need_earlier_ones() -> None:
    seen: set[str] = set()
    for stage in STAGES:
        assert set(stage.needs) <= seen
        seen.add(stage.name)


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({"split": {"learn_share": 0.4}}, {stage.name for stage in STAGES if stage.applies(RunConfig())}),
        ({"evaluate": {"central": True}}, {"train-central", "fleet", "report"}),
        ({"train": {"epochs": 1}}, {"train-early", "train", "rehearse", "export", "fleet", "report"}),
        ({"rehearse": {"passes": [1]}}, {"rehearse", "export", "fleet", "report"}),
        ({"candidates": {"als": {"factors": 8}}}, {"baselines", "candidates", "export", "fleet", "report"}),
        ({"candidates": {"k": 8}}, {"candidates", "rehearse", "export", "fleet", "report"}),
        ({"baselines": {"knn": {"decay": 0.5}}}, {"baselines", "rehearse", "export", "fleet", "report"}),
        ({"baselines": {"judged": ["als"]}}, {"baselines", "fleet", "report"}),
        ({"evaluate": {"users": 10}}, {"fleet", "report"}),
        ({"resources": {"processes": 1}}, set()),
    ],
)
def test_what_a_change_costs(change: dict[str, Any], redone: set[str]) -> None:
    assert _redone(change) == redone


def test_the_bonus_alone_is_a_recipe_without_training() -> None:
    shipped = Recipe(passes=7, minimum_events=5, repeats=Repeats(2.0, 0.8))
    alone = Recipe.from_dict(repeats_alone(shipped.to_dict()) or {})
    assert (alone.passes, alone.minimum_events, alone.repeats) == (0, 0, shipped.repeats)
    assert repeats_alone(Recipe().to_dict()) is None, "no bonus"
    assert repeats_alone(dataclasses.replace(shipped, personalise=False).to_dict()) is None, "devices do not use it"


def test_nothing_later_is_opened_before_the_bundle_exists() -> None:
    names = [stage.name for stage in STAGES]
    assert names.index("export") < names.index("train-central") < names.index("fleet")


def test_every_table_of_the_configuration_but_resources_shapes_some_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    for seam in (RANKERS, DEVICE_RANKERS):  # a ranker that the device lacks is refused
        monkeypatch.setitem(seam.own, "other", seam.own["inner_product"])
    other = {
        "seed": 2, "data": {"set": "synthetic", "min_item_count": 2}, "split": {"quantile": 0.7},
        "model": {"gru": {"hidden": 8}}, "train": {"batch": 8}, "candidates": {"k": 9}, "export": {"batch": 3},
        "prune": {"final": 0.5}, "lean": {"head": 9},
        "baselines": {"knn": {"shrink": 9}}, "ranker": {"kind": "other"},
        "personalise": {"passes": 2}, "rehearse": {"users": 9}, "evaluate": {"ties": "best"},
        "refit": {"enabled": True}, "items": {"item": "other"},
    }  # fmt: skip
    besides = {"resources", "search", "compare", "federate"}
    assert set(other) | besides == {field.name for field in dataclasses.fields(RunConfig)}
    for name, table in other.items():
        assert _redone({name: table}), name


def test_a_changed_log_is_read_again(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user,item,timestamp\nu,i,1\n", encoding="utf-8")
    (prepare,) = (stage for stage in STAGES if stage.name == "prepare")
    config = config_from_dict({"data": {"path": str(log)}})
    before = prepare.outside(config)
    log.write_text("user,item,timestamp\nu,i,1\nu,j,2\n", encoding="utf-8")
    assert prepare.outside(config) != before
