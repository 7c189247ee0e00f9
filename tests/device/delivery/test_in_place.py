# SPDX-License-Identifier: Apache-2.0
"""A bundle that is overwritten in place while a process uses it: no crash, and no names or rows of two versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pocketrec.device import Recommender
from pocketrec.device.base import held
from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract import tensorfile
from pocketrec.device.contract.names import ITEMS_FILE, MODEL_FILE
from pocketrec.device.contract.shards import ROWS, shard_name, shard_of
from pocketrec.device.delivery.bundle import open_bundle

pytestmark = pytest.mark.runtime

USE = """
import json, os, sys
from pathlib import Path
from pocketrec.device import Recommender
from pocketrec.device.base import held
from pocketrec.device.base.errors import BundleError
folder, small, names = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
held.SMALL = small
recommender = Recommender(folder, user="u1")
recommender.add([("item 3", 2000), ("item 7", 2001)])
before = recommender.recommend(60)
for name in names:
    with open(folder / name, "r+b") as file:
        file.truncate(0)
try:
    print(json.dumps([before, recommender.recommend(60)]))
except BundleError as error:
    print(json.dumps([before, str(error)]))
"""


def used(folder: Path, small: int, *names: str) -> list:
    """What a process recommends before and after files of its bundle are cut to nothing."""
    words = [sys.executable, "-c", USE, str(folder), str(small), *names]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
    result: list = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("name", [ITEMS_FILE, MODEL_FILE])
def test_a_small_file_that_is_overwritten_in_place_changes_nothing(folder: Path, name: str) -> None:
    before, after = used(folder, held.SMALL, name)
    assert before == after
    assert all(item.startswith("item ") for item, _ in before)


@pytest.mark.skipif(os.name == "nt", reason="a mapped file cannot be cut there")
@pytest.mark.parametrize("name", [ITEMS_FILE, MODEL_FILE])
def test_a_large_file_that_is_overwritten_in_place_is_refused(folder: Path, name: str) -> None:
    _, after = used(folder, 0, name)
    assert isinstance(after, str)
    assert f"{name} was overwritten while it was in use" in after


def test_a_file_that_is_replaced_leaves_who_has_it_open_with_the_old_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "SMALL", 0)
    recommender = Recommender(folder, user="u1")
    recommender.add([("item 3", 2000)])
    before = recommender.recommend(5)
    for name in (ITEMS_FILE, MODEL_FILE):
        (folder / "new").write_bytes(b"another version")
        os.replace(folder / "new", folder / name)
    assert recommender.recommend(5) == before


def test_candidates_and_model_of_another_version_are_not_used_with_the_item_ids_of_this_one(folder: Path) -> None:
    name = shard_name(shard_of("u1", open_bundle(folder).manifest.candidates["shards"]))
    shard = tensorfile.load(folder / name)
    other = tensorfile.dump({ROWS: shard.tensors[ROWS][:, ::-1]}, shard.metadata)
    for file, content in ((name, other), (MODEL_FILE, (folder / MODEL_FILE).read_bytes() + b"\0")):
        good = (folder / file).read_bytes()
        opened = open_bundle(folder)
        (folder / file).write_bytes(good)  # the same again
        recommender = Recommender(opened, user="u1")
        recommender.add([("item 3", 2000)])
        assert len(recommender.recommend(3)) == 3
        late = Recommender(opened, user="u1")
        late.add([("item 3", 2000)])
        (folder / file).write_bytes(content)
        with pytest.raises(BundleError, match="was overwritten while it was in use"):
            late.recommend(3)
        (folder / file).write_bytes(good)
