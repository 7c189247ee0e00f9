# SPDX-License-Identifier: Apache-2.0
"""``pocketrec transfer`` from end to end on a small log: what it writes and prints, how it resumes, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import LONG

from pocketrec import cli
from pocketrec.cloud.config.transfer import load_transfer
from pocketrec.cloud.data.location import data_root
from pocketrec.cloud.transfer import patches, stages, trials
from pocketrec.cloud.transfer.lists import read_lists
from pocketrec.cloud.transfer.models import Models
from pocketrec.cloud.transfer.network import HEAD_BIASES, HEAD_ROWS
from pocketrec.cloud.transfer.rows import load_task, load_test
from pocketrec.device.contract.patch import unpack
from pocketrec.stages import transfer_bundle

CONFIG = """
[data]
path = "{folder}/log.csv"
[model]
backbone = "nextitnet"
embedding = 8
window = 6
[model.nextitnet]
dilations = [1]
[train]
epochs = 1
validation = 0.0
[export]
adapter = 2
[lean]
enabled = {lean}
head = 4
[evaluate]
bootstrap = 50
[resources]
threads = 1
[transfer]
methods = ["fine_all", "untuned", "serial"]
rates = {rates}
epochs = 2
batch = 32
users = [10]
files = true
[transfer.source]
keep = {{ behavior = ["pv"] }}
[transfer.task.buys]
keep = {{ behavior = ["buy"] }}
[transfer.task.gender]
kind = "profile"
path = "users.csv"
column = "gender"
"""
QUIET = ("--quiet",)
NO_LEAN = ("--set", "lean.enabled=false")
# Lean bundles and a choice of rates, which take as long again, are in the long suite.
FORMS = ("bundle", "packed", *(["lean"] if LONG else []))
RATES = [0.003, 0.01] if LONG else [0.01]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Users who walk round a circle of pages, in one direction or the other, and buy what comes next."""
    folder = tmp_path_factory.mktemp("log")
    rows, users = ["user,item,timestamp,behavior"], ["user,gender,planet"]
    for user in range(60):
        step = 1 if user % 3 else -1
        users.append(f"u{user},{'F' if step > 0 else 'M'},earth")
        for time in range(12):
            rows.append(f"u{user},p{(user + step * time) % 12},{2 * time},pv")
        rows.append(f"u{user},p{(user + step * 12) % 12},30,buy")
    (folder / "log.csv").write_text("\n".join(rows) + "\n")
    (folder / "users.csv").write_text("\n".join(users) + "\n")
    (folder / "foreign.csv").write_text("x1,x2,,p1\nx3,,p2\n")
    (folder / "empty.csv").write_text("p1,p2,,\n")
    (folder / "small.toml").write_text(CONFIG.format(folder=folder, lean=str(LONG).lower(), rates=RATES))
    return folder / "small.toml"


def transfer(config: Path, out: Path, *more: str) -> int:
    return cli.main(["transfer", str(config), "--out", str(out), *QUIET, *more])


