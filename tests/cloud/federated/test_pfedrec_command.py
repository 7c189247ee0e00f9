# SPDX-License-Identifier: Apache-2.0
"""``pocketrec pfedrec`` from end to end on a small log: what it writes and prints, how it resumes, what it refuses."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import LONG
from started import POCKETREC
from tastes import tastes_log

from pocketrec import cli
from pocketrec.cloud.config.baselines import BASELINES, label_of
from pocketrec.cloud.federated.pfedrec import rounds
from pocketrec.cloud.federated.pfedrec.config import PFedRecConfig, load_pfedrec
from pocketrec.cloud.federated.pfedrec.data import split_log
from pocketrec.cloud.federated.pfedrec.sampling import Sampler, forbidden_items
from pocketrec.device.base.errors import ConfigError

CONFIG = """
[data]
path = "{log}"
[pfedrec]
sampling = ["strict", "paper"]
latent = 4
rounds = 5
eta = 4.0
batch = 64
share = 0.5
noise_sweep = [0.5]
int8_too = true
central_epochs = 3
checkpoint = 0.0
[candidates.als]
factors = 4
iterations = 3
[evaluate]
bootstrap = 100
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, log = tmp_path_factory.mktemp("log"), tastes_log(users=60, items=400, events=24)
    columns = zip(log.users.codes.tolist(), log.items.codes.tolist(), log.timestamps.tolist(), strict=True)
    rows = ["user,item,timestamp", *(f"u{user},i{item},{moment}" for user, item, moment in columns)]
    (folder / "log.csv").write_text("\n".join(rows), encoding="utf-8")
    (folder / "small.toml").write_text(CONFIG.format(log=folder / "log.csv"), encoding="utf-8")
    return folder / "small.toml"


