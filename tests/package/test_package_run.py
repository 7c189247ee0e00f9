# SPDX-License-Identifier: Apache-2.0
"""A package that adds a line to every seam goes through a whole run, in processes of its own, and onto a device."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from laid import HERE, lay
from started import POCKETREC

from pocketrec.device.engine.runtime import find_runtimes

CONFIG = """
[data]
set = "synthetic"
synthetic = {users = 40, items = 40, events = 60}
[split]
quantile = 0.7
[model]
backbone = "mean"
embedding = 8
window = 4
[train]
epochs = 2
validation = 0.0
[ranker]
kind = "cosine"
[candidates]
method = "latest"
k = 10
latest.own = 6
[baselines]
judged = ["popularity", "recent", "fresh"]
options.fresh.first = false
[rehearse]
quantile = 0.7
neighbours = 0
users = 40
ways = ["biases"]
optimizers = ["adagrad"]
learning_rates = [0.3]
passes = [10]
proximals = [0.0]
targets = ["later"]
repeats = [0.0]
[personalise]
way = "biases"
passes = 2
[evaluate]
bootstrap = 100
central = true
"""


def pocketrec(*words: object, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with the package where it lies in `site`."""
    paths = [*([str(site)] if site else []), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in paths if path)}
    command = [*POCKETREC, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=os.sep)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("config") / "ours.toml"
    file.write_text(CONFIG, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def run(site: Path, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    done = pocketrec("run", config, "--out", folder, site=site)
    assert done.returncode == 0, done.stderr
    return folder


def table(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.long
def test_the_file_is_made_of_it_and_checked_on_every_runtime(run: Path) -> None:
    facts = table(run / "export" / "facts.json")
    assert facts["ranker"] == "cosine"
    assert [layer["kind"] for layer in facts["tensors"]["layers"]] == ["mean", "dense"]
    assert [spec["name"] for spec in facts["tensors"]["trainable"]] == ["fc_bias"]
    assert (facts["model"]["backbone"], facts["model"]["way"]) == ("mean", "biases")
    installed = {runtime.name for runtime in find_runtimes() if runtime.installed}
    assert installed <= set(facts["gate"]["runtimes"])


@pytest.mark.long
def test_the_bundle_names_it(run: Path) -> None:
    manifest = table(run / "bundle" / "manifest.json")
    assert manifest["ranker"] == "cosine"
    assert table(run / "bundle" / "recipe.json")["way"] == "biases"


@pytest.mark.long
def test_it_is_rehearsed_and_judged(run: Path) -> None:
    rehearsal = table(run / "rehearse" / "rehearsal.json")
    assert rehearsal["chosen"] .startswith("biases adagrad 0.3")
    assert rehearsal["trials"][-1]["unguarded"]["mean"] > 0
    metrics = table(run / "metrics.json")
    for system in ("fresh", "global", "personal", "central"):
        assert 0 <= metrics[system]["mrr@20"] <= 1
    assert metrics["rehearsal"]["chosen"] == rehearsal["chosen"]
    assert metrics["users"]["kept_personal"] > 0
    assert metrics["candidates"]["k"] == 10
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Fresh items" in page
    assert "biases" in page, "the way that the devices train"
    assert "mean, E 8, T 4" in page


@pytest.mark.long
def test_a_device_becomes_personal_with_the_bundle(run: Path, site: Path, tmp_path: Path) -> None:
    items = (run / "bundle" / "items.txt").read_text(encoding="utf-8").split()
    after = float(table(run / "bundle" / "manifest.json")["cut_off"])
    events = tmp_path / "events.csv"
    lines = [f"{items[place % 7]},{after + 60 * place}" for place in range(30)]
    events.write_text("\n".join(["item,timestamp", *lines]) + "\n", encoding="utf-8")
    words = ("--bundle", run / "bundle", "--user", "u", "--events", events, "--state", tmp_path / "u.state")
    done = pocketrec("personalise", *words, site=site)
    assert done.returncode == 0, done.stderr
    learned = json.loads(done.stdout.splitlines()[-1])
    assert learned["events"] > 0
    assert learned["losses"][-1] < learned["losses"][0]
    done = pocketrec("recommend", *words[:4], *words[6:], "-k", 5, site=site)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout.splitlines()[-1])
    assert shown["weights"] == learned["choice"]
    assert len(shown["items"]) == 5
    assert all(abs(score) <= 10 for score in shown["scores"]), "a cosine times ten"


@pytest.mark.long
def test_without_the_package_a_device_and_a_run_refuse_in_one_line(run: Path, config: Path, tmp_path: Path) -> None:
    done = pocketrec("recommend", "--bundle", run / "bundle")
    assert done.returncode == 2
    assert "its ranker 'cosine' is not known here (known: inner_product, ranknet): install the package" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    done = pocketrec("run", config, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "backbone 'mean' is not one of gru" in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_documentation_lists_its_files() -> None:
    page = (HERE.parents[1] / "docs" / "development.md").read_text(encoding="utf-8")
    section = page.partition("## In a package of your own")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `([\w./]+)` \|", section, re.MULTILINE)
    files = [HERE / "pyproject.toml", *(HERE / "ours").glob("*.py")]
    assert sorted(named) == sorted(path.relative_to(HERE).as_posix() for path in files)
