# SPDX-License-Identifier: Apache-2.0
"""`pocketrec audit` as a user calls it: exit status, output, our own runs, no TensorFlow; the figures on MovieLens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from audit_planted import clean, negatives
from started import PROGRAM

from pocketrec import cli
from pocketrec.cloud.audit.case import Parts
from pocketrec.cloud.audit.own import audit_quickly, parts_of_config, parts_of_run
from pocketrec.cloud.audit.table import audit
from pocketrec.cloud.base.runs import write_json
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.data.location import data_root
from pocketrec.cloud.data.prepared import prepare
from pocketrec.cloud.report.audit import audit_section
from pocketrec.device.base.errors import DataError

NO_TENSORFLOW = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "ai_edge_litert", "tflite_runtime", "torch"):
            raise ImportError(name + " is not to be imported here")
sys.meta_path.insert(0, Refuse())
{PROGRAM}
"""


def written(folder: Path, split: Parts) -> list[str]:
    for name, frame in (("train", split.train), ("test", split.test)):
        frame.rename(columns={"time": "timestamp"}).to_csv(folder / f"{name}.csv", index=False)
    return ["--train", str(folder / "train.csv"), "--test", str(folder / "test.csv")]


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, dict[str, Any]]:
    """Exit status, what was printed, the JSON document of the last line."""
    status = cli.main(["audit", "--quiet", *map(str, words)])
    printed = capsys.readouterr()
    if status == 2:
        lines = printed.err.strip().splitlines()
        assert len(lines) == 1, printed.err
        assert lines[0].startswith("error: ")
        assert printed.out == ""
        return status, printed.err, {}
    return status, printed.out, json.loads(printed.out.splitlines()[-1])


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {check["check"]: check["verdict"] for check in document["checks"]}


def test_a_clean_split_ends_with_0_and_a_leaking_one_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = clean()
    status, text, document = call(capsys, *written(tmp_path, split))
    assert (status, document["status"]) == (0, 0)
    assert "future_in_train       ok" in text
    log = pd.concat([split.train, split.test]).sample(frac=1, random_state=1)
    written(tmp_path, Parts("mixed", log.iloc[100:], log.iloc[:100]))
    status, text, document = call(capsys, tmp_path)  # a folder with train.csv and test.csv
    assert (status, document["status"]) == (1, 1)
    assert verdicts(document)["future_in_train"] == "fail"
    assert set(document["checks"][0]) == {"check", "verdict", "sentence", "number", "share", "figures", "advice"}


def test_cannot_tell_changes_no_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = clean()
    words = written(tmp_path, Parts("bare", split.train[["user", "item"]], split.test[["user", "item"]]))
    status, _, document = call(capsys, *words)
    assert status == 0
    assert document["counts"]["cannot tell"] == 6


def test_the_page_is_one_file_that_shows_every_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "audit.html"
    _, _, document = call(capsys, *written(tmp_path, clean()), "--html", page)
    text = page.read_text(encoding="utf-8")
    assert all(check["check"] in text for check in document["checks"])
    assert text.startswith("<!doctype html>")
    assert "http" not in text
    assert "src=" not in text


def test_words_of_files_are_escaped_on_the_page() -> None:
    check = {"check": "x", "verdict": "fail", "number": 1, "share": None, "sentence": "<b>", "advice": "<i>"}
    assert "&lt;b&gt;" in audit_section({"checks": [check], "skipped": {}, "notes": ["<u>"]})
    assert "<u>" not in audit_section({"checks": [check], "skipped": {}, "notes": ["<u>"]})
    assert audit_section({}) == ""


def test_predictions_negatives_and_results_beside_a_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = clean()
    words = written(tmp_path, split)
    items = split.train["item"].unique()
    users = split.test["user"].unique()
    pd.DataFrame({"user": np.repeat(users, len(items)), "item": np.tile(items, len(users)), "score": 0.5}).to_csv(
        tmp_path / "predictions.csv", index=False
    )
    negatives(split, 20, knows_test=True).to_csv(tmp_path / "negatives.csv", index=False)
    (tmp_path / "results.csv").write_text("trial,test_ndcg@20\n1,.2\n2,.3\n")
    words += ["--predictions", str(tmp_path / "predictions.csv"), "--negatives", str(tmp_path / "negatives.csv"),
              "--results", str(tmp_path / "results.csv")]  # fmt: skip
    status, _, document = call(capsys, *words)
    found = verdicts(document)
    assert status == 1
    assert (found["ties"], found["negatives_avoid_test"], found["chosen_on_test"]) == ("fail", "fail", "warn")


