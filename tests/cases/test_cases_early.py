# SPDX-License-Identifier: Apache-2.0
"""What `prepare` can know it says at once; commands end where their name says; a figure that is missing is a dash."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from case_logs import BEGIN, rows, table

from pocketrec.cli import main
from pocketrec.cloud.base.runs import Pipeline, Run, Stage
from pocketrec.cloud.candidates import Candidates
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.load import config_from_dict, load_config
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.data.checks import masked_share
from pocketrec.cloud.data.readers import read_log
from pocketrec.cloud.data.split import split_log
from pocketrec.cloud.data.splits.time import parse_cut_off
from pocketrec.commands.results import _difference
from pocketrec.device.base.errors import ConfigError, DataError
from pocketrec.stages import STAGES, TARGETS

LINES = rows(200)


def prepare(
    folder: Path, lines: Sequence[Sequence[str]], *options: str, header: Sequence[str] = ("user", "item", "timestamp")
) -> int:
    log, content = folder / "log.csv", table(lines, header)
    if not log.exists() or log.read_text() != content:  # a file that is written again is another log
        log.write_text(content)
    (folder / "run.toml").write_text(f'[data]\npath = "{folder / "log.csv"}"\n')
    sets = [word for option in options for word in ("--set", option)]
    return main(["prepare", str(folder / "run.toml"), "--out", str(folder / "run"), *sets])


REFUSED: dict[str, tuple[list[tuple[str, ...]], list[str], str]] = {
    "nobody has two events after the cut-off": (
        [*LINES, ("u0", "i1", str(BEGIN + 99_999)), ("u1", "i1", str(BEGIN + 99_998))],
        ["split.kind=time", f"split.time={BEGIN + 90_000}"],
        "no user has both events to learn from and a known event to test: move the cut-off",
    ),
    "later items are all new": (
        [*LINES, *(("u0", f"new{n}", str(BEGIN + 90_000 + n)) for n in range(40))],
        ["split.kind=time", f"split.time={BEGIN + 90_000}"],
        "no user has both events to learn from",
    ),
    "one event of each user after it": (
        [*LINES[:40], ("u0", "i1", str(BEGIN + 99_999))],
        ["split.kind=per_user", "split.quantile=0.99"],
        "no user has both events to learn from",
    ),
    "one item": ([(u, "i", t) for u, _, t in LINES], [], "have one item only, so there is nothing to rank"),
    "one frequent item": (
        [(u, "i" if n % 9 else f"rare{n}", t) for n, (u, _, t) in enumerate(LINES)],
        ["data.min_item_count=50"],
        "have one item only, so there is nothing to rank",
    ),
    "every user has one event before it": (
        [(f"u{n}", i, t) for n, (_, i, t) in enumerate(LINES[:160])] + LINES[160:],
        [],
        "no user has two known events before the cut-off",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_prepare_refuses_what_no_later_stage_can_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    lines, options, words = REFUSED[case]
    assert prepare(tmp_path, lines, *options) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert words in last
    assert not (tmp_path / "run" / "data").exists()


def test_a_test_part_without_two_events_of_a_user_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [(*row, "train") for row in LINES] + [(f"s{n}", "i1", "9", "test") for n in range(9)]
    options = ["split.kind=column"]
    assert prepare(tmp_path, lines, *options, header=("user", "item", "timestamp", "split")) == 2
    assert "no event of the test part can be ranked" in capsys.readouterr().err
    lines += [("s0", "i2", "10", "test")]
    assert prepare(tmp_path, lines, *options, header=("user", "item", "timestamp", "split")) == 0


def test_prepare_says_that_all_targets_are_masked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "100 % of the test targets are items that the user has had, which evaluate.mask_seen leaves out"
    assert prepare(tmp_path, LINES) == 0
    assert words not in capsys.readouterr().err
    assert prepare(tmp_path, LINES, "evaluate.mask_seen=true") == 0, "not up to date: another outcome of this run"
    assert words in capsys.readouterr().err
    fresh = [(f"u{n % 4}", f"i{(n // 4 + 7 * (n % 4)) % 70}", t) for n, (_, _, t) in enumerate(LINES)]
    assert prepare(tmp_path, fresh, "evaluate.mask_seen=true") == 0
    assert "of the test targets" not in capsys.readouterr().err


@pytest.mark.parametrize("personal", [True, False])
def test_the_share_of_masked_targets_is_counted_out(personal: bool) -> None:
    from pocketrec.cloud.data.sequences import Sequences

    rng = np.random.default_rng(3)
    for _ in range(60):
        users = np.array([f"u{n}" for n in range(6)], dtype=object)
        parts = []
        for size in (int(rng.integers(1, 30)), int(rng.integers(1, 30))):
            parts.append(Sequences.build(users, rng.integers(0, 6, size), rng.integers(1, 9, size), np.arange(size)))
        before, after = parts
        learn = (
            np.array([int(rng.integers(0, length + 1)) for length in after.lengths])
            if personal
            else np.zeros(len(after), int)
        )
        hits = total = 0
        for place, user in enumerate(after.users):
            items, first = after.of(place)[0].tolist(), int(learn[place]) if personal else 1
            if (personal and not learn[place]) or len(items) <= first:
                continue
            earlier = before.find(user)
            past = [] if earlier is None or not personal else before.of(earlier)[0].tolist()
            for number in range(first, len(items)):
                total += 1
                hits += items[number] in [*past, *items[:number]]
        assert masked_share(before, after, learn, personal) == pytest.approx(hits / total if total else 0.0)


def test_a_difference_that_there_is_not_is_a_dash() -> None:
    assert _difference({"mean": 0.1, "low": None, "high": None, "ratio": {"mean": 1.5}}) == "+0.1000 (-), x 1.500"
    assert (
        _difference({"mean": 0.0, "low": 0.0, "high": 0.0, "ratio": {"mean": None}})
        == "+0.0000 (+0.0000 to +0.0000), x -"
    )


@pytest.mark.parametrize("users", [1, 2])
@pytest.mark.parametrize("rank", [1.0, np.inf], ids=["found", "never found"])
def test_results_and_report_of_few_users_and_of_a_baseline_of_zero(tmp_path: Path, users: int, rank: float) -> None:
    from pocketrec.cloud.config.evaluate import EvaluateConfig
    from pocketrec.cloud.evaluation.evaluate import fleet_metrics
    from pocketrec.cloud.report import write_report
    from pocketrec.commands.results import results

    value = None if np.isinf(rank) else rank
    lines = [json.dumps({"fingerprint": "x"})]
    for number in range(users):
        ranks = {name: [value] for name in ("global", "personal", "repeats", "popularity")}
        entry = {
            "key": f"u{number}",
            "user": f"u{number}",
            "old": True,
            "before": 3,
            "learn": 2,
            "test": 1,
            "unknown": 0,
            "empty": 0,
            "ceiling": 1,
            "ceiling_candidates": 1,
            "decision": {"personal": {"kept": "global"}},
            "ranks": ranks,
            "within": ranks,
            "ms": {},
            "rss_mb": 60.0,
            "infer_difference": 0.0,
            "window": 20,
        }
        lines.append(json.dumps(entry))
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / "users.jsonl").write_text("\n".join(lines) + "\n")
    fleet = {"window": 20, "candidates": 100, "skipped": {}, "device": {"runtime": "x"}}
    (tmp_path / "fleet" / "fleet.json").write_text(json.dumps(fleet))
    sizes = {"model": 1, "candidates_per_user": 1.0, "bundle": 2, "dense_fp32_model": 3, "ratio": 1.0}
    metrics = fleet_metrics(tmp_path / "fleet", evaluate=EvaluateConfig(bootstrap=20), data={"items": 20}, sizes=sizes)
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    said = results(tmp_path)
    assert ("(-)" in said) == (users == 1)
    assert ("x -" in said) == (value is None)
    page = write_report(tmp_path).read_text()
    assert "NaN" not in page
    assert "None" not in page


def test_train_ends_after_training(tmp_path: Path) -> None:
    done: list[str] = []

    def fake(stage: Stage) -> Stage:
        def work(run: Run) -> None:
            done.append(stage.name)
            for path in stage.leaves:
                run.path(path).touch()

        return Stage(stage.name, stage.title, stage.needs, stage.depends, work, stage.leaves, applies=stage.applies)

    stages = [fake(stage) for stage in STAGES]
    for central in (False, True):
        config = config_from_dict({"data": {"set": "synthetic"}, "evaluate": {"central": central}})
        done.clear()
        Pipeline(stages, Run(config, tmp_path / f"run{central}")).execute(TARGETS["train"])
        assert done == ["prepare", "train-early", "train"]
        config = config_from_dict(
            {"data": {"set": "synthetic"}, "evaluate": {"central": central}, "rehearse": {"enabled": False}}
        )
        done.clear()
        Pipeline(stages, Run(config, tmp_path / f"alone{central}")).execute(TARGETS["train"])
        assert done == ["prepare", "train"]


def test_a_stage_that_the_run_has_not_needs_nothing(tmp_path: Path) -> None:
    done: list[str] = []
    stages = [
        Stage("a", "a", (), lambda c: 0, lambda run: done.append("a"), ()),
        Stage("b", "b", ("a",), lambda c: 0, lambda run: done.append("b"), (), applies=lambda c: False),
    ]
    Pipeline(stages, Run(RunConfig(), tmp_path)).execute(["b"])
    assert done == []


def test_stages_go_on_where_the_log_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(tmp_path, LINES) == 0
    summary = (tmp_path / "run" / "data" / "summary.json").read_bytes()
    (tmp_path / "log.csv").rename(tmp_path / "away.csv")
    again = ["prepare", str(tmp_path / "run.toml"), "--out", str(tmp_path / "run")]
    assert main(again) == 0
    said = capsys.readouterr().err
    assert "no file" in said
    assert "continuing with what it has left" in said
    assert "prepare     up to date" in said
    for more in (["--force"], ["--set", "split.quantile=0.7"]):
        assert main([*again, *more]) == 2
        assert (tmp_path / "run" / "data" / "summary.json").read_bytes() == summary, "nothing is lost"
    (tmp_path / "away.csv").rename(tmp_path / "log.csv")
    assert main(again) == 0
    (tmp_path / "log.csv").write_text(table(LINES[:-2]))
    assert main(again) == 0
    assert (tmp_path / "run" / "data" / "summary.json").read_bytes() != summary


def test_a_log_that_never_was_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.toml").write_text('[data]\npath = "nowhere.csv"\n')
    assert main(["report", str(tmp_path / "run.toml"), "--out", str(tmp_path / "run")]) == 2
    assert "no file nowhere.csv: correct data.path" in capsys.readouterr().err


CUT_OFFS = {
    "2020-09-13": 1_599_955_200,
    "2020-09-13T13:00:00Z": 1_600_002_000,
    "2020-09-13T13:00:00": 1_600_002_000,
    "2020-09-13 13:00:00": 1_600_002_000,
    "1600003000": 1_600_003_000,
    "1600003000.5": 1_600_003_000.5,
    "2020-09-13T13:00:00.25Z": 1_600_002_000.25,
    "2020-09-13T15:00:00+02:00": 1_600_002_000,
    "-7": -7,
    "1e9": 1_000_000_000,
}


@pytest.mark.parametrize("written", CUT_OFFS)
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("where", ["file", "option"])
def test_a_cut_off_quoted_or_not(tmp_path: Path, written: str, quoted: bool, where: str) -> None:
    value = f'"{written}"' if quoted else written
    path = tmp_path / "run.toml"
    path.write_text(f'[data]\npath = "x"\n[split]\nkind = "time"\ntime = {value if where == "file" else "1"}\n')
    config = load_config(path, [f"split.time={value}"] if where == "option" else [])
    assert parse_cut_off(config.split.time, lambda: 1.6e9) == CUT_OFFS[written]


def test_cut_offs_in_the_forms_that_logs_may_have() -> None:
    for text in ("2020/09/13", "2020-09-13 00:00:00 UTC", "2020/9/13 00:00"):
        assert parse_cut_off(text, lambda: 1.6e9) == 1_599_955_200
    for text in ("soon", "nan", "inf", "13/09/2020"):
        with pytest.raises(ConfigError, match=r"split\.time"):
            parse_cut_off(text, lambda: 1.6e9)


def test_other_texts_of_the_configuration_need_no_quotes_either() -> None:
    config = config_from_dict({"data": {"path": "x", "keep": {"day": [datetime.date(2020, 9, 13), 1.5, 7]}}})
    assert config.data.keep == {"day": ["2020-09-13", "1.5", "7"]}
    with pytest.raises(ConfigError, match="must be of type str"):
        config_from_dict({"data": {"path": True}})


def test_candidates_of_a_small_catalogue_are_told_as_they_are() -> None:
    users = np.array(["a", "b"], dtype=object)
    full = np.tile(np.r_[np.arange(1, 21), np.zeros(480, int)].astype(np.int32), (2, 1))
    assert Candidates(users, full, full[0]).in_words() == "20 items for each of 2 users"
    full[1, 18:] = 0
    assert Candidates(users, full, full[0]).in_words() == "18 to 20 items for each of 2 users"
    assert Candidates(users[:0], full[:0], full[0]).in_words() == "20 items for each of 0 users"


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 40])
def test_training_stops_at_the_first_batch_whose_loss_is_no_number(
    tmp_path: Path, batch: int, monkeypatch: Any
) -> None:
    import tensorflow as tf

    from pocketrec.cloud.config.model import GruOptions, ModelConfig
    from pocketrec.cloud.config.training import TrainConfig
    from pocketrec.cloud.training.step import TrainSteps
    from pocketrec.cloud.training.trainer import TrainJob, train

    computed = tf.Variable(0)
    whole = TrainSteps.loss

    def broken(self: Any, given: Any, seed: Any, *more: Any) -> Any:
        loss, after = whole(self, given, seed, *more)
        computed.assign_add(1)
        return tf.where(seed[1] == batch - 1, float("nan"), loss), after

    monkeypatch.setattr(TrainSteps, "loss", broken)
    (tmp_path / "log.csv").write_text(table(rows(900, 300, 7)))
    config = DataConfig(path=str(tmp_path / "log.csv"))
    before = split_log(read_log(config), RunConfig().split, config).before
    model = ModelConfig(embedding=4, window=2, tables={"gru": GruOptions(hidden=4, layers=1)})
    with pytest.raises(DataError, match=rf"the loss is nan in batch {batch} of epoch 1: lower train\.learning_rate"):
        train(TrainJob(model, TrainConfig(epochs=1, batch=4, validation=0.0), before, 7), tmp_path)
    assert int(computed) == batch, "no batch after it is computed"
    assert not (tmp_path / "model.keras").exists()
