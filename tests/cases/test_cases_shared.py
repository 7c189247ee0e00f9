# SPDX-License-Identifier: Apache-2.0
"""Real files of people who do this job, where they are present: the outcome that each one's README.txt asks for."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from pocketrec.cli import main

pytestmark = pytest.mark.real_data


def folder() -> Path:
    """Where the cases lie: beside the data."""
    data = os.environ.get("POCKETREC_DATA")
    return Path(data).parent / "cases" if data else Path(__file__).resolve().parents[3] / "shared" / "cases"


READ: dict[str, tuple[int, int, int, dict[str, Any]]] = {
    "bad_rows_not_told": (240, 239, 1, {}),
    "cr_line_ends": (240, 240, 0, {}),
    "csv_double_colon_taken_for_movielens": (240, 240, 0, {}),
    "csv_header_with_digit_taken_for_taobao": (240, 240, 0, {}),
    "dates_not_iso": (240, 240, 0, {}),
    "parquet_index_column": (480, 480, 0, {}),
    "parquet_int64_ids_with_null": (480, 479, 1, {}),
    "parquet_time_out_of_range": (480, 479, 1, {}),
    "set_split_time": (240, 240, 0, {"split.kind": "time", "split.time": "2020-09-13T13:00:00Z"}),
    "tsv_header_taken_for_udata_refused": (240, 240, 0, {"data.user": "userID", "data.item": "itemID"}),
    "tsv_header_taken_for_udata_swap": (240, 240, 0, {}),
    "tsv_header_taken_for_udata_time": (240, 240, 0, {}),
    "zip_and_bz2": (240, 240, 0, {}),
}
"""Rows, events, bad rows, and what is set besides."""
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "nul_in_ids": (r"240 of 240 rows .* holds a NUL byte", {}),
    "one_event_after": (
        r"no user has both events to learn from and a known event to test: move the cut-off",
        {"split.kind": "time", "split.time": 1600100000},
    ),
    "open_quotes_swallow_rows": (r"191 of 240 rows cannot be read \(lines 12, .*a quote is left open", {}),
    "parquet_list_items": (r"column item holds lists: give the file one row for each event", {}),
}
RUN: dict[str, tuple[str, dict[str, Any]]] = {
    "one_user_evaluated": ("run", {}),
    "all_targets_masked_or_mrr_zero": ("run", {"evaluate.mask_seen": "true", "rehearse.enabled": "false"}),
    "train_does_export": ("train", {}),
}
ITEMS = {
    "csv_header_with_digit_taken_for_taobao": {"1", "2", "3", "5"},
    "tsv_header_taken_for_udata_swap": {"1", "2", "3", "5"},
    "csv_double_colon_taken_for_movielens": {"app::1", "app::2", "app::3", "app::5"},
}


def call(case: str, command: str, out: Path, options: dict[str, Any]) -> int:
    """The command of a case's README."""
    if not (folder() / case).is_dir():
        pytest.skip(f"no {case} in {folder()}")
    (log,) = (path for path in (folder() / case).iterdir() if path.name != "README.txt")
    sets = [word for key, value in {"data.path": log, **options}.items() for word in ("--set", f"{key}={value}")]
    config = out.parent / f"{out.name}.toml"  # the file there has keys of before they moved
    assert main(["config", "upgrade", str(folder() / "fast.toml"), "--out", str(config)]) == 0
    return main([command, str(config), "--out", str(out), *sets])


@pytest.mark.parametrize("case", READ)
def test_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    rows, events, bad, options = READ[case]
    assert call(case, "prepare", tmp_path, options) == 0
    found = json.loads((tmp_path / "data" / "summary.json").read_text())
    assert (found["read"]["rows"], found["read"]["events"], found["read"]["bad"]) == (rows, events, bad)
    items = set((tmp_path / "data" / "cloud" / "items.txt").read_text().splitlines())
    assert items == ITEMS.get(case, items)
    if case == "parquet_int64_ids_with_null":
        assert len(items) == 4
        assert all(len(item) == 19 for item in items)
    if case.startswith("tsv_header"):
        assert found["cut_off"] > 1.5e9
    said = capsys.readouterr().err
    assert f"{bad} left out" in said
    if bad:
        assert re.search(rf"{bad} left out \((line|row) \d+\)", said)


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line_of_prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    words, options = REFUSED[case]
    assert call(case, "prepare", tmp_path, options) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.match("error: .*" + words, last)
    if case == "nul_in_ids":
        assert "max_bad_share" not in last


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.long] if RUN[case][0] == "run" else []) for case in RUN]
)
def test_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    command, options = RUN[case]
    assert call(case, command, tmp_path, options) == 0
    said = capsys.readouterr()
    if case == "train_does_export":
        assert not any(word in said.err for word in ("candidates", "rehearse ", "export"))
        assert (tmp_path / "train" / "model.keras").exists()
        assert not (tmp_path / "bundle").exists()
        return
    json.loads(said.out.splitlines()[-1])
    assert (tmp_path / "report.html").exists()
    if case == "one_user_evaluated":
        assert "(-)" in said.out
    else:
        assert (
            "100 % of the test targets are items that the user has had, which evaluate.mask_seen leaves out" in said.err
        )
        assert "x -" in said.out


def test_every_case_has_its_outcome_here() -> None:
    if not folder().is_dir():
        pytest.skip(f"no {folder()}")
    there = {path.name for path in folder().iterdir() if path.is_dir()}
    assert there - set(READ) - set(REFUSED) - set(RUN) == set()
