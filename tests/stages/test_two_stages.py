# SPDX-License-Identifier: Apache-2.0
"""A run with content and a ranker from end to end, its retrieval, other items, and a run whose ranker does not ship."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from pocketrec import cli
from pocketrec.cloud.base.runs import Pipeline, Run, read_json
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.ranker import RankerConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.device.contract.names import ITEMS_FILE
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.stages import STAGES
from pocketrec.stages.rank import shipped_ranker
from pocketrec.stages.ranker_way import VERDICT_FILE

pytestmark = pytest.mark.long  # three exports
ITEMS = 30


def write_log(folder: Path) -> None:
    """Users like one of three kinds; the kind of an item is its number modulo three."""
    rng = np.random.default_rng(1)
    lines = ["user,item,timestamp"]
    for time in range(1500):
        user = int(rng.integers(0, 40))
        item = 3 * int(rng.integers(0, ITEMS // 3)) + user % 3
        lines.append(f"u{user},i{item},{time}")
    (folder / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    items = ["item,kind,size", *(f"i{i},k{i % 3},{i}" for i in range(ITEMS))]
    (folder / "items.csv").write_text("\n".join(items) + "\n", encoding="utf-8")


def config(folder: Path) -> RunConfig:
    return config_from_dict({
        "data": {"path": str(folder / "log.csv")},
        "items": {"path": str(folder / "items.csv"), "categories": ["kind"], "numbers": ["size"]},
        "model": {"backbone": "towers", "embedding": 8, "window": 5, "dropout": 0.0, "content": True,
                  "id_dropout": 0.3, "popularity_start": True, "towers": {"hidden": 8}},
        "train": {"epochs": 20, "batch": 8, "objective": "later_item", "balance": 0.5, "learning_rate": 0.01,
                  "validation": 0.0},
        "ranker": {"kind": "ranknet", "candidates": 12, "negatives": 4, "epochs": 2},
        "candidates": {"method": "embedding", "k": 10},
        "rehearse": {"enabled": False}, "personalise": {"minimum_events": 100000},
        "export": {"batch": 4}, "evaluate": {"mask_seen": False},
    })  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with log and items, and the run up to its bundle."""
    folder = tmp_path_factory.mktemp("two_stages")
    write_log(folder)
    Pipeline(STAGES, Run(config(folder), folder / "run")).execute(["export"])
    return folder



def test_candidate_sets_are_of_the_kind_that_a_user_likes(made: Path) -> None:
    from pocketrec.cloud.candidates import Candidates
    from pocketrec.cloud.data.prepared import load_cloud

    sets, data = Candidates.load(made / "run" / "candidates" / "candidates.npz"), load_cloud(made / "run")
    ids = np.array(["", *data.vocabulary.ids])
    right = [int(item[1:]) % 3 == int(user[1:]) % 3 for user, row in zip(sets.users, sets.rows, strict=True)
             for item in ids[row]]  # fmt: skip
    assert np.mean(right) > 0.9


def test_a_ranker_that_does_not_gain_leaves_no_trace_in_the_bundle(made: Path, tmp_path: Path) -> None:
    run = Run(config(made), made / "run")
    verdict = read_json(made / "run" / VERDICT_FILE)
    assert not verdict["ships"], "there is nothing to gain over the inner product here"
    assert shipped_ranker(run) is None
    without = Run(dataclasses.replace(config(made), ranker=RankerConfig()), tmp_path / "run")
    Pipeline(STAGES, without).execute(["export"])
    one, two = ({path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*"))
                 if path.is_file() and path.name != "manifest.json"}
                for root in (made / "run" / "bundle", tmp_path / "run" / "bundle"))  # fmt: skip
    assert one == two
    manifests = [json.loads((root / "manifest.json").read_text(encoding="utf-8"))
                 for root in (made / "run" / "bundle", tmp_path / "run" / "bundle")]  # fmt: skip
    for manifest in manifests:  # the time of making alone may differ
        for name in ("created", "bundle_id", "id", "bundle"):
            manifest.pop(name, None)
    assert manifests[0] == manifests[1]


def test_retrieval_measures_and_ends_with_json(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["retrieval", str(made / "run"), "--candidates", "5,30", "--quiet"]) == 0
    *table, last = capsys.readouterr().out.strip().splitlines()
    figures = json.loads(last)
    assert json.loads((made / "run" / "retrieval.json").read_text(encoding="utf-8")) == figures
    assert any(line.startswith("two stages") for line in table)
    whole = figures["sources"]["embedding"]["candidates"]
    assert whole["30"]["keeps"] == 1.0
    assert figures["systems"]["two stages"]["old"].keys() >= {"map@10", "precision@5", "recall@100", "interval"}
    for entry in figures["sources"].values():
        assert 0 <= entry["candidates"]["5"]["keeps"] <= 1


def test_other_items_without_training(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """K11: a new item is scored as its content says; what was trained keeps its bytes; removed items are gone."""
    (made / "new.csv").write_text("item,kind,size\nn0,k0,3\nn1,k1,4\nnone,k9,\n", encoding="utf-8")
    (made / "gone.csv").write_text("item\ni0\ni7\nnobody\n", encoding="utf-8")
    arguments = ["items", str(made / "run"), "--add", str(made / "new.csv"), "--remove", str(made / "gone.csv")]
    assert cli.main(arguments) == 0
    *_, last = capsys.readouterr().out.strip().splitlines()
    said = json.loads(last)
    assert (said["added"], said["removed"], said["without_content"], said["not_there"]) == (3, 2, 1, 1)
    for place in ("run", "run/items"):
        open_bundle(made / place / "bundle")  # its files are those that the manifest names
    old, ids = ((made / place / "bundle" / ITEMS_FILE).read_text(encoding="utf-8").splitlines()
                for place in ("run", "run/items"))  # fmt: skip
    assert {"n0", "n1", "none"} <= set(ids)
    assert not {"i0", "i7"} & set(ids)
    assert len(ids) == said["items"] == len(old) + 1
    tables = [np.load(made / "run" / place / "item_embeddings.npy") for place in ("export", "items/export")]
    for item in ("i1", "i2", "i29"):
        places = [part.index(item) + 1 for part in (old, ids)]
        np.testing.assert_array_equal(tables[0][places[0]], tables[1][places[1]])
    cosine = tables[1] / np.maximum(np.linalg.norm(tables[1], axis=1, keepdims=True), 1e-9)
    alike = [item for item in ids if item[0] == "i" and int(item[1:]) % 3 == 0]
    other = [item for item in ids if item[0] == "i" and int(item[1:]) % 3 == 1]
    mean = {name: np.mean([cosine[ids.index("n0") + 1] @ cosine[ids.index(item) + 1] for item in part])
            for name, part in (("alike", alike), ("other", other))}  # fmt: skip
    assert mean["alike"] > mean["other"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to do"),
        (["--add", "nowhere.csv"], "cannot read nowhere.csv"),
        (["--add", "{made}/items.csv"], "is in the catalogue already"),
        (["--remove", "{made}/items.csv"], "no item would be left"),
        (["--remove", "{made}/log2.csv"], "has no column 'item'"),
    ],
)
def test_wrong_files_are_one_line(
    made: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (made / "log2.csv").write_text("thing\n1\n", encoding="utf-8")
    assert cli.main(["items", str(made / "run"), *(part.format(made=made) for part in arguments)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert says in said[0]


def test_folders_that_are_no_runs_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("retrieval", "items"):
        more = ["--add", "x.csv"] if command == "items" else []
        assert cli.main([command, str(tmp_path), *more]) == 2
        assert "name one that" in capsys.readouterr().err
