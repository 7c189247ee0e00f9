# SPDX-License-Identifier: Apache-2.0
"""`pocketrec.runs` gives the frames that docs/runs.md promises, of runs of today's form and of an earlier one."""

from __future__ import annotations

import json
import re
import tarfile
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pocketrec import runs
from pocketrec.device.base.errors import DataError

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/runs.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    folder = tmp_path_factory.mktemp("runs")
    with tarfile.open(ROOT / "tests/golden/run.tar.gz") as tar:
        tar.extractall(folder, filter="data")
    return runs.load(folder / "run")


def promised(frame: str) -> list[str]:
    """Columns that the page names for a frame."""
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{frame}` |"))
    return re.findall(r"`([^`]+)`", row.split("|")[3])


@pytest.mark.parametrize(
    "frame", ["systems", "users", "ranks", "items", "events()", "events(after=True)", "candidates", "history", "trials"]
)
def test_frames_have_the_columns_that_the_page_names(run: runs.Run, frame: str) -> None:
    name, call, _ = frame.partition("(")
    found = getattr(run, name)
    found = found(after="True" in frame) if call else found
    assert len(found)
    assert set(promised(frame)) <= set(found.columns)
    if not frame.startswith(("systems", "history", "trials")):
        assert list(found.columns) == promised(frame)


def test_every_file_of_a_run_is_on_the_page(run: runs.Run) -> None:
    table = PAGE.split("\n## ")[0]
    patterns = [
        name for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for name in re.findall("`([^`]+)`", row)
    ]
    files = [path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert [name for name in files if not any(fnmatch(name, pattern) for pattern in patterns)] == []


def test_measures_are_those_of_metrics_json(run: runs.Run) -> None:
    for name in ("mrr@20", "recall@5", "ndcg@10"):
        means = run.measure(name).mean()
        assert means.to_dict() == pytest.approx(run.systems.loc[list(means.index), name].to_dict(), abs=1e-12)
    within = run.measure("mrr@20", "rank_offered").mean()
    assert within["personal"] == pytest.approx(run.metrics["candidates"]["personal"]["mrr@20"], abs=1e-12)
    assert len(run.measure()) == run.metrics["users"]["evaluated"] == len(run.users)
    assert run.systems.loc["personal", "gained"] == run.metrics["users"]["gained"]
    kept = run.users["kept"].value_counts()
    assert {f"kept_{key}": kept.get(key, 0) for key in ("global", "blend", "personal")}.items() <= {
        key: value for key, value in run.metrics["users"].items() if key.startswith("kept_")
    }.items()


def test_events_are_those_of_the_split(run: runs.Run) -> None:
    summary = json.loads((run.folder / "data/summary.json").read_text())
    before, after = run.events(), run.events(after=True)
    assert len(before) == run.items["events"].sum() == summary["events_before"]
    assert len(after) == summary["events_after"]
    assert before["item"].value_counts().max() == run.items["events"].iloc[0]
    one = after[after["user"] == after["user"].iloc[0]]
    assert one["learn"].is_monotonic_decreasing
    assert one["timestamp"].is_monotonic_increasing
    judged = run.users.iloc[0]
    assert after.groupby("user")["learn"].sum()[run.users.index[0]] == judged["learn"]


def test_candidates_name_items_in_order(run: runs.Run) -> None:
    sets = run.candidates
    assert set(sets["item"]) <= set(run.items.index)
    assert (sets.groupby("user")["place"].first() == 1).all()
    popular = sets[sets["user"] == ""]["item"].tolist()
    assert popular == run.items.index[: len(popular)].tolist()


def test_ranks_of_misses_are_not_numbers(run: runs.Run) -> None:
    lines = [json.loads(line) for line in (run.folder / "fleet/users.jsonl").read_text().splitlines()[1:]]
    misses = sum(rank is None for line in lines for ranks in line["within"].values() for rank in ranks)
    assert misses
    assert int(run.ranks["rank_offered"].isna().sum()) == misses
    assert run.ranks["rank"].dtype == np.float64
    assert run.ranks["rank"].min() == 1.0


def test_what_is_not_there_is_one_line(run: runs.Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not the directory of a run: it has no config\.json"):
        runs.load(tmp_path)
    (tmp_path / "config.json").write_bytes((run.folder / "config.json").read_bytes())
    begun = runs.load(tmp_path)
    assert begun.config == run.config
    for name in ("systems", "users", "ranks", "history", "trials"):
        with pytest.raises(DataError, match=r"no file .*: the run has not come so far"):
            getattr(begun, name)
    for name in ("items", "candidates"):
        with pytest.raises(DataError, match="no file"):
            getattr(begun, name)
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        _ = begun.metrics


def test_frames_are_pandas(run: runs.Run) -> None:
    assert isinstance(run.systems, pd.DataFrame)
    assert run.systems.index.name == "system"
    assert {"global", "personal", "popularity"} <= set(run.systems.index)
