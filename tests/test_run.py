# SPDX-License-Identifier: Apache-2.0
"""A whole run, small, through the command line: what it leaves, what it promises, how it continues."""

from __future__ import annotations

import csv
import html
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import LONG
from started import POCKETREC

from pocketrec.cloud.audit.altered import altered_log
from pocketrec.cloud.audit.own import parts_of_run
from pocketrec.cloud.audit.replay import first_difference
from pocketrec.cloud.audit.table import audit
from pocketrec.cloud.audit.tables import USUAL
from pocketrec.cloud.config.baselines import BASELINES
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.model import BACKBONES
from pocketrec.cloud.data.readers import read_log

pytestmark = pytest.mark.slow

LATER_ITEM, LATER_USER = "planted-item", "planted-user"
TELLTALE = "telltale"  # in every folder that the run is made of or in, and the name of user and machine
CONFIG = """
[data]
path = "{log}"
[split]
quantile = 0.7
[model]
embedding = 8
gru.hidden = 8
gru.layers = 1
window = 4
[train]
epochs = 2
validation = 0.0
[candidates]
k = 10
als.factors = 8
[rehearse]
quantile = 0.7
users = 10
ways = ["partial"]
learning_rates = [0.05]
passes = [2]
proximals = [0.0]
targets = ["later"]
[personalise]
way = "head"
passes = 2
[lean]
enabled = {whole}
head = 20
[evaluate]
bootstrap = 100
central = {whole}
[refit]
enabled = {whole}
"""


def _pocketrec(*words: object) -> subprocess.CompletedProcess[str]:
    named = dict.fromkeys(("USER", "LOGNAME", "HOSTNAME"), TELLTALE)
    done = subprocess.run([*POCKETREC, *map(str, words)], capture_output=True, text=True, check=False, cwd=os.sep,
                          env={**os.environ, **named})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic log as CSV, to which the last user and item of all have been added."""
    folder = tmp_path_factory.mktemp(f"log-of-{TELLTALE}")
    log = read_log(DataConfig(set="synthetic", synthetic={"users": 40, "items": 60, "events": 60}), None)
    users, items = log.users.values[log.users.codes], log.items.values[log.items.codes]
    rows = list(zip(users, items, log.timestamps.tolist(), strict=True))
    latest = max(row[2] for row in rows)
    planted = [(LATER_USER, LATER_ITEM, latest + 1), (LATER_USER, rows[0][1], latest + 2)]
    with (folder / "log.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("user", "item", "timestamp"), *rows, *planted])
    # Lean bundles, the central model and training on the whole log, which take as long again, are in the long suite.
    (folder / "small.toml").write_text(CONFIG.format(log=folder / "log.csv", whole=str(LONG).lower()), encoding="utf-8")
    return folder / "small.toml"


@pytest.fixture(scope="module")
def run(config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The run directory of a whole run, and what it printed."""
    folder = tmp_path_factory.mktemp(f"runs-of-{TELLTALE}") / "run"
    return folder, _pocketrec("run", config, "--out", folder).stdout