@pytest.mark.parametrize(("words", "said"), [
    ([], "name what to audit"),
    (["no-such-run"], "is not a run directory and no .toml file"),
    (["no-such.toml"], "no configuration file"),
    (["--train", "no-such.csv", "--test", "x.csv"], "no file no-such.csv"),
    (["--train", "no-such.csv"], "name what to audit"),
    (["x", "--train", "a", "--test", "b"], "not both"),
    (["--replay", "x {log} {out}"], "--replay needs --log and --cut too"),
    (["x", "--replay", "x {log} {out}", "--log", "l", "--cut", "1"], "no other target"),
    (["--replay", "x {log} {out}", "--log", "no-such-log", "--cut", "1"], "no file no-such-log"),
    (["x", "--session-gap", "-1"], "must not be negative"),
    (["x", "--cut", "5"], "--cut belongs to --replay"),
    (["x", "--set", "seed=2"], "name a .toml file"),
    (["x", "--html", "."], "is a folder"),
])  # fmt: skip
def test_unusable_input_is_one_line_and_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, text, _ = call(capsys, *words)
    assert status == 2
    assert said in text


# --- our own runs -----------------------------------------------------------------------------------------------


def prepared(folder: Path, **split: Any) -> Path:
    """A run in which `prepare` is done, over a CSV file."""
    log = clean(users=40).train
    folder.mkdir(exist_ok=True)
    log.rename(columns={"time": "timestamp"}).to_csv(folder / "log.csv", index=False)
    config = RunConfig(data=DataConfig(path=str(folder / "log.csv")), split=SplitConfig(**split))
    prepare(config, folder / "run")
    write_json(folder / "run" / "config.json", config.to_dict())
    return folder / "run"


def test_our_splits_pass_and_their_counts_are_those_of_pandas(tmp_path: Path) -> None:
    verdict = audit(parts_of_run(prepared(tmp_path)))
    assert verdict.status == 0
    assert verdict.of("recount").verdict == "ok"
    assert verdict.of("trained_before_cut").verdict == "ok"
    assert verdict.of("popularity").verdict == "ok"


@pytest.mark.parametrize("split", [
    {"kind": "quantile", "quantile": 0.7}, {"kind": "time", "time": "1699625508"}, {"kind": "per_user"},
    {"kind": "time", "time": "2023-11-10"},
])  # fmt: skip
def test_pandas_counts_every_kind_of_split_as_the_splitter_does(tmp_path: Path, split: dict[str, Any]) -> None:
    found = audit(parts_of_run(prepared(tmp_path, **split))).of("recount")
    assert found.verdict == "ok", found.sentence


@pytest.mark.parametrize("form", ["dates", "parquet dates", "nanoseconds", "fractions", "bad rows"])
def test_pandas_reads_every_form_of_time_as_the_reader_does(tmp_path: Path, form: str) -> None:
    log = clean(users=40).train.rename(columns={"time": "timestamp"})
    path = tmp_path / ("log.parquet" if form.startswith("parquet") else "log.csv")
    if form == "fractions":
        log["timestamp"] += np.arange(len(log)) / 7
    elif form == "nanoseconds":
        log["timestamp"] = log["timestamp"] * 10**9 + np.arange(len(log))
    elif form == "bad rows":
        log["timestamp"] = log["timestamp"].astype(object)
        log.loc[[3, 50], "timestamp"] = "never"
    else:
        log["timestamp"] = pd.to_datetime(log["timestamp"], unit="s", utc=True)
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
        log.to_parquet(path)
    else:
        if form == "dates":
            log["timestamp"] = log["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        log.to_csv(path, index=False)
    verdict = audit(parts_of_config(RunConfig(data=DataConfig(path=str(path), max_bad_share=0.1)), "x"))
    assert verdict.of("recount").verdict == "ok", (verdict.of("recount").sentence, verdict.notes)
    assert verdict.status == 0


def test_a_split_by_a_column_is_counted_too(tmp_path: Path) -> None:
    log = clean(users=40).train.rename(columns={"time": "timestamp"})
    log["split"] = np.where(log["timestamp"] < log["timestamp"].quantile(0.8), "train", "test")
    log.to_csv(tmp_path / "log.csv", index=False)
    config = RunConfig(data=DataConfig(path=str(tmp_path / "log.csv")), split=SplitConfig(kind="column"))
    verdict = audit(parts_of_config(config, "x"))
    assert (verdict.status, verdict.of("recount").verdict) == (0, "ok")


def test_a_fault_of_the_splitter_is_not_repeated(tmp_path: Path) -> None:
    """An event of the test that gets into what the cloud sees is found, whoever put it there."""
    run = prepared(tmp_path, kind="time", time="1699625508")
    other = prepared(tmp_path / "other", kind="time", time="1699754148")
    (other / "data" / "cloud" / "before.npz").rename(run / "data" / "cloud" / "before.npz")
    (other / "data" / "cloud" / "items.txt").rename(run / "data" / "cloud" / "items.txt")
    (other / "data" / "cloud" / "counts.npy").rename(run / "data" / "cloud" / "counts.npy")
    verdict = audit(parts_of_run(run))
    assert verdict.status == 1
    assert verdict.of("recount").verdict == "fail"
    assert verdict.of("trained_before_cut").verdict == "fail"
    assert verdict.of("future_in_train").verdict in ("fail", "warn")


def test_the_quick_part_is_written_and_told_in_a_line(tmp_path: Path) -> None:
    run = prepared(tmp_path)
    assert audit_quickly(run).startswith("audit: no check failed")
    document = json.loads((run / "audit.json").read_text())
    assert document["status"] == 0
    assert "recount" not in verdicts(document)
    assert "<h2>Leaks</h2>" in audit_section(document)


def test_a_run_without_a_test_still_gets_its_report(tmp_path: Path) -> None:
    run = prepared(tmp_path)
    np.save(
        run / "data" / "devices" / "learn.npy", np.full_like(np.load(run / "data" / "devices" / "learn.npy"), 10**6)
    )
    assert "nothing to check" in audit_quickly(run)
    assert "has no event" in json.loads((run / "audit.json").read_text())["notes"][0]


def test_a_log_that_is_gone_leaves_the_rest_of_the_audit(tmp_path: Path) -> None:
    run = prepared(tmp_path)
    (tmp_path / "log.csv").unlink()
    verdict = audit(parts_of_run(run))
    assert verdict.status == 0
    assert "recount" in verdict.skipped
    assert "was not counted again" in verdict.notes[0]


@pytest.mark.parametrize("name", ["data/cloud/before.npz", "data/cloud/counts.npy", "config.json",
                                  "data/devices/after.npz", "data/devices/learn.npy"])  # fmt: skip
def test_damaged_runs_are_one_line(tmp_path: Path, name: str) -> None:
    run = prepared(tmp_path)
    path = run / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"again|prepare"):
        parts_of_run(run)
    path.unlink()
    with pytest.raises(DataError, match=r"again|prepare"):
        parts_of_run(run)


