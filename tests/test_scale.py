# SPDX-License-Identifier: Apache-2.0
"""benchmarks/scale.py from end to end, on a small log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
EVENTS = 20_000


def run(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    command = [sys.executable, str(BENCHMARKS / "scale.py"), "--events", str(EVENTS), "--keep", str(folder), *arguments]
    done = subprocess.run(
        [*command, "--share", "0.5", "--iterations", "2", "--factors", "8", "--head", "200", "--lean-head", "100",
         "--threads", "1"],
        capture_output=True, text=True, env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])["rows"]
    return rows


@pytest.mark.long
def test_every_stage_does_its_work_and_a_kept_folder_is_gone_on_with(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", exc_type=ImportError)
    rows = {row["stage"]: row for row in run(tmp_path)}
    assert list(rows) == ["generate", "prepare", "als", "candidates", "train", "lean"]
    assert all(row["seconds"] > 0 and row["peak_gib"] > 0 for row in rows.values())
    assert rows["prepare"]["events"] == rows["generate"]["events"] == EVENTS
    assert rows["candidates"]["ceiling"] > rows["candidates"]["ceiling_popular"]

    lean = rows["lean"]
    assert lean["embeds"]
    assert lean["head"] == 100
    assert lean["reserved"] > 0
    assert lean["buckets"] > 1
    assert not (tmp_path / "lean").exists()

    lines = (tmp_path / "UserBehavior.csv").read_text().splitlines()
    fields = [line.split(",") for line in lines]
    assert len(fields) == EVENTS
    assert len({item for _, item, *_ in fields}) == 831  # in proportion to 4,162,024
    assert len({user for user, *_ in fields}) == 197
    changes = sum(one[0] != other[0] for one, other in pairwise(fields))
    assert changes == 196, "grouped by user"
    assert max(len(categories) for categories in categories_of(fields).values()) == 1
    behaviors = Counter(behavior for *_, behavior, _ in fields)
    assert set(behaviors) == {"pv", "cart", "fav", "buy"}
    assert behaviors["pv"] / EVENTS == pytest.approx(0.896, abs=0.02)

    made = (tmp_path / "UserBehavior.csv").stat().st_mtime_ns
    assert [row["stage"] for row in run(tmp_path, "--stages", "candidates")] == ["generate", "candidates"]
    assert (tmp_path / "UserBehavior.csv").stat().st_mtime_ns == made


def categories_of(fields: list[list[str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for _, item, category, *_ in fields:
        found.setdefault(item, set()).add(category)
    return found
