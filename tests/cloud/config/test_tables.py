# SPDX-License-Identifier: Apache-2.0
"""Every table of a seam: its targets load and follow their protocol, its options are checked, its names are printed."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from started import POCKETREC

from pocketrec.cloud.candidates import Candidates
from pocketrec.cloud.config.baselines import BASELINES
from pocketrec.cloud.config.candidates import CANDIDATES
from pocketrec.cloud.config.layers import LAYERS
from pocketrec.cloud.config.mingru import MINGRU_STARTS
from pocketrec.cloud.config.model import BACKBONES, GRU_IMPLEMENTATIONS, GRU_STARTS
from pocketrec.cloud.config.personalise import DEVICE_OPTIMIZERS, DEVICE_WAYS, WAYS
from pocketrec.cloud.config.ranker import RANKERS
from pocketrec.cloud.config.split import SPLITS
from pocketrec.cloud.config.training import BATCHINGS, DECAYS, LOSSES, OBJECTIVES, OPTIMIZERS, SAMPLERS
from pocketrec.cloud.config.transfer import METHODS, TASK_LOSSES, TASK_SAMPLERS
from pocketrec.cloud.data.prepared import load_cloud
from pocketrec.device.base.choices import Table
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.engine.runtimes import RUNTIMES

ROOT = Path(__file__).resolve().parents[3]
TABLES = (
    BACKBONES, GRU_IMPLEMENTATIONS, GRU_STARTS, MINGRU_STARTS, CANDIDATES, BATCHINGS, OBJECTIVES, OPTIMIZERS,
    DECAYS, LOSSES, SAMPLERS, DEVICE_OPTIMIZERS, SPLITS, RUNTIMES, BASELINES, RANKERS, WAYS, DEVICE_WAYS, LAYERS,
    METHODS, TASK_LOSSES, TASK_SAMPLERS,
)  # fmt: skip
LINES = [pytest.param(table, name, id=f"{table.key}-{name}") for table in TABLES for name in table]

#: Arguments of a target that is a function, or methods of one that is a class.
PROTOCOLS: dict[str, tuple[str, ...]] = {
    "model.backbone": ("build", "train_embeddings", "state_shape", "resolved", "packs"),
    "candidates.method": ("build",),
    "personalise.optimizer": ("begin_step", "apply"),
    "personalise.way": ("layers", "trains"),
    "layer kind": ("forward", "backward"),
    "split.kind": ("log", "split"),
    "train.decay": ("done",),
    "train.sampler": ("options", "counts"),
    "train.batching": ("config", "sequences", "weights", "window", "packed"),
    "train.objective": ("config", "sequences", "weights", "window", "packed"),
    "baselines.judged": ("fit", "scores", "arrays", "restore"),
    "model.gru.start": ("gru_layers", "fc", "config", "seed"),
    "model.mingru.start": ("blocks", "config", "seed"),
    "transfer.loss": ("users", "rows", "biases", "targets", "negatives"),
    "transfer.sampler": ("targets", "rho"),
    "resources.runtime": ("allocate_tensors", "get_signature_runner"),
}
OF_A_TYPE = {"train.loss": "Loss", "train.optimizer": "Optimizer", "transfer.methods": "Method"}


@pytest.mark.parametrize(("table", "name"), LINES)
def test_a_target_loads_and_follows_its_protocol(table: Table, name: str) -> None:
    if name == "tflite_runtime" and sys.version_info >= (3, 12):  # which has no wheels for these
        with pytest.raises(ImportError):
            table.load(name)
        return
    target = table.load(name)
    wanted = PROTOCOLS.get(table.key, ())
    if table.key in OF_A_TYPE:
        assert type(target).__name__ == OF_A_TYPE[table.key]
    elif inspect.isclass(target):
        assert all(callable(getattr(target, method, None)) for method in wanted)
    else:
        names = [parameter.lstrip("_") for parameter in inspect.signature(target).parameters]
        assert callable(target)
        assert not wanted or names == list(wanted)


@pytest.mark.parametrize(("table", "name"), LINES)
def test_a_line_says_what_it_is_and_its_options_have_defaults(table: Table, name: str) -> None:
    choice = table[name]
    assert choice.says
    assert "\n" not in choice.says
    kind = choice.options_class()
    if kind is not None:
        assert dataclasses.is_dataclass(kind)
        assert kind() == kind()
        with pytest.raises(dataclasses.FrozenInstanceError):
            kind().x = 1


@pytest.mark.parametrize(("table", "name"), LINES)
def test_a_line_has_a_row_in_the_documentation(table: Table, name: str) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = page.partition(f"| `{table.key}` | what it is | options |")[2].partition("\n\n")[0]
    choice = table.own[name]
    section = getattr(choice, "section", "") or f"{table.key.rpartition('.')[0]}.{name}"
    options = f"`[{section}]`" if choice.options else ""
    assert f"| `{name}` | {choice.says} | {options} |" in rows


def test_every_table_is_tested_here() -> None:
    found = set()
    for path in [*(ROOT / "cloud" / "config").glob("*.py"), *(ROOT / "device" / "engine").glob("*.py")]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        module = importlib.import_module(f"pocketrec.{name}")
        found |= {id(value) for value in vars(module).values() if isinstance(value, Table)}
    assert found == {id(table) for table in TABLES}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.key)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(table: Table) -> None:
    with pytest.raises(ConfigError, match="is not known: it is one of") as caught:
        table.load("foo")
    assert all(name in str(caught.value) for name in table)


def test_options_of_choices_that_are_not_chosen_are_kept_and_checked() -> None:
    from pocketrec.cloud.config.load import config_from_dict
    from pocketrec.cloud.config.section import key_values

    config = config_from_dict({"train": {"rank": {"rho": 0.3}}, "candidates": {"file": {"path": "x.csv"}}})
    assert config.train.options_of("rank").rho == 0.3
    assert config.train.options_of("popularity").alpha == 0.5, "its default"
    assert config.to_dict()["train"]["rank"] == {"rho": 0.3}
    assert config_from_dict(config.to_dict()) == config
    assert "file" not in key_values(config.candidates), "what is not chosen shapes nothing"
    for tables, message in (
        ({"train": {"rank": {"rho": -1.0}}}, r"\[train.rank\] rho must be"),
        ({"train": {"rank": {"alpha": 1.0}}}, "unknown key train.rank.alpha: the keys here are rho"),
        ({"train": {"zipf": {"alpha": 1.0}}}, r"\[train.zipf\] belongs to no choice"),
        ({"train": {"bpr": {"alpha": 1.0}}}, r"\[train.bpr\] has no keys: bpr has no options"),
    ):
        with pytest.raises(ConfigError, match=message):
            config_from_dict(tables)


PLUGIN = '''
from dataclasses import dataclass
from pocketrec.device.base.choices import Choice
from pocketrec.cloud.config.candidates import SourceChoice

@dataclass(frozen=True)
class Options:
    width: int = 4

    def __post_init__(self):
        if self.width < 1:
            from pocketrec.device.base.errors import ConfigError
            raise ConfigError("[model.mean] width must be at least 1")

class Latest:
    """The items that the user had last."""

    def build(self, options, k, past):
        import numpy as np
        from pocketrec.cloud.candidates import Candidates, popular_rows
        rows = np.zeros((len(past.before), k), np.int32)
        for user in range(len(rows)):
            own = list(dict.fromkeys(past.before.of(user)[0][::-1].tolist()))[:k]
            rows[user, : len(own)] = own
        return Candidates(past.before.users, rows, popular_rows(past.items, k))

class Mean:
    """A backbone of no layer."""

    def layers(self, config):
        return ()

MEAN = Choice("strangers:Mean", "mean of the item embeddings", "strangers:Options")
LATEST = SourceChoice("strangers:Latest", "the items that the user had last")
WRONG = "no choice"
'''


def plugin(folder: Path, points: str, module: str = PLUGIN) -> Path:
    """A package as pip leaves it: a module, and a dist-info folder that names entry points."""
    folder.mkdir(exist_ok=True)
    (folder / "strangers.py").write_text(module, encoding="utf-8")
    info = folder / "strangers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    return folder


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(points: str) -> Path:
        folder = plugin(tmp_path / "site", points)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, "strangers", raising=False)
        return folder

    yield install
    sys.modules.pop("strangers", None)


def test_an_installed_package_adds_a_choice_with_options(installed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pocketrec.cloud.config.load import config_from_dict
    from pocketrec.cloud.config.section import key_values

    installed("[pocketrec.backbones]\nmean = strangers:MEAN\n")
    config = config_from_dict({"model": {"backbone": "mean", "mean": {"width": 7}}})
    assert config.model.options.width == 7
    assert config.to_dict()["model"]["mean"] == {"width": 7}
    values = key_values(config.model)
    assert values["mean"] == {"width": 7}
    assert not {"hidden", "gru"} & set(values), "another backbone's options shape nothing"
    with pytest.raises(ConfigError, match=r"\[model.mean\] width must be at least 1"):
        config_from_dict({"model": {"mean": {"width": 0}}})
    monkeypatch.delattr(sys.modules["strangers"], "Mean")
    with pytest.raises(ConfigError, match=r"model.backbone mean does not load \(strangers:Mean\)"):
        BACKBONES.load("mean")


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("gru = strangers:MEAN", r"'gru' \(package strangers\) exists already"),
        ("odd = strangers:WRONG", r"'odd' \(package strangers\) is not a pocketrec.device.base.choices.Choice"),
        ("odd = strangers:NONE", r"'odd' \(package strangers\) does not load"),
    ],
)
def test_a_package_that_is_wrong_is_told_by_name(installed: Any, point: str, message: str) -> None:
    installed(f"[pocketrec.backbones]\n{point}\n")
    with pytest.raises(ConfigError, match=message):
        BACKBONES.names()


@pytest.mark.long
def test_a_source_of_an_installed_package_works_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Candidates are the items that the user had last; the stage before it, and the run's record, know it as well."""
    folder = plugin(tmp_path / "site", "[pocketrec.candidates]\nlatest = strangers:LATEST\n")
    config = tmp_path / "c.toml"
    config.write_text(
        '[data]\nset = "synthetic"\nsynthetic = {users = 30, items = 40, events = 20}\n'
        '[candidates]\nmethod = "latest"\nk = 5\nals.factors = 4\nals.iterations = 2\n', encoding="utf-8"
    )  # fmt: skip
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    words = ["candidates", str(config), "--out", str(tmp_path / "run")]
    command = [*POCKETREC, *words]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sets = Candidates.load(tmp_path / "run" / "candidates" / "candidates.npz")
    before = load_cloud(tmp_path / "run").before
    for user in range(len(before)):
        assert sets.rows[user][0] == before.of(user)[0][-1]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["candidates"]["method"] == "latest"
    without = subprocess.run(command, capture_output=True, text=True, check=False)
    assert without.returncode == 2
    assert "method 'latest' is not one of als, popularity, embedding, mix, file, none" in without.stderr