@pytest.fixture(scope="module")
def run(config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A whole run: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    done = subprocess.run([*POCKETREC, "pfedrec", str(config), "--out", str(folder), "--quiet"], capture_output=True,
                          text=True, check=False, cwd=os.sep)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def test_all_systems_stand_in_one_table_with_both_rankings(run: tuple[Path, str]) -> None:
    folder, printed = run
    metrics = _json(folder / "metrics.json")
    tables = ("shared", "own", "random table", "random head", "local only")
    wanted = {f"{sampling}/{table}" for sampling in ("strict", "paper") for table in tables}
    wanted |= {f"strict, {kind}/{table}" for kind in ("noise 0.5", "int8") for table in ("shared", "own")}
    assert set(metrics["systems"]) == wanted | {"central MF", *BASELINES}
    for name, found in metrics["systems"].items():
        assert {"hr@10", "ndcg@10", "recall@20", "mrr@20", "ndcg@20"} <= set(found)
        assert any(line.startswith(label_of(name) + " ") for line in printed.splitlines())
    assert "among 99 sampled" in printed
    assert "full ranking" in printed
    assert metrics["protocol"]["sampled_negatives"] == 99
    assert metrics["protocol"]["reference"] == "strict/shared"
    assert "own tables: only with repeats" in printed
    last = json.loads(printed.splitlines()[-1])
    assert last["systems"]["strict/shared"]["hr@10"] == metrics["systems"]["strict/shared"]["hr@10"]
    assert metrics["protocol"]["item_rate"] == last["protocol"]["item_rate"] > 0


def test_systems_are_compared_user_by_user(run: tuple[Path, str]) -> None:
    metrics = _json(run[0] / "metrics.json")
    systems, reference = metrics["systems"], metrics["systems"]["strict/shared"]
    assert "strict/shared" not in metrics["compare"]
    for name, found in metrics["compare"].items():
        for measure in ("hr@10", "recall@20", "mrr@20"):
            entry = found[measure]
            assert entry["mean"] == pytest.approx(systems[name][measure] - reference[measure])
            assert entry["low"] <= entry["mean"] <= entry["high"]
            assert entry["users"] == 60


def test_f6_clients_that_were_never_sampled_have_a_column_of_their_own(config: Path, tmp_path: Path) -> None:
    fewer = ["--set", "pfedrec.rounds=2", "--set", "pfedrec.clients=9", "--set", "pfedrec.local=false"]
    assert cli.main(["pfedrec", str(config), "--out", str(tmp_path), "--quiet", *fewer]) == 0
    systems = _json(tmp_path / "metrics.json")["systems"]
    shared, own = systems["strict/shared"], systems["strict/own"]
    assert 42 <= shared["never_sampled"]["clients"] <= 51
    assert shared["never_sampled"]["scored_with"] == "shared table, first head"
    assert own["never_sampled"]["scored_with"] == "first table, first head"
    count = shared["never_sampled"]["clients"]
    mean = (count * shared["never_sampled"]["hr@10"] + (60 - count) * shared["sampled"]["hr@10"]) / 60
    assert mean == pytest.approx(shared["hr@10"])


def test_f12_the_result_tells_bytes_by_form(run: tuple[Path, str]) -> None:
    size = _json(run[0] / "metrics.json")["bytes"]
    items, rows = _json(run[0] / "metrics.json")["data"]["items"], size["touched_rows_mean"]
    assert size["down"] == size["up"]["full float32"] == 16 * items
    assert size["up"]["full int8"] == 8 * items
    assert size["up"]["touched float32"] == pytest.approx(20 * rows)
    assert size["up"]["touched int8"] == pytest.approx(12 * rows)
    assert size["whole_run_up"] == pytest.approx(16 * items * 5 * 0.5)


def test_there_is_a_page_and_a_history(run: tuple[Path, str]) -> None:
    page = (run[0] / "report.html").read_text(encoding="utf-8")
    for text in ("strict/shared", "paper/local only", "touched int8", "<svg"):
        assert text in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    lines = [json.loads(line) for line in (run[0] / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["round"] for line in lines if line["training"] == "strict"] == [0, 1, 2, 3, 4]


def test_a_finished_run_is_not_done_again(run: tuple[Path, str], config: Path,
                                          capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    before = (run[0] / "metrics.json").stat().st_mtime_ns
    assert cli.main(["pfedrec", str(config), "--out", str(run[0])]) == 0
    shown = capsys.readouterr()
    assert shown.err.count("up to date") == 7
    assert (run[0] / "metrics.json").stat().st_mtime_ns == before
    assert shown.out == run[1]


@pytest.mark.long
def test_a_killed_run_goes_on_to_the_same_result(run: tuple[Path, str], config: Path, tmp_path: Path) -> None:
    """Killed when another checkpoint or block of clients is written, in the long suite three times; the end is that of
    the run that was not."""
    command = [*POCKETREC, "pfedrec", str(config), "--out", str(tmp_path), "--quiet"]
    kills = 0
    while kills < (3 if LONG else 1):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=os.sep)
        before = _written(tmp_path)
        while process.poll() is None and _written(tmp_path) == before:
            time.sleep(0.01)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=os.sep)
    assert (done.returncode, done.stderr) == (0, "")
    assert _json(tmp_path / "metrics.json") == _json(run[0] / "metrics.json")
    for path in sorted(tmp_path.rglob("*.npz")):
        assert path.read_bytes() == (run[0] / path.relative_to(tmp_path)).read_bytes(), path


def _written(folder: Path) -> list[tuple[str, int]]:
    found = []
    for path in folder.glob("pfedrec/*/*.npz"):
        try:
            found.append((path.name, path.stat().st_mtime_ns))
        except FileNotFoundError:  # replaced this moment
            continue
    return sorted(found)


def test_rounds_go_on_from_a_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    split, _ = split_log(tastes_log(users=40, items=400, events=20), 1)
    sampler = Sampler(split, forbidden_items(split, "strict"), 4)
    options = PFedRecConfig(latent=4, rounds=6, eta=4.0, share=0.4, noise=0.1, checkpoint=0.0)
    whole = rounds.train(options, split, sampler, tmp_path / "whole", seed=2)

    def stop(number: int) -> None:
        if number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rounds.train(options, split, sampler, tmp_path / "parts", seed=2, after=stop)
    assert rounds.Trace.load(tmp_path / "parts" / rounds.CHECKPOINT_FILE).state.rounds == 4
    done = []
    parts = rounds.train(options, split, sampler, tmp_path / "parts", seed=2, after=done.append)
    assert done == [4, 5]
    assert np.array_equal(whole.state.table, parts.state.table)
    assert np.array_equal(whole.curve, parts.curve)
    files = [tmp_path / name / rounds.CHECKPOINT_FILE for name in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pfedrec.round=3", "unknown key pfedrec.round: the keys here are average, batch, bits"),
        ("train.epochs=3", "unknown key train: the keys of a PFedRec run are seed, data, baselines, candidates"),
        ("pfedrec.sampling=['loose']", "sampling 'loose' is not one of strict, paper"),
        ("pfedrec.rounds=0", "rounds must be at least 1"),
        ("pfedrec.table=random", "table 'random' is not one of shared, own"),
        ("pfedrec.bits=4", "bits must be 8 or 32"),
        ("pfedrec.eta=inf", "eta must be above 0 and finite"),
        ("pfedrec.share=0.0", r"share must lie in \(0, 1\]"),
    ],
)
def test_a_wrong_configuration_is_one_line(config: Path, tmp_path: Path, override: str, message: str,
                                           capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    assert cli.main(["pfedrec", str(config), "--out", str(tmp_path / "run"), "--set", override]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    with pytest.raises(ConfigError, match=message):
        load_pfedrec(config, [override])
    assert not (tmp_path / "run").exists()


def test_a_log_of_too_few_items_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"u{user},i{user * 3 + place},{place}" for user in range(20) for place in range(9)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item,timestamp", *rows]), encoding="utf-8")
    (tmp_path / "c.toml").write_text(f'[data]\npath = "{tmp_path / "log.csv"}"\n', encoding="utf-8")
    assert cli.main(["pfedrec", str(tmp_path / "c.toml"), "--out", str(tmp_path / "run"), "--quiet"]) == 2
    assert "198 untouched ones are needed" in capsys.readouterr().err


def test_what_cannot_be_said_is_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two clients, whose reference hits nothing: a ratio to nothing is not a number, and JSON knows no NaN."""
    rows = [f"{user},{user}{place},{place}" for user in ("a", "b") for place in range(200)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item,timestamp", *rows]), encoding="utf-8")
    text = f'[data]\npath = "{tmp_path / "log.csv"}"\n[pfedrec]\nrounds = 2\nlocal = false\ncentral_epochs = 1\n'
    (tmp_path / "c.toml").write_text(text, encoding="utf-8")
    assert cli.main(["pfedrec", str(tmp_path / "c.toml"), "--out", str(tmp_path / "run"), "--quiet"]) == 0

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"), parse_constant=refuse)
    json.loads(capsys.readouterr().out.splitlines()[-1], parse_constant=refuse)
    assert metrics["data"]["clients"] == 2
    assert metrics["systems"]["strict/shared"]["mrr@20"] == 0
    assert metrics["compare"]["strict/own"]["mrr@20"]["ratio"]["mean"] is None
    assert (tmp_path / "run" / "report.html").exists()


def test_a_diverging_training_is_one_line(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pfedrec", str(config), "--out", str(tmp_path), "--quiet", "--set", "pfedrec.eta=1e36"]
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the item table is no longer finite: lower pfedrec.eta or learning_rate" in line


def test_f7_own_tables_are_said_to_be_for_logs_with_repeats(config: Path, tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    own = ["--set", "pfedrec.table=own", "--set", "pfedrec.local=false", "--set", "pfedrec.noise_sweep=[]", "--set",
           "pfedrec.int8_too=false"]  # fmt: skip
    assert cli.main(["pfedrec", str(config), "--out", str(tmp_path), *own]) == 0
    shown = capsys.readouterr()
    assert "own tables: only with repeats" in shown.err
    assert _json(tmp_path / "metrics.json")["protocol"]["reference"] == "strict/own"
    assert not list((tmp_path / "pfedrec").glob("*noise*"))


def test_the_keys_in_the_docs_are_those_of_the_code() -> None:
    docs = Path(__file__).parents[3] / "docs"
    spec = importlib.util.spec_from_file_location("configuration_page", docs / "configuration.py")
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page._tables("pfedrec", PFedRecConfig)[0].strip() in (docs / "pfedrec.md").read_text(encoding="utf-8")
