# SPDX-License-Identifier: Apache-2.0
"""`pocketrec data`: public logs are counted, one's own is read as a run would, a made-up one is written."""

from __future__ import annotations

import json
import os
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pocketrec.cli import main
from pocketrec.cloud.data import published
from pocketrec.cloud.data.published import PUBLISHED, Published

LOG = "user,item,timestamp\n" + "".join(f"u{n % 3},i{n % 5},{1_700_000_000 + 60 * n}\n" for n in range(60))
TOY = Published("toy", "A toy", "https://example.org/toy", 60, 3, 5, ("items.csv.gz",))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A $POCKETREC_DATA in which one public log is known."""
    monkeypatch.setenv("POCKETREC_DATA", str(tmp_path))
    monkeypatch.setattr(published, "PUBLISHED", (TOY,))
    return tmp_path


def put(root: Path, text: str = LOG) -> Path:
    (root / "toy").mkdir(exist_ok=True)
    file = root / "toy" / "interactions.csv"
    file.write_text(text)
    return file


def check(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, Any, str]:
    """Exit status, what is printed for people, the JSON document, and the errors."""
    status = main(["data", *map(str, words)])
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    return status, "\n".join(lines[:-1]), json.loads(lines[-1]) if lines else None, printed.err


def test_a_log_as_published(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = put(root)
    status, text, found, _ = check(capsys, "check")
    assert status == 0
    assert "as published; without items.csv.gz" in text
    assert found["logs"] == [{"name": "toy", "state": "here", "file": str(file), "events": 60, "users": 3, "items": 5,
                              "lacks": ["items.csv.gz"]}]  # fmt: skip
    (root / "toy" / "items.csv.gz").write_bytes(b"")
    assert check(capsys, "check", "toy")[1].endswith("as published")


def test_a_log_that_differs_ends_with_1(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(root, LOG + "u9,i1,1800000000\n")
    status, text, found, _ = check(capsys, "check")
    assert status == 1
    assert "differs: published are 60 events, 3 users, 5 items" in text
    assert found["logs"][0]["state"] == "differs"


def test_one_that_cannot_be_read_ends_with_1_and_says_why(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(root, "who,what\n1,2\n")
    status, text, found, _ = check(capsys, "check")
    assert status == 1
    assert "no column" in text or "has no" in text
    assert found["logs"][0]["state"] == "unreadable"


def test_a_missing_log_is_an_error_only_where_it_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text, found, _ = check(capsys, "check")
    assert (status, found["logs"][0]["state"]) == (0, "missing")
    assert "https://example.org/toy" in text
    status, _, _, error = check(capsys, "check", "toy")
    assert status == 2
    assert error == (f"error: no toy in {root}: fetch it from https://example.org/toy, or set $POCKETREC_DATA to the "
                     "folder that has toy/\n")  # fmt: skip


def test_a_log_of_ones_own_is_read_as_a_run_would(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = root / "clicks.csv"
    log.write_text(LOG.replace("timestamp", "when").replace("u2,i4", "u2,", 1))
    status, _, _, error = check(capsys, "check", log)
    assert (status, error.count("\n")) == (2, 1), "one bad row of 60 is more than one in a hundred"
    status, text, found, _ = check(capsys, "check", log, "--set", "data.max_bad_share=0.1")
    assert status == 0
    assert text.startswith("user is the user, item the item, when the time")
    assert "before the cut-off: " in text
    assert found["reading"]["bad"] == 1
    assert found["split"]["users_old"] == 3
    assert sorted(os.listdir(root)) == ["clicks.csv"], "nothing is written"
    config = root / "c.toml"
    config.write_text(f'[data]\npath = "{log}"\ntimestamp = "when"\nmax_bad_share = 0.1\n[split]\nquantile = 0.5\n')
    assert check(capsys, "check", config)[2]["split"]["events_before"] == 29
    assert check(capsys, "check", config, "--set", "split.quantile=0.8")[2]["split"]["events_before"] > 40


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["check", "nowhere.csv"], "no log nowhere.csv"),
        (["check", "toy", "a.csv"], "one at a time"),
        (["check", "--set", "data.user=a"], "--set is for a log"),
        (["make", "out.csv", "--users", "0"], "at least 1"),
    ],
)
def test_mistakes_are_one_line(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], reason: str
) -> None:
    monkeypatch.chdir(root)
    status, text, _, error = check(capsys, *words)
    assert (status, text) == (2, "")
    assert error.count("\n") == 1
    assert reason in error
    assert not (root / "out.csv").exists()


def test_a_made_up_log_is_the_same_for_a_seed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = ("--users", 9, "--items", 30, "--events", 20)
    status, _, found, _ = check(capsys, "make", root / "a.csv", *made)
    assert status == 0
    assert found["events"] == len((root / "a.csv").read_text().splitlines()) - 1
    check(capsys, "make", root / "b.csv", *made)
    assert (root / "a.csv").read_bytes() == (root / "b.csv").read_bytes()
    check(capsys, "make", root / "b.csv", *made, "--seed", 2)
    assert (root / "a.csv").read_bytes() != (root / "b.csv").read_bytes()
    assert check(capsys, "check", root / "a.csv")[0] == 0


def test_the_program_of_the_page_makes_a_log_of_session_recs_files(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole seconds, one of two equal rows, the order within a second kept."""
    page = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"python - <<'END'\n(.*?)\n    END", page, re.DOTALL)
    head = "SessionId\tItemId\tTime\n"
    (root / "yoochoose-clicks-100k_train_full.txt").write_text(f"{head}2\t7\t50.9\n2\t8\t50.1\n2\t8\t50.1\n")
    (root / "yoochoose-clicks-100k_test.txt").write_text(f"{head}1\t8\t60.25\n1\t9\t70\n")
    monkeypatch.chdir(root)
    exec(textwrap.dedent(program), {})
    assert (root / "interactions.csv").read_text().split() == [
        "user,item,timestamp,split", "1,8,60,test", "1,9,70,test", "2,8,50,train", "2,7,50,train"
    ]  # fmt: skip


@pytest.mark.real_data
@pytest.mark.parametrize("log", [log.name for log in PUBLISHED if log.name != "ml-1m"])
def test_the_public_logs_have_what_was_published(capsys: pytest.CaptureFixture[str], log: str) -> None:
    from pocketrec.cloud.data.location import data_root

    if not (data_root() / log).is_dir():
        pytest.skip(f"no {log} here")
    assert check(capsys, "check", log)[0] == 0