@pytest.fixture(scope="module")
def run(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert transfer(config, folder) == 0
    return folder


def metrics_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return content


@pytest.mark.slow
def test_all_systems_stand_in_one_table_with_both_rankings(
    run: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert transfer(config, run) == 0, "again: nothing is done, the result is shown"
    shown = capsys.readouterr().out
    metrics = metrics_of(run)
    items, profile = (metrics["tasks"][name]["systems"] for name in ("buys", "gender"))
    methods = {"fine_all", "serial", "fine_all, 10 users", "serial, 10 users"}
    repeated = {f"{name} + repeats" for name in ("fine_all", "serial", "untuned")}
    assert set(items) == {"popularity", "recent", "item_knn", "untuned", *methods, *repeated}
    assert set(profile) == {"majority", *methods}
    for found in items.values():
        measured = {name for name in found if "@" in name}
        assert measured
        assert all(name.startswith(("full_", "sampled_99_")) for name in measured)
    assert 0 < profile["majority"]["full_accuracy"] < 1
    for text in ("task buys: 12 items", "task gender: 2 classes", "popularity", "majority", "full_mrr@20"):
        assert text in shown
    assert "patch serial" in shown
    last = json.loads(shown.splitlines()[-1])
    assert last["tasks"] == metrics["tasks"]
    assert last["patches"]["buys"]["serial"]["share_of_backbone"] == items["serial"]["share_of_backbone"]
    assert items["serial"]["trained_in_backbone"] == 2 * (8 * 2 + 2 + 2 * 8 + 8) + 16
    assert metrics["tasks"]["buys"]["reference"] == "fine_all"
    page = (run / "report.html").read_text(encoding="utf-8")
    for text in ("Task buys", "Task gender", "Fewer training users", "serial.tensors", "<svg"):
        assert text in page


@pytest.mark.slow
@pytest.mark.scaled
def test_patches_and_files_hold_what_was_tuned(run: Path) -> None:
    patch = unpack((run / "transfer/buys/serial.tensors").read_bytes())
    assert (patch.task, patch.kind, patch.way, patch.serial) == ("buys", "items", "patch", 0)
    assert sorted(patch.ids) == sorted(f"p{page}" for page in range(12))
    assert patch.rows.shape == (13, 8)
    assert sorted(tensor.size for tensor in patch.tensors.values()) == [2, 2, 8, 8, 8, 8, 16, 16, 16, 16]
    gender = unpack((run / "transfer/gender/serial.tensors").read_bytes())
    assert gender.ids == ("F", "M")
    assert gender.biases.shape == (3,)
    assert not gender.recipe.repeats.strength
    told = json.loads((run / "transfer/patches.json").read_text())["buys"]["serial"]
    assert told["repeats"]["strength"] == patch.recipe.repeats.strength
    assert told["validation_of_file"] == pytest.approx(told["validation"], abs=0.05)
    assert told["personal"] == {"users": 0, "tried": {}, "chosen": ""}, "a target for each user: nothing to learn from"
    assert not patch.recipe.personalise
    for form in FORMS:
        manifest = json.loads((run / form / "manifest.json").read_text())
        copy = unpack((run / form / "patches/buys.tensors").read_bytes())
        assert copy.model == manifest["model_id"]
        assert (copy.rows == patch.rows).all()
        assert (manifest["model"]["way"], manifest["model"]["compared"]) == ("patch", 12)
    lines = {part: read_lists(run / f"transfer/buys/{part}.csv") for part in ("train", "validation", "test")}
    assert [len(lines[part]) for part in lines] == [42, 6, 12]
    assert all(line.source[-1] != line.targets[0] and len(line.source) == 6 for line in lines["test"])


@pytest.mark.long
def test_interrupted_at_every_stage_it_goes_on_to_the_same_figures(
    run: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [(stages, "save_task", 1), (stages, "_source", 0), (trials, "save_trial", 3), (stages, "make_metrics", 0),
              (transfer_bundle, "write_json", 0), (patches, "write_atomic", 1)]  # fmt: skip
    for module, name, after in places:
        with monkeypatch.context() as patched:
            patched.setattr(module, name, _interrupted(getattr(module, name), after))
            assert transfer(config, tmp_path, *NO_LEAN) == 130
        assert "the same command resumes the work" in capsys.readouterr().err
        assert not (tmp_path / "report.html").exists()
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "transfer/buys/trials").iterdir()}
    assert transfer(config, tmp_path, *NO_LEAN) == 0
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "transfer/buys/trials").iterdir()} == done
    assert metrics_of(tmp_path) == metrics_of(run)
    for task in ("buys", "gender"):
        for name in (f"transfer/{task}/serial.tensors", f"bundle/patches/{task}.tensors"):
            assert (tmp_path / name).read_bytes() == (run / name).read_bytes()


