# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of bytes and of training, from end to end on small logs: they run, and their figures hang together."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketrec import cli
from pocketrec.device.contract.recipe import GuardRecipe, Recipe

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SMALL = {
    "data.set": "synthetic", "data.synthetic": "{users = 60, items = 80}", "model.embedding": 8, "model.gru.hidden": 8,
    "model.gru.layers": 1, "model.window": 6, "train.epochs": 2, "train.batch": 16, "train.validation": 0.0,
    "candidates.als.factors": 4, "candidates.als.iterations": 2, "candidates.k": 10, "export.batch": 2,
    "resources.threads": 1,
}  # fmt: skip


def run(name: str, *arguments: str) -> dict[str, Any]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**environment, "PYTHONDONTWRITEBYTECODE": "1"}
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.long
@pytest.mark.feature("D9")
def test_the_bytes_ledger(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("", encoding="utf-8")
    named = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    blocks = ["--set", "model.item_blocks=[[0.2, 8], [0.8, 2]]", "--set", "model.share=none"]
    for stage, folder, more in (("train", "run", []), ("candidates", "run", []), ("train", "blocks", blocks)):
        assert cli.main([stage, str(tmp_path / "c.toml"), "--out", str(tmp_path / folder), "--quiet",
                         "--set", "rehearse.enabled=false", *named, *more]) == 0  # fmt: skip
    rows = run("bytes_ledger.py", str(tmp_path / "run"), "--bits", "4", "--item-bits", "4", "--users", "20",
               "--head", "10", "--lean", "20", "--beside", str(tmp_path / "blocks"))["rows"]  # fmt: skip
    forms = {row["form"]: row for row in rows}
    dense = forms["dense float32"]
    items = json.loads((tmp_path / "run" / "data" / "summary.json").read_text())["items"]
    gru_and_fc = (8 * 24 + 8 * 24 + 48) + (8 * 8 + 8)
    assert dense["bytes"] == 4 * (8 * items + gru_and_fc)
    for row in rows:
        assert row["ratio"] == pytest.approx(dense["bytes"] / row["bytes"], rel=1e-3)
        assert row["full_change"] == pytest.approx(row["full"] / dense["full"] - 1)
    eight, four = (forms[f"kernels {bits} bits, rows {bits}: update"] for bits in (8, 4))
    assert four["bytes"] < eight["bytes"] < forms["kernels 8 bits, rows 8: first install"]["bytes"]
    assert eight["full"] == pytest.approx(dense["full"], abs=0.05)
    assert forms["kernels 8 bits, rows 8, own rows: update"]["rows"] < items
    assert any(form.startswith("lean, head 20") for form in forms)
    popular = round(0.2 * items)
    in_blocks = 8 * popular + 2 * (items - popular) + (8 + 2) * 8
    assert forms["blocks: dense float32"]["parameters"] == in_blocks + gru_and_fc
    assert forms["blocks: update"]["bytes"] < eight["bytes"]
    assert forms["blocks: first install"]["mrr"] == pytest.approx(forms["blocks: dense float32"]["mrr"], abs=0.05)


@pytest.mark.parametrize("told", [True, False], ids=["by the user", "by chance"])
def test_what_a_guard_could_spare_is_what_a_users_own_events_tell(told: bool, tmp_path: Path) -> None:
    """Losses of the same users every time can be spared; as many, strewn over all events, cannot."""
    rng = np.random.default_rng(5)
    lines = []
    for user in range(300):
        loses = np.full(8, user % 5 < 2) if told else rng.random(8) < 0.4
        ranks = {"global": [2] * 8, "personal": np.where(loses, 1000, 1).tolist()}
        lines.append({"user": f"u{user:03}", "ranks": ranks, "within": {}})
    folder = tmp_path / "run" / "fleet"
    folder.mkdir(parents=True)
    (folder / "users.jsonl").write_text("\n".join(map(json.dumps, [{"fingerprint": "x"}, *lines])), encoding="utf-8")
    (tmp_path / "run" / "rehearse").mkdir()
    recipe = Recipe(guard=GuardRecipe(enabled=False)).to_dict()
    (tmp_path / "run" / "rehearse" / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    found = run("guard_bound.py", str(tmp_path / "run"))["runs"][str(tmp_path / "run")]
    assert found["users"] == 300
    assert found["gain"] == pytest.approx(0.6 * 0.5 - 0.4 * 0.5, abs=0.03)
    if told:
        assert (found["correlation"], found["harmed"], found["harmed_again"]) == (pytest.approx(1.0), 0.4, 1.0)
        assert found["guarded"] == {"harmed": 0.0, "gain": pytest.approx(0.3 / 0.1)}
    else:
        assert abs(found["correlation"]) < 0.2
        assert found["harmed_again"] == pytest.approx(found["harmed"], abs=0.1)
        assert found["guarded"]["harmed"] > 0.8


@pytest.mark.long
def test_faiss_beside_the_exact_search() -> None:
    pytest.importorskip("faiss")
    found = run("ann.py", "--items", "3000", "--users", "600")
    assert found["recall@100_flat"] == 1.0
    assert found["probes"] <= found["lists"]
    assert found["taken"] == (found["recall_tried"] >= 0.99)
    assert found["recall@100"] == pytest.approx(found["recall_tried"], abs=0.02)
    assert found["ratio"] == pytest.approx(found["faiss_cpu_ms"] / found["exact_cpu_ms"], rel=0.01)


@pytest.mark.long
def test_training_throughput_of_models_in_turns() -> None:
    """Two sizes of one backbone: what is said for all, for each, and by old flags arrives where it belongs."""
    found = run("train_throughput.py", "--items", "300", "--steps", "2", "--calls", "2", "--batch", "8", "--embedding",
                "8", "--window", "5", "--layers", "1", "--threads", "1", "--option", "gru.hidden=4",
                "--backbone", "gru", "gru:hidden=16")  # fmt: skip
    first, second = found["rows"]
    assert (first["model"], second["model"]) == ("gru", "gru:hidden=16")
    for row, hidden in ((first, 4), (second, 16)):
        gru_and_fc = (8 + hidden) * 3 * hidden + 6 * hidden + (hidden + 1) * 8
        assert row["weights"] == 301 * 8 + gru_and_fc
        assert len(row["raw_step_ms"]) == len(row["raw_step_cpu_ms"]) == 2
        assert row["items"] == 300
        assert row["events_per_s"] > 0
    assert first["targets_per_step"] == second["targets_per_step"]
    for key in ("events_per_s_p50", "events_per_cpu_s_p50"):
        assert first[f"{key}_of_first"] == 1
        assert second[f"{key}_of_first"] == pytest.approx(second[key] / first[key], abs=0.01)


@pytest.mark.long
def test_devices_of_models_in_turns() -> None:
    """Two sizes of one backbone on a runtime, without PyTorch; the second is made personal in a way of its own."""
    found = run("peers/device.py", "--model", "gru:hidden=8,layers=1", "--model", "gru@whole:hidden=16,layers=1",
                "--items", "60", "--embedding", "8", "--window", "4", "--batch", "2", "--rounds", "2", "--calls", "3",
                "--way", "head", "--optimizer", "sgd", "--negatives", "0", "8",
                "--runtime", "ai_edge_litert")  # fmt: skip
    assert found["way"] == "head"
    rows = found["rows"]
    assert [row["negatives"] for row in rows] == [0, 0, 8, 8]
    gru = (8 + 16) * 3 * 16 + 6 * 16
    assert [row["trained"] for row in rows] == 2 * [8 * 8 + 8, gru + 16 * 8 + 8]
    for first, second in (rows[:2], rows[2:]):
        assert first["model"] == "gru:hidden=8,layers=1"
        assert second["model"] == "gru@whole:hidden=16,layers=1"
        for row in (first, second):
            assert row["name"] == "ai_edge_litert"
            assert row["of_pytorch"] is None
            assert row["base_mb"] == first["base_mb"] > 0
            assert row["peak_rss_mb"] >= row["base_mb"] + row["above_base_mb"] - 0.11
            assert [len(one["raw_ms"]["train"]) for one in row["rounds"]] == [3, 3]
        for key in ("train_ms_p50", "train_ms_least", "embed_ms_p50", "embed_ms_least", "file_bytes", "above_base_mb"):
            assert first[f"{key}_of_first"] == 1
            assert second[f"{key}_of_first"] == pytest.approx(second[key] / first[key], abs=0.001)
        assert second["file_bytes"] > first["file_bytes"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--backbone", "gru", "gru"], "error: one model is named twice in gru, gru: leave one out"),
        (["--backbone", "lstm"], "error: there is no backbone lstm: choose of gru"),
        (["--backbone", "gru:hidden"], "error: 'hidden' is no option: write KEY=VALUE, such as hidden=64"),
        (["--backbone", "gru:units=4"], "error: unknown key gru.units: the keys here are "),
        (["--backbone", "lstm@patch"], "error: there is no backbone lstm: choose of gru"),
        (["--option", "hidden=4"], "error: 'hidden=4' is no option: write BACKBONE.KEY=VALUE, such as gru.hidden=64"),
        (["--option", "lstm.hidden=4"], "error: lstm has options and is not measured: name it, or leave its options"),
    ],
)
def test_a_wrong_name_or_option_of_a_model_is_one_line(words: list[str], says: str) -> None:
    command = [sys.executable, str(BENCHMARKS / "train_throughput.py"), *words]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env={**environment, "PYTHONDONTWRITEBYTECODE": "1"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(says)
    assert done.stderr.count("\n") == 1


def judged(run: Path, ranks: dict[str, list[int]]) -> str:
    """A run's folder as far as the paired comparison reads it: ranks of each user's positions by the global model."""
    (run / "fleet").mkdir(parents=True)
    lines = [{"key": user, "user": user, "ranks": {"global": of}, "within": {}} for user, of in ranks.items()]
    text = "".join(json.dumps(line) + "\n" for line in [{"fingerprint": ""}, *lines])
    (run / "fleet" / "users.jsonl").write_text(text, encoding="utf-8")
    return str(run)


def test_two_runs_user_by_user(tmp_path: Path) -> None:
    """Users of two pairs are pooled; the order of the lines says nothing, and a mean is over users, not positions."""
    first = [judged(tmp_path / "a", {"u": [1, 2], "v": [4]}), judged(tmp_path / "b", {"u": [30]})]
    second = [judged(tmp_path / "c", {"v": [2], "u": [1, 1]}), judged(tmp_path / "d", {"u": [10]})]
    found = run("paired.py", "--first", *first, "--second", *second)
    assert found["users"] == 3
    reciprocal = found["mrr@20"]
    assert reciprocal["first"] == pytest.approx((0.75 + 0.25 + 0) / 3)
    assert reciprocal["mean"] == pytest.approx((0.25 + 0.25 + 0.1) / 3)
    assert (reciprocal["gained"], reciprocal["harmed"]) == (3, 0)
    assert reciprocal["low"] == pytest.approx(0.1)
    assert found["recall@20"]["mean"] == pytest.approx(1 / 3)
    again = run("paired.py", "--first", *second, "--second", *first)
    assert again["mrr@20"]["mean"] == pytest.approx(-reciprocal["mean"])
    assert again["mrr@20"]["harmed"] == 3


def test_runs_of_other_positions_are_not_compared(tmp_path: Path) -> None:
    runs = [judged(tmp_path / "a", {"u": [1, 2]}), judged(tmp_path / "b", {"u": [1]})]
    command = [sys.executable, str(BENCHMARKS / "paired.py"), "--first", runs[0], "--second", runs[1]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {runs[0]} and {runs[1]} have not judged global on the same users")
    assert done.stderr.count("\n") == 1


@pytest.mark.long
def test_meta_learning_adapts_as_the_rehearsed_devices_do(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("", encoding="utf-8")
    recipe = {
        "data.synthetic": "{users = 30, items = 40}", "rehearse.ways": '["partial"]', "rehearse.targets": '["later"]',
        "rehearse.learning_rates": [0.02], "rehearse.passes": [2], "rehearse.repeats": [0.0], "rehearse.neighbours": 0,
    }  # fmt: skip
    settings = [f"{key}={value}" for key, value in {**SMALL, **recipe}.items()]
    config, out = str(tmp_path / "c.toml"), str(tmp_path / "run")
    named = [word for setting in settings for word in ("--set", setting)]
    assert cli.main(["rehearse", config, "--out", out, "--quiet", *named]) == 0
    found = run("meta_learning.py", config, "--out", out, "--set", *settings, "--rate", "0.02", "--passes", "2",
                "--epochs", "1", "--methods", "maml + rates")  # fmt: skip
    text = (tmp_path / "run" / "rehearse" / "screening.jsonl").read_text(encoding="utf-8")
    _, *lines = map(json.loads, text.splitlines())
    assert found["users"] == len(lines)
    base = sum(line["base"][0] for line in lines) / len(lines)
    (trial,) = lines[0]["gain"]
    gain = sum(line["gain"][trial][0] for line in lines) / len(lines)
    rows = {row["system"]: row for row in found["without bonus"]}
    assert gain != 0
    assert rows["global"]["mrr20"] == pytest.approx(base, abs=1e-4)
    assert rows["plain"]["mrr20"] == pytest.approx(base + gain, abs=1e-4)
    assert {"more training", "maml + rates, not adapted", "maml + rates, adapted"} < rows.keys()


def test_the_memory_of_a_device_is_compared_with_numpy_and_the_runtime_alone() -> None:
    """How much memory that is, no test can say: it depends on the processor. `make bench` tells it."""
    if "POCKETREC_TEST_BUNDLE" not in os.environ:
        pytest.skip("no test bundle: make one with tests/make_bundle.py")
    reference = f"{os.environ['POCKETREC_TEST_BUNDLE']}.reference"
    found = run("memory.py", reference, "--rounds", "1", "--runtime", "ai_edge_litert")
    assert found["runtime"] == "ai_edge_litert"
    assert found["peak_mb"] > found["base_mb"] > 0
    assert found["difference_mb"] == pytest.approx(found["peak_mb"] - found["base_mb"], abs=0.11)
    assert found["ratio"] == pytest.approx(found["peak_mb"] / found["base_mb"], abs=0.01)


@pytest.mark.long
def test_retrieval_ranking_and_lists(tmp_path: Path) -> None:
    """Small files: the signature finds what numpy finds, and lists what they promised."""
    found = run("retrieve.py", "--items", "9000", "--runtimes", "ai_edge_litert", "--keep", str(tmp_path / "retrieve"))
    assert found["sizes"][0]["same"] > 0.99
    assert found["sizes"][0]["recall"] > 0.97
    ranked = run("rank.py", "--items", "300", "--runtimes", "ai_edge_litert")["runtimes"][0]
    assert ranked["rank_1000_ms_p50"] > 0
    lists = run("lists.py", "--items", "3000", "--recall", "0.9")
    assert lists["shipped"] == ("there is no index" not in lists["reason"])
    assert lists["recall"] >= 0.9 or not lists["shipped"]


@pytest.mark.long
def test_users_a_minute_of_the_fleet() -> None:
    found = run("fleet_speed.py", "--users", "6", "--rounds", "1", "--events", "12", "--passes", "1")
    here = found["sides"]["here"]
    assert set(found["sides"]) == {"here"}
    assert "ratio" not in found
    assert {"few_ms", "cpu_ms", "fleet_cpu_ms", "a_minute"} <= here.keys()
    assert all(math.isfinite(value) for value in here.values())
    assert 0 <= here["personal"] <= here["trained_twice"] <= 1
    assert found["files"]["here"]["packed"] < found["files"]["here"]["bytes"]
