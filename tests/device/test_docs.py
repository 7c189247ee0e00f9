# SPDX-License-Identifier: Apache-2.0
"""docs/device.md, "Threads, processes, containers": a row for each test, a test for each row. Python blocks run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from pocketrec.device.base.digest import sha256_of
from pocketrec.device.contract.packed import Quantised, encode
from pocketrec.device.federated.code import from_bytes
from pocketrec.device.federated.plan import Plan

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "device.md"


def table() -> set[str]:
    """Names of tests in the section's table."""
    text = DOCUMENT.read_text(encoding="utf-8")
    sections = [part.split("\n## ")[0] for part in text.split("## Threads, processes, containers\n")[1:]]
    lines = [line for section in sections for line in section.splitlines() if line.startswith("|")]
    return set(re.findall(r"`(test_\w+)`", "\n".join(lines)))


def names_in(pattern: str) -> set[str]:
    files = HERE.glob(pattern)
    return {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.M)}


def test_every_row_of_the_table_is_a_test() -> None:
    assert len(table()) > 20
    assert table() - names_in("**/test_*.py") == set()


@pytest.mark.parametrize(
    "file", ["store/test_processes.py", "store/test_file_systems.py", "delivery/test_in_place.py"]
)
def test_every_test_of_sharing_is_a_row_of_the_table(file: str) -> None:
    assert names_in(file)
    assert names_in(file) - table() == set()


def blocks(page: str) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", (DOCUMENT.parent / page).read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.runtime
@pytest.mark.parametrize("place", range(2))
def test_blocks_about_the_recommender_run(folder: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    monkeypatch.chdir(folder.parent)
    assert folder.name == "bundle"
    assert len(blocks("device.md")) == 2
    exec(compile(blocks("device.md")[place], "docs/device.md", "exec"), {})


@pytest.mark.runtime
def test_the_block_about_a_transport_of_ones_own_runs(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = made.with_name(made.name + ".contribution")
    shutil.copy(source / "contribution.tflite", tmp_path)
    with np.load(source / "weights.npz") as file:
        weights = {name: file[name] for name in file.files}
    (tmp_path / "round.weights").write_bytes(encode({name: Quantised(value, None) for name, value in weights.items()}))
    model = sha256_of((tmp_path / "contribution.tflite").read_bytes())
    plan = Plan("t-0-0", "t", 0, model, {name: list(value.shape) for name, value in weights.items()}, devices=20)
    monkeypatch.chdir(tmp_path)
    sent: list[bytes] = []
    (block,) = blocks("federated.md")
    names = {"plan_bytes": plan.to_bytes(), "rows": np.arange(1, 13, dtype=np.int32), "since": 4, "send": sent.append,
             "state_folder": tmp_path}  # fmt: skip
    for _ in range(2):
        exec(compile(block, "docs/federated.md", "exec"), names)
    assert len(sent) == 1, "a round that a device took part in is refused the second time"
    assert from_bytes(sent[0])[0].numbers.keys() == weights.keys()