def _metrics(folder: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def test_it_leaves_what_the_readme_says(run: tuple[Path, str]) -> None:
    folder, printed = run
    for name in ("config.json", "versions.json", "metrics.jsonl", "metrics.json", "train/model.keras",
                 "bundle/manifest.json", "bundle/model.tflite", "bundle/MODEL_CARD.md", "bundle.zip",
                 "report.html"):  # fmt: skip
        assert (folder / name).stat().st_size, name
    assert str(folder / "bundle") in printed
    for system in ("global", "personal", "naive", "naive_all", *(["central"] if LONG else []), *BASELINES):
        assert f"\n{system} " in printed
    card = (folder / "bundle" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| measure | global | personal | " in card
    verdict = _metrics(folder)["verdict"]["sentence"]
    assert f"\n{verdict}\n" in printed
    assert f"Verdict: {verdict}." in card
    assert verdict[1:] in html.unescape((folder / "report.html").read_text(encoding="utf-8"))


def test_a_run_that_does_not_meet_a_demand_ends_with_3(run: tuple[Path, str], config: Path) -> None:
    demands = ["--fail-under", "mrr@20=1.5", "--fail-under", "recall@5=0"]
    done = subprocess.run([*POCKETREC, "run", str(config), "--out", str(run[0]), *demands], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 3, done.stderr
    figure = _metrics(run[0])["personal"]["mrr@20"]
    words = f"mrr@20 of what devices recommend is {figure:.4f}, less than 1.5"
    assert json.loads(done.stdout.splitlines()[-1])["gate"] == {"passed": False, "failed": [words]}
    assert done.stderr.splitlines()[-1] == f"failed: {words}"


def test_metrics_keep_their_names(run: tuple[Path, str]) -> None:
    metrics = _metrics(run[0])
    for system in ("global", "personal", *BASELINES):
        for measure in ("recall", "mrr", "ndcg"):
            for k in (5, 10, 20):
                assert 0 <= metrics[system][f"{measure}@{k}"] <= 1
    assert {"evaluated", "gained", "harmed", "kept_global"} <= metrics["users"].keys()
    assert 0 <= metrics["ceiling"] <= 1
    assert {"model", "candidates_per_user", "dense_fp32_model", "ratio"} <= metrics["bytes"].keys()
    assert {"runtime", "train_ms_p50", "embed_ms_p50", "infer_ms_p50", "peak_rss_mb"} <= metrics["device"].keys()


def test_nothing_after_the_cut_off_is_in_what_the_cloud_made(run: tuple[Path, str]) -> None:
    """Feature D1: a planted later event is in the devices' files, and in no other."""
    folder = run[0]
    assert LATER_USER.encode() in (folder / "data" / "devices" / "after.npz").read_bytes()
    made = [path for part in ("data/cloud", "train", "baselines", "candidates", "rehearse", "export",
                                                 "bundle")
            for path in (folder / part).rglob("*") if path.is_file()]  # fmt: skip
    assert len(made) > 12
    for path in made:
        content = path.read_bytes()
        assert LATER_ITEM.encode() not in content, path
        assert LATER_USER.encode() not in content, path


def test_no_check_of_the_audit_fails(run: tuple[Path, str]) -> None:
    """Feature N4: of the whole audit, and of the quick part that the run has left."""
    verdict = audit(parts_of_run(run[0]))
    assert verdict.status == 0, verdict.to_dict()
    checks = {row.check for row in verdict.rows}
    assert {"recount", "vocabulary", "popularity", "candidate_items", "sampled_metric"} <= checks
    quick = json.loads((run[0] / "audit.json").read_text(encoding="utf-8"))
    assert (quick["status"], len(quick["checks"]) > 10) == (0, True)
    assert "<h2>Leaks</h2>" in (run[0] / "report.html").read_text(encoding="utf-8")


@pytest.mark.scaled
def test_no_shipped_file_tells_where_or_by_whom_it_was_made(run: tuple[Path, str], tmp_path: Path) -> None:
    """Every file that a device may get, in every form: bundle, packed, lean, what is published of them, archives."""
    folder = run[0]
    forms = ("bundle", "packed", *(["lean"] if LONG else []))
    for name in forms:
        _pocketrec("publish", folder / name, "--to", tmp_path / name)
    shipped = {
        str(path): path.read_bytes() for top in (*(folder / name for name in forms), tmp_path)
        for path in top.rglob("*") if path.is_file()
    }  # fmt: skip
    for name in ("bundle.zip", "packed.zip"):
        archive = zipfile.ZipFile(folder / name)
        shipped |= {f"{name}: {member.filename}": archive.read(member) for member in archive.infolist()}
        shipped[name] = (folder / name).read_bytes()
    assert sum("MODEL_CARD.md" in name for name in shipped) == len(forms) + 2
    told = {TELLTALE, str(folder.parent), tempfile.gettempdir() + os.sep, sys.prefix + os.sep, f"{Path.home()}{os.sep}",
            str(Path(__file__).resolve().parents[1])}  # fmt: skip
    found = [(name, words) for name, content in shipped.items() for words in told if words.encode() in content]
    assert not found


@pytest.mark.long
def test_another_future_of_known_items_changes_no_byte_of_what_the_cloud_makes(config: Path, tmp_path: Path) -> None:
    """Feature D1, where an id would not show: every later event is of another known user and item (the audit's log)."""
    log = config.parent / "log.csv"
    with log.open(encoding="utf-8", newline="") as file:
        moments = sorted(float(row["timestamp"]) for row in csv.DictReader(file))
    cut = int(moments[int(0.7 * len(moments))])
    futures = altered_log(log, str(cut), USUAL, (), tmp_path / "logs")
    made = []
    for path in (futures.same, futures.other):
        folder = tmp_path / f"run-{path.name}"
        words = [f"data.path={path}", "data.format=csv", "split.kind=time", f"split.time={cut}", "train.epochs=1",
                 "lean.enabled=false"]  # fmt: skip
        _pocketrec("export", config, "--out", folder, *(part for word in words for part in ("--set", word)))
        made.append(folder)
    for name in ("data/cloud/before.npz", "candidates/candidates.npz", "baselines/als/item_factors.npy",
                 "baselines/als/user_factors.npy", "baselines/item_knn/similarities.npy",
                 "baselines/recent_popularity/by_row.npy", "rehearse/recipe.json",
                 "export/model.tflite", "export/item_embeddings.npy"):  # fmt: skip
        assert first_difference(made[0] / name, made[1] / name) is None, name
    weights = [zipfile.ZipFile(folder / "train" / "model.keras").read("model.weights.h5") for folder in made]
    assert weights[0] == weights[1]
    later = [(folder / "data" / "devices" / "after.npz").read_bytes() for folder in made]
    assert later[0] != later[1]


@pytest.mark.long
@pytest.mark.feature("D16")
def test_the_central_model_is_compared_and_stays_in_the_cloud(run: tuple[Path, str]) -> None:
    metrics, folder = _metrics(run[0]), run[0]
    assert metrics["compare"]["personal_central"]["mrr@20"]["users"] == metrics["users"]["evaluated"]
    if "repeats" in metrics:
        assert "personal_repeats" in metrics["compare"]
    central = {path.read_bytes() for path in (folder / "central").glob("*") if path.is_file()}
    assert len(central) > 2
    bundled = [path.read_bytes() for path in (folder / "bundle").rglob("*") if path.is_file()]
    assert not central & set(bundled)
    assert (folder / "bundle" / "model.tflite").read_bytes() == (folder / "export" / "model.tflite").read_bytes()


def test_a_second_run_does_nothing_and_shows_the_same(run: tuple[Path, str], config: Path) -> None:
    folder, printed = run
    before = (folder / "bundle" / "manifest.json").read_bytes()
    again = _pocketrec("run", config, "--out", folder)
    assert again.stderr.count("up to date") == (11 if LONG else 9)
    assert again.stdout == printed
    assert (folder / "bundle" / "manifest.json").read_bytes() == before


@pytest.mark.long
def test_what_is_trained_on_the_whole_log_is_published_and_knows_later_items(
    run: tuple[Path, str], tmp_path: Path
) -> None:
    folder, printed = run
    evaluated, refitted = (json.loads((folder / part / "bundle" / "manifest.json").read_text(encoding="utf-8"))
                           for part in (".", "refit"))  # fmt: skip
    with np.load(folder / "data" / "devices" / "after.npz") as file:
        latest = file["timestamps"].max()
    assert evaluated["cut_off"] < refitted["cut_off"] >= latest + 1
    assert "measured" not in evaluated
    assert refitted["measured"]["model_id"] == evaluated["model_id"] != refitted["model_id"]
    assert refitted["measured"]["events"] > refitted["measured"]["events_evaluated"] > 0
    ids = [(folder / part / "bundle" / "items.txt").read_text(encoding="utf-8").split() for part in (".", "refit")]
    assert LATER_ITEM not in ids[0]
    assert LATER_ITEM in ids[1]
    card = (folder / "refit" / "bundle" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"of model `{evaluated['model_id'][:12]}`" in card
    assert _metrics(folder)["verdict"]["sentence"] in card
    assert (folder / "refit" / "rehearse" / "recipe.json").read_bytes() == (
        folder / "rehearse" / "recipe.json").read_bytes()  # fmt: skip
    assert "trained on the whole log" in printed
    (tmp_path / "events.csv").write_text(f"item,timestamp\n{LATER_ITEM},{latest + 5}\n", encoding="utf-8")
    common = ("--bundle", folder / "refit" / "bundle", "--user", LATER_USER, "--state", tmp_path / "state")
    _pocketrec("personalise", *common, "--events", tmp_path / "events.csv")
    best = json.loads(_pocketrec("recommend", *common, "-k", len(ids[1])).stdout.splitlines()[-1])
    assert LATER_ITEM in best["items"]
    published = json.loads(_pocketrec("publish", folder, "--to", tmp_path / "site").stdout.splitlines()[-1])
    assert Path(published["source"]) == folder / "refit" / "packed"


def test_a_device_learns_and_recommends_from_the_bundle(run: tuple[Path, str], tmp_path: Path) -> None:
    folder = run[0]
    user = _pocketrec("events", folder, "--out", tmp_path / "events.csv").stdout.strip()
    common = ("--bundle", folder / "bundle", "--user", user, "--state", tmp_path / "state")
    printed = _pocketrec("personalise", *common, "--events", tmp_path / "events.csv").stdout
    learned = json.loads(printed.splitlines()[-1])
    assert learned["events"] > 0
    best = json.loads(_pocketrec("recommend", *common, "-k", 5).stdout.splitlines()[-1])
    assert len(best["items"]) == 5
    assert (tmp_path / "state").exists()


@pytest.mark.long
@pytest.mark.parametrize("backbone", ["sasrec", "grec"])
def test_another_backbone_goes_all_the_way(config: Path, tmp_path: Path, backbone: str) -> None:
    """Trained, exported, checked on the runtimes, and made personal by a patch: a causal one and one that is not.

    What comes after the export knows of the backbone nothing else. The others go as far in test_two_stages.py (towers),
    test_transfer_command.py (nextitnet), and by the exporter's tests and Java's (all).
    """
    words = (f"model.backbone={backbone}", "personalise.way=patch", "rehearse.enabled=false", "evaluate.naive=false",
             "evaluate.central=false", "baselines.knn.tune=false", "lean.enabled=false",
             "refit.enabled=false")  # fmt: skip
    if not getattr(BACKBONES[backbone], "causal", True):
        words += ("train.objective=cloze",)
    named = [part for word in words for part in ("--set", word)]
    _pocketrec("run", config, "--out", tmp_path / "run", *named)
    manifest = json.loads((tmp_path / "run" / "bundle" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["model"]["backbone"] == backbone
    assert manifest["model"]["adapter"] > 0
    assert {"global", "personal"} <= _metrics(tmp_path / "run").keys()


@pytest.mark.long
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(
    run: tuple[Path, str], config: Path, tmp_path: Path
) -> None:
    folder, seconds = tmp_path / "run", random.Random(1)
    for _ in range(3):
        process = subprocess.Popen([*POCKETREC, "run", str(config), "--out", str(folder)], stderr=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, cwd=os.sep)  # fmt: skip
        time.sleep(seconds.uniform(4, 14))
        process.kill()
        process.wait()
    _pocketrec("run", config, "--out", folder)
    ours, theirs = _metrics(folder), _metrics(run[0])
    for metrics in (ours, theirs):
        del metrics["device"]  # times and memory
        del metrics["bytes"]  # the model card holds figures of the machine
    assert ours == theirs
    for name in ("rehearse/recipe.json", "export/model.tflite"):
        assert (folder / name).read_bytes() == (run[0] / name).read_bytes(), name


@pytest.mark.long
def test_a_log_with_its_own_split_is_judged_by_the_global_model_alone(config: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    with (config.parent / "log.csv").open(encoding="utf-8", newline="") as source:
        rows = [row for row in csv.DictReader(source) if row["item"] != LATER_ITEM]
    with log.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("user", "item", "timestamp", "split"))
        for row in rows:
            part = "test" if row["user"][-1] in "05" else "train"
            writer.writerow((row["user"], row["item"], row["timestamp"], part))
    words = ["--set", f"data.path={log}", "--set", "split.kind=column", "--set", "lean.enabled=false",
             "--set", "refit.enabled=false"]  # fmt: skip
    printed = _pocketrec("run", config, "--out", tmp_path / "run", *words).stdout
    metrics = _metrics(tmp_path / "run")
    assert "personal" not in metrics
    assert 0 < metrics["global"]["recall@20"] <= 1
    what = "the global model and its neighbours" if "neighbours" in metrics else "the global model alone"
    assert what in printed
    assert json.loads((tmp_path / "run" / "neighbours" / "neighbours.json").read_bytes())["users"] > 0
    assert (tmp_path / "run" / "report.html").exists()
