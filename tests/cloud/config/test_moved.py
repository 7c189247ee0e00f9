# SPDX-License-Identifier: Apache-2.0
"""Keys that have moved: refused in files and options, read where runs have stored them, upgraded by a command."""

from __future__ import annotations

import json
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cli import main
from pocketrec.cloud.config.load import config_from_dict, load_config, stored_config
from pocketrec.cloud.config.moved import MOVED, upgraded, values_of_run
from pocketrec.cloud.config.rewrite import upgrade_text
from pocketrec.cloud.config.section import key_values
from pocketrec.device.base.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
OLD = """\
# A run of ours.
seed = 3

[data]
path = "x.csv" # [model] is no table here

[model] # the shape
embedding = 32
# wider than the default,
# as tried in May
hidden = 128
window = 20

# two were no better
layers = 1 # one

[train]
optimizer = "adam"
sampler = "popularity"
sampler_alpha = 0.75
note-less = 1
score_penalty = 0.5

[candidates] # ALS
factors = 32
alpha = 10.0

# The baseline.
[knn] # from a search
neighbours = 200
decay = [
  0.6, # with a ] inside "
]

[search.space]
"model.hidden" = [64, 128]
"train.batch" = [8]
'knn.decay' = { low = 0.4, high = 1.0 }
"""
NEW = """\
# A run of ours.
seed = 3

[data]
path = "x.csv" # [model] is no table here

[model] # the shape
embedding = 32
window = 20

[model.gru]
# wider than the default,
# as tried in May
hidden = 128
# two were no better
layers = 1 # one

[train]
optimizer = "adam"
sampler = "popularity"
note-less = 1

[train.popularity]
alpha = 0.75

[train.bpr_max]
penalty = 0.5

[candidates.als] # ALS
factors = 32
alpha = 10.0

# The baseline.
[baselines.knn] # from a search
neighbours = 200
decay = [
  0.6, # with a ] inside "
]

[search.space]
"model.gru.hidden" = [64, 128]
"train.batch" = [8]
"baselines.knn.decay" = { low = 0.4, high = 1.0 }
"""


def plain(text: str) -> dict[str, Any]:
    """The tables as if the key that exists nowhere were not there, and with a single decay."""
    tables = tomllib.loads(text.replace("note-less = 1\n", ""))
    table = tables.get("knn") or tables["baselines"]["knn"]
    table["decay"] = table["decay"][0]
    return tables


def test_a_file_is_upgraded_with_its_comments_and_its_order() -> None:
    new, moves, kept = upgrade_text(OLD)
    assert new == NEW
    assert kept
    assert dict(moves)["model.hidden"] == "model.gru.hidden"
    assert len(moves) == 10
    assert upgrade_text(new) == (new, [], True), "nothing is left to do"
    assert config_from_dict(plain(NEW)) == stored_config(plain(OLD))


@pytest.mark.parametrize(
    "text",
    [
        'model = {hidden = 8, embedding = 4}\nseed = 2 # "two"\n',
        "model.hidden = 8\nmodel.embedding = 4\n",
        "[model]\nhidden = 8\n[model.gru]\nlayers = 1\n",
        "[model]\r\nhidden = 8\r\n",
        "[knn]\n",
        "[candidates]\nfactors = 8\n\n[candidates.file]\npath = 'x'\n",
        "[search]\nspace = {\"knn.shrink\" = [1.0]}\n",
        "[ model ]\n\"hidden\" = 8\n",
    ],
)
def test_other_ways_to_write_it_lose_no_value(text: str) -> None:
    new, _, _ = upgrade_text(text)
    assert tomllib.loads(new) == upgraded(tomllib.loads(text))
    assert config_from_dict(tomllib.loads(new)) == stored_config(tomllib.loads(text))


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "model": st.fixed_dictionaries({}, optional={"hidden": st.integers(1, 9), "window": st.integers(1, 9),
                                                     "start": st.sampled_from(["random", "copy"])}),
        "candidates": st.fixed_dictionaries({}, optional={"k": st.integers(1, 9), "alpha": st.floats(0, 9)}),
        "knn": st.fixed_dictionaries({}, optional={"shrink": st.floats(0, 9), "decay": st.floats(0.1, 1)}),
        "train": st.fixed_dictionaries({}, optional={"unroll": st.integers(1, 9), "sampler_rho": st.floats(0.1, 1),
                                                     "loss": st.sampled_from(["bpr", "bpr_max"])}),
    },
)  # fmt: skip