_ON_A_DEVICE = """
import json, sys
from pocketrec.device import Recommender
folder, asked = sys.argv[1], json.loads(sys.argv[2])
found = {}
for user, history in asked.items():
    recommender = Recommender(folder, user=user)
    recommender.add(history)
    found[user] = {name: recommender.task(name).recommend(99) for name in ("buys", "gender", "buys")}
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.scaled
def test_a_device_says_of_test_users_what_the_cloud_judged(run: Path, config: Path) -> None:
    """The patched network in the cloud, with the numbers of the files, against tasks on a device, in every form."""
    made = Models(load_transfer(config), run)
    items = made.vocabulary.ids
    rows = {name: load_test(run, name) for name in ("buys", "gender")}
    asked = {user: [items[row - 1] for row in window[window > 0].tolist()]
             for user, window in zip(rows["buys"].users, rows["buys"].windows, strict=True)}  # fmt: skip
    found = {form: _on_a_device(run / form, asked) for form in FORMS}
    for name, test in rows.items():
        patch, task = unpack((run / f"bundle/patches/{name}.tensors").read_bytes()), load_task(run, name)
        network = made.network("serial", task)
        head = {HEAD_ROWS: patch.head(), HEAD_BIASES: patch.biases}
        network.restart({**patches.as_shipped(made), **patch.tensors, **head})
        for user, scores in zip(test.users, network.scores(test.windows)[:, 1:], strict=True):
            if user not in asked:
                continue
            expected = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
            for form, told in found.items():
                if name == "gender":
                    shares = dict(zip(patch.ids, expected, strict=True))
                    assert dict(told[user][name]) == pytest.approx(shares, abs=1e-4)
                    continue
                bonus = dict(told[user][name])
                raised = {item for item in asked[user] if patch.recipe.repeats.strength}
                for item, score in zip(patch.ids, scores, strict=True):
                    assert item in raised or bonus[item] == pytest.approx(score, abs=1e-3), (form, user, item)


def _on_a_device(folder: Path, asked: dict[str, list[str]]) -> dict[str, dict[str, list[tuple[str, float]]]]:
    """What tasks of a bundle recommend to users, by user and task; in a process without TensorFlow."""
    command = [sys.executable, "-c", _ON_A_DEVICE, str(folder), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, dict[str, list[tuple[str, float]]]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _interrupted(function: Callable[..., Any], after: int) -> Callable[..., Any]:
    """The function, which is interrupted when it is called for the time after so many."""
    calls = iter(range(after))

    def call(*given: Any, **named: Any) -> Any:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return function(*given, **named)

    return call


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["transfer.task.gender.column=name"], "has no column 'name': it has user, gender, planet"),
        (["transfer.task.gender.path=none.csv"], "correct transfer.task.gender.path"),
        (["transfer.split.validation=0.0"], "without validation users nothing chooses rates and epochs"),
        (["transfer.split.validation=0.001"], "has no validation users, of 60 in all"),
        (["transfer.task.lists={path = 'none.csv'}"], "no file none.csv: correct transfer.task.lists.path"),
        (["transfer.methods=['all']"], "methods 'all' is not one of fine_all"),
        (["transfer.task.gender.column=planet"], "[transfer.task.gender] has one class, 'earth'"),
        (["transfer.task.buys.keep={behavior=['gift']}"], "no row passes data.keep and transfer.task.buys.keep"),
        (["transfer.task.lists={path='{folder}/foreign.csv'}"], "the backbone knows no source item"),
        (["transfer.task.lists={path='{folder}/empty.csv'}"], "line 1 of"),
        (["model.tied=false"], "patches: a device holds one item table"),
        (["transfer.methods=['serial','parallel']", "transfer.patches=['serial','parallel']"], "must name one method"),
        (["transfer.patches=['fine_all']"], "puts nothing beside the backbone"),
        (["transfer.personal_rates=[0.0]"], "personal_rates must be above 0"),
    ],
)
def test_bad_input_is_one_line(
    config: Path, tmp_path: Path, changes: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(config.parent)
    given = [word for change in changes for word in ("--set", change.replace("{folder}", folder))]
    assert transfer(config, tmp_path / "run", *given) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert message in told.err
    assert told.err.count("\n") == 1
    assert not (tmp_path / "run/metrics.json").exists()


@pytest.mark.long
@pytest.mark.real_data
def test_on_the_real_log_pretraining_pays_and_a_patch_keeps_it(tmp_path: Path) -> None:
    if not (data_root() / "taobao-userbehavior-sample").is_dir():
        pytest.skip("no Taobao log")
    config = Path(__file__).resolve().parents[3] / "configs/taobao-transfer.toml"
    # What is compared, at the rate that wins: `make measure transfer` tries all methods at three.
    fewer = ("transfer.methods=['fine_all','fine_zero','serial']", "transfer.rates=[0.001]")
    assert transfer(config, tmp_path, *(word for one in fewer for word in ("--set", one))) == 0
    systems = metrics_of(tmp_path)["tasks"]["actions"]["systems"]
    full = {name: found["full_mrr@20"] for name, found in systems.items()}
    assert full["fine_all"] >= 1.3 * full["fine_zero"]
    assert full["serial"] >= 0.98 * full["fine_all"]
    assert systems["serial"]["share_of_backbone"] <= 0.2
    assert full["fine_all"] > 2 * full["popularity"]
