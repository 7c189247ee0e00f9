# SPDX-License-Identifier: Apache-2.0
"""Which models of an earlier run a run goes on from: none that has seen what this one is judged by."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import shops
from small_run import SMALL

from pocketrec import cli
from pocketrec.cloud.base.runs import Pipeline, Run, read_json
from pocketrec.cloud.config.load import load_config
from pocketrec.cloud.data.prepared import load_cloud
from pocketrec.stages import STAGES
from pocketrec.stages.recipes import rehearsal_parts
from pocketrec.stages.train import train_early, train_final
from pocketrec.stages.warm import warm_start

COLUMNS = ["--set", "data.user=customer", "--set", "data.item=product", "--set", "data.timestamp=when"]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A shop's log, and what it was a while ago."""
    folder = tmp_path_factory.mktemp("shop")
    now = shops.staples(1, users=60, products=80, events=1_500)
    paths = folder / "then.csv", folder / "now.csv"
    for path, table in zip(paths, (now[: len(now) * 9 // 10], now), strict=True):
        shops.write(path, table)
    return paths


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def earlier(logs: tuple[Path, Path], config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the log as it was, trained; its model to the cut-off stands for one of the whole log too."""
    out = tmp_path_factory.mktemp("runs") / "earlier"
    run = _run(config, logs[0], out)
    Pipeline(STAGES, run).execute(("train",))
    train_early(run.for_stage("train-early"))
    return out


def _run(config: Path, log: Path, out: Path, *overrides: str) -> Run:
    values = [value for value in COLUMNS if value != "--set"]
    return Run(load_config(config, [*values, f"data.path={log}", *overrides]), out)


def _main(config: Path, log: Path, out: Path, *words: str) -> int:
    return cli.main(["train", str(config), *COLUMNS, "--set", f"data.path={log}", "--out", str(out), *words])


@pytest.mark.slow
def test_each_training_takes_the_latest_model_that_has_seen_nothing_later(
    logs: tuple[Path, Path], config: Path, earlier: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    run = _run(config, logs[1], tmp_path / "run", f"train.warm_start={earlier}")
    run = Run(run.config, run.folder, said.append)
    Pipeline(STAGES, run).execute(("prepare",))
    train_final(run.for_stage("train"))
    train_early(run.for_stage("train-early"))
    assert any(f"goes on from {earlier / 'train/model.keras'}" in line for line in said)
    assert any(f"goes on from {earlier / 'train/early.keras'}" in line for line in said)
    data = load_cloud(run.folder)
    start = warm_start(run, data.before, data)
    assert start is not None
    assert start.until == load_cloud(earlier).before.timestamps.max() <= data.before.timestamps.max()
    # A training that ends before the earlier run's first cut has nothing to go on from.
    long_ago, _, _ = rehearsal_parts(load_config(config, ["rehearse.quantile=0.3"]), load_cloud(earlier).before)
    assert warm_start(run, long_ago, data) is None
    assert "starts afresh" in said[-1]


@pytest.mark.slow
def test_a_model_of_the_whole_log_serves_only_what_lies_later(
    logs: tuple[Path, Path], config: Path, earlier: Path, tmp_path: Path
) -> None:
    """The refitted model of the earlier run has seen what this run is judged by."""
    both = tmp_path / "earlier"
    shutil.copytree(earlier, both)
    shutil.copytree(_whole(logs[0], config, tmp_path / "whole"), both / "refit")
    run = _run(config, logs[1], tmp_path / "run", f"train.warm_start={both}")
    Pipeline(STAGES, run).execute(("prepare",))
    data = load_cloud(run.folder)
    start = warm_start(run, data.before, data)
    assert start is not None
    assert start.name == str(both / "train/model.keras")
    later = warm_start(run, load_cloud(_whole(logs[1], config, tmp_path / "later")).before, data)
    assert later is not None
    assert later.name == str(both / "refit/train/model.keras")


def _whole(log: Path, config: Path, out: Path) -> Path:
    from pocketrec.cloud.data.whole import prepare_whole

    run = _run(config, log, out)
    prepare_whole(run.config, out)
    if "then" in log.name:
        train_final(run.for_stage("train"))
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("words", "says"), [
    (("--set", "model.embedding=16"), "was trained with model.embedding = 8, and this run has 16"),
    (("--set", "model.backbone=mingru"), "was trained with model.backbone = 'gru', and this run has 'mingru'"),
    (("--set", "split.kind=per_user"), "wants a split by time"),
    (("--set", "data.privacy={category=['a']}"), "other privacy classes"),
])  # fmt: skip
def test_what_does_not_fit_is_said_before_the_log_is_read(
    words: tuple[str, ...], says: str, logs: tuple[Path, Path], config: Path, earlier: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert _main(config, logs[1], tmp_path / "run", "--warm-start", str(earlier), *words) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run" / "data").exists()


def test_a_folder_without_a_run_or_without_a_model_is_said(
    logs: tuple[Path, Path], config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(config, logs[1], tmp_path / "run", "--warm-start", str(tmp_path / "none")) == 2
    assert "is no run directory" in capsys.readouterr().err
    Pipeline(STAGES, _run(config, logs[0], tmp_path / "begun")).execute(("prepare",))
    assert _main(config, logs[1], tmp_path / "run", "--warm-start", str(tmp_path / "begun")) == 2
    assert "has no trained model yet" in capsys.readouterr().err


@pytest.mark.slow
def test_an_earlier_run_may_go_when_it_has_been_used_and_is_not_the_run_itself(
    logs: tuple[Path, Path], config: Path, earlier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    then, out = tmp_path / "then", tmp_path / "run"
    shutil.copytree(earlier, then)
    words = ("--quiet", "--set", "rehearse.enabled=false", "--warm-start", str(then))
    assert _main(config, logs[1], out, *words) == 0
    made = (out / "train" / "model.keras").read_bytes()
    shutil.rmtree(then)
    assert _main(config, logs[1], out, *words) == 0
    assert (out / "train" / "model.keras").read_bytes() == made
    assert _main(config, logs[1], tmp_path / "own", "--warm-start", str(tmp_path / "own")) == 2
    assert "is this run itself" in capsys.readouterr().err


@pytest.mark.slow
def test_of_a_log_the_configuration_is_that_of_the_run_to_go_on_from(
    logs: tuple[Path, Path], earlier: Path, tmp_path: Path
) -> None:
    import argparse

    from pocketrec.commands.automatic import configure

    out = tmp_path / "next"
    options = argparse.Namespace(config=str(logs[1]), out=out, overrides=["train.epochs=4"], quiet=True, engine=None,
                                 master=None, warm_start=earlier)  # fmt: skip
    made = load_config(configure(options))
    assert (made.data.path, made.train.warm_start) == (str(logs[1].resolve()), str(earlier.resolve()))
    assert (made.model.embedding, made.train.epochs) == (8, 4)
    assert read_json(out / "presets.json") == {}  # nothing was tried again