@pytest.mark.slow
def test_everything_works_without_tensorflow(tmp_path: Path) -> None:
    """A run, a configuration, files, a replay and a page, where importing TensorFlow or a runtime raises."""
    run = prepared(tmp_path)
    (tmp_path / "small.toml").write_text(f'[data]\npath = "{tmp_path / "log.csv"}"\n')
    (tmp_path / "copy.py").write_text("import sys, shutil\nshutil.copy(sys.argv[1], sys.argv[2])\n")
    files = written(tmp_path, clean())
    replayed = ["--replay", f"{sys.executable} {tmp_path / 'copy.py'} {{log}} {{out}}", "--log", tmp_path / "log.csv",
                "--cut", "80%"]  # fmt: skip
    for words, status in (([run, "--html", tmp_path / "x.html"], 0), ([tmp_path / "small.toml"], 0), (files, 0),
                          (replayed, 1)):  # fmt: skip
        done = subprocess.run([sys.executable, "-c", NO_TENSORFLOW, "audit", "--quiet", *map(str, words)],
                              capture_output=True, text=True, check=False, env=os.environ, cwd=os.sep)  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["status"] == status


# --- MovieLens 100K ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def movielens() -> pd.DataFrame:
    path = data_root() / "ml-100k" / "interactions.csv.gz"
    if not path.exists():
        pytest.skip(f"no {path}")
    log = pd.read_csv(path, dtype={"user": str, "item": str})[["user", "item", "timestamp"]]
    return log.rename(columns={"timestamp": "time"}).sort_values("time", kind="stable")


def leave_one_out(log: pd.DataFrame) -> Parts:
    last = ~log.duplicated("user", keep="last")
    return Parts("leave-one-out", log[~last], log[last])


@pytest.mark.real_data
def test_leave_one_out_random_and_global_on_movielens(
    movielens: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = np.random.default_rng(1).random(len(movielens)) < 0.2
    cut = movielens["time"].iloc[int(0.8 * len(movielens))]
    expected = (
        (leave_one_out(movielens), 1, 0.413),
        (Parts("random", movielens[~drawn], movielens[drawn]), 1, 0.5),
        (Parts("global", movielens[movielens["time"] < cut], movielens[movielens["time"] >= cut]), 0, 0.0),
    )
    for split, wanted, share in expected:
        status, _, document = call(capsys, *written(tmp_path, split))
        found = {check["check"]: check for check in document["checks"]}
        assert status == wanted, split.name
        assert found["future_per_target"]["share"] == pytest.approx(share, abs=0.003), split.name


@pytest.mark.real_data
def test_the_negatives_of_pfedrec_on_movielens(movielens: pd.DataFrame) -> None:
    """Its sampler takes what neither training nor test has; a strict one knows training alone. 40 a user."""
    split = leave_one_out(movielens)
    for knows_test in (True, False):
        drawn = negatives(split, 40, knows_test=knows_test)
        found = audit(Parts("pfedrec", split.train, split.test, negatives=drawn)).of("negatives_avoid_test")
        assert found.figures["expected"] == pytest.approx(24.0, abs=0.5)
        if knows_test:
            assert (found.verdict, found.number) == ("fail", 0)
            assert found.figures["p"] < 1e-10
        else:
            assert found.verdict == "ok"
            assert found.figures["p"] > 0.01