@examples(50, times=3)
@given(VALUES)
def test_any_old_configuration_is_read_and_keeps_its_key(tables: dict[str, Any]) -> None:
    """The key of a stage is computed of the old form: all values at their old addresses, defaults included."""
    config = stored_config(tables)
    values = values_of_run(config)
    for name, table in tables.items():
        assert {key: values[name][key] for key in table} == table
    assert stored_config(config.to_dict()) == config
    assert values_of_run(stored_config(values)) == values


def test_every_old_address_has_one_that_exists_today() -> None:
    tables = config_from_dict({}).to_dict()
    for section in ("train", "candidates", "model"):
        tables[section] |= {name: vars(kind()) for name, kind in _options(section).items()}
    for old, new in MOVED.items():
        table: Any = tables
        for part in new.split("."):
            assert part in table, f"{old} -> {new}"
            table = table[part]


def _options(section: str) -> dict[str, Any]:
    from pocketrec.cloud.config.run import RunConfig

    kind = type(getattr(RunConfig(), section))
    return {name: choice.options_class() for seam in kind.CHOICES.values() for name, choice in seam.choices().items()
            if choice.options}  # fmt: skip


def test_the_keys_of_the_stages_of_a_run_of_then_are_what_they_were(tmp_path: Path) -> None:
    """What digests are computed of: the tables as commit 8ba119b stored them, beside today's of that run."""
    with tarfile.open(ROOT / "tests" / "golden" / "run.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    stored = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    config = stored_config(stored)
    values = values_of_run(config)
    assert {name: values[name] for name in stored} == stored
    assert key_values(config.model) == stored["model"]
    assert key_values(config.baselines.knn) == stored["knn"]


@pytest.mark.parametrize(
    ("key", "value", "new"),
    [
        ("model.hidden", "96", "model.gru.hidden"),
        ("candidates.alpha", "2.0", "candidates.als.alpha"),
        ("knn.shrink", "1.0", "baselines.knn.shrink"),
        ("train.sampler_alpha", "1.0", "train.popularity.alpha"),
    ],
)
def test_an_old_key_is_refused_with_its_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: str, new: str
) -> None:
    path, section = tmp_path / "c.toml", key.partition(".")
    path.write_text(f"[{section[0]}]\n{section[2]} = {value}\n", encoding="utf-8")
    assert main(["prepare", str(path)]) == 2
    said = capsys.readouterr().err
    assert f"error: {key} is now {new}: `pocketrec config upgrade {path}` writes" in said
    assert said.count("\n") == 1
    path.write_text("", encoding="utf-8")
    assert main(["prepare", str(path), "--set", f"{key}={value}"]) == 2
    said = capsys.readouterr().err
    assert f"error: {key} is now {new}: write --set {new}={value}" in said
    with pytest.raises(ConfigError, match=f"{key} is now {new}: write {new}"):
        config_from_dict({section[0]: {section[2]: 1}})


def test_the_command_rewrites_the_file_and_keeps_what_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"[model]\r\nhidden = 8 # eight\r\n")
    assert main(["config", "upgrade", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "model.hidden -> model.gru.hidden"
    assert json.loads(lines[-1])["moved"] == {"model.hidden": "model.gru.hidden"}
    assert path.read_bytes() == b"[model.gru]\r\nhidden = 8 # eight\r\n"
    assert (tmp_path / "c.toml.old").read_bytes() == b"[model]\r\nhidden = 8 # eight\r\n"
    assert load_config(path).model.options.hidden == 8
    assert main(["config", "upgrade", str(path)]) == 0
    assert "has no old key" in capsys.readouterr().out
    assert main(["config", "upgrade", str(tmp_path / "c.toml.old"), "--out", str(tmp_path / "new.toml")]) == 0
    assert (tmp_path / "new.toml").read_text() == path.read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["c.toml", "c.toml.old", "new.toml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no configuration file"),
        ("[model\n", "cannot read"),
        ("[model]\nhidden = 8\ngru.hidden = 9\n", "both are there: remove one"),
        ("[model]\nhidden = 0\n", r"[model.gru] hidden must be at least 1"),
        ("[model]\nhidden = 8\nfoo = 1\n", "unknown key model.foo"),
    ],
)
def test_a_file_that_cannot_be_upgraded_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    path = tmp_path / "c.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert main(["config", "upgrade", str(path)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert [file.read_text() for file in tmp_path.iterdir()] == ([] if text is None else [text])


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.name)
def test_our_own_configurations_have_no_old_key(path: Path) -> None:
    assert upgrade_text(path.read_text(encoding="utf-8"))[1] == []
