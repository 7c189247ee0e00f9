# SPDX-License-Identifier: Apache-2.0
"""`pocketrec run LOG`: what is asked, what is written beside the run, and that nothing is done twice."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import shops

from pocketrec import cli
from pocketrec.cloud.base.runs import read_json
from pocketrec.cloud.config.load import load_config
from pocketrec.cloud.config.presets import presets_for
from pocketrec.cloud.data.prepared import load_cloud
from pocketrec.cloud.search import presets as searching
from pocketrec.commands.automatic import configure, is_log
from pocketrec.device.base.errors import ConfigError

SMALL = ["model.embedding=8", "model.window=4", "model.gru.hidden=8", "train.epochs=2", "resources.threads=1"]


def _options(log: Path, out: Path, *overrides: str) -> argparse.Namespace:
    return argparse.Namespace(config=str(log), out=out, overrides=list(overrides), quiet=True, engine=None, master=None,
                              warm_start=None)  # fmt: skip


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "clicks.csv"
    shops.write(path, shops.staples(1, users=60, products=80, events=1_200))
    return path


@pytest.fixture(scope="module")
def configured(log: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Where the run would lie, and the configuration that was written for it: presets were tried, which takes long."""
    out = tmp_path_factory.mktemp("runs") / "shop"
    return out, configure(_options(log, out, *SMALL, "train.batch=8"))


def test_a_log_is_what_is_there_and_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("")
    assert not is_log(str(tmp_path / "a.toml"))
    assert not is_log(str(tmp_path / "nothing.csv"))
    assert is_log(str(tmp_path))


@pytest.mark.parametrize(("head", "words"), [
    ("visitor,customer,item,time", "could be the user (visitor, customer)"), ("user,item,price", "like the time"),
])  # fmt: skip
def test_what_is_open_is_asked_with_status_2(
    head: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text(head + "\n" + ",".join("1" for _ in head.split(",")) + "\n")
    assert cli.main(["run", str(tmp_path / "a.csv"), "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert words in said
    assert "--set data." in said
    assert not (tmp_path / "run.toml").exists()


@pytest.mark.parametrize(("curve", "epochs"), [([0.1, 0.3, 0.2], 2), ([0.1, 0.3, 0.299], 3), ([0.1], 1), ([0.0], 1)])
def test_a_preset_comes_with_the_epochs_that_were_best(curve: list[float], epochs: int) -> None:
    assert searching.epochs_of(curve) == epochs


@pytest.mark.slow
def test_the_configuration_is_written_once_and_says_what_was_found(
    log: Path, configured: tuple[Path, Path], tmp_path: Path
) -> None:
    out, file = configured
    assert file == out.with_name("shop.toml")
    text = file.read_text(encoding="utf-8")
    assert "# customer is the user, product the item, when the time, category the category\n" in text
    assert "# Taken: " in text
    config = load_config(file)
    assert (config.data.user, config.data.path) == ("customer", str(log.resolve()))
    assert (config.model.embedding, config.train.batch, config.evaluate.naive) == (8, 8, False)
    assert (config.candidates.method, config.export.retrieve) == ("none", 200), "devices search the whole catalogue"
    tried = read_json(out / "presets.json")
    assert set(tried["curves"]) == set(presets_for("repeats", 80, 1_000))
    best = max(tried["curves"], key=lambda name: max(tried["curves"][name]))
    assert config.train.epochs == searching.epochs_of(tried["curves"][best])
    assert not (out / "config.json").exists(), "the first stage that runs with it would call it a change"

    file.write_text(text.replace("batch = 8", "batch = 16"), encoding="utf-8")
    assert configure(_options(log, out)) == file
    assert load_config(file).train.batch == 16, "what was edited stays"
    other = tmp_path / "other.csv"
    other.write_text(log.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ConfigError, match="the configuration of another log"):
        configure(_options(other, out))


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True], ids=["as found", "as asked for"])
def test_where_each_users_events_are_cut_devices_have_candidate_files(named: bool, tmp_path: Path) -> None:
    """They say how many of its events the model was trained on; without them such a run would end before its export."""
    path = tmp_path / "log.csv"
    rows = [f"u{user},i{(user + 7 * place) % 40},{place if not named else 1_700_000_000 + 86_400 * place + user}"
            for user in range(30) for place in range(20)]  # fmt: skip
    path.write_text("\n".join(["user,item,timestamp", *rows]), encoding="utf-8")
    asked = ["split.kind=per_user"] if named else []
    config = load_config(configure(_options(path, tmp_path / "run", *SMALL, "train.batch=8", *asked)))
    assert config.split.kind == "per_user"
    assert (config.candidates.method, config.export.retrieve) == ("als", 0)


@pytest.mark.long
def test_a_search_that_was_interrupted_tries_only_the_others(configured: tuple[Path, Path], tmp_path: Path) -> None:
    out, file = configured
    config, data = load_config(file), load_cloud(out)
    presets = {name: {"train": {**config.to_dict()["train"], "epochs": 1, "learning_rate": rate}}
               for name, rate in (("slow", 0.0001), ("fast", 0.01))}  # fmt: skip

    def stop(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searching.choose_preset(config, presets, data, tmp_path / "search", say=stop)
    said: list[str] = []
    choice = searching.choose_preset(config, presets, data, tmp_path / "search", say=said.append)
    assert [line.partition(":")[0] for line in said] == ["preset fast"]
    assert set(choice.figures) == {"slow", "fast"}
    assert choice.figures[choice.name] == max(choice.figures.values())
    assert choice.tables["train"]["epochs"] == 1
    assert len(presets) * choice.share <= searching.WORK
