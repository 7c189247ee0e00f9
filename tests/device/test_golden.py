# SPDX-License-Identifier: Apache-2.0
"""What devices hold that was written at commit 8ba119b opens, works and shows the same: see tests/golden/make.py."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from server import serving

from pocketrec.cli import main

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
KINDS = ("plain", "store", "sealed")

pytestmark = pytest.mark.runtime


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of the golden files, free to be changed."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "golden", ignore=shutil.ignore_patterns("run.tar.gz", "*.py")))


def last(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    """The last line of a command that has to end with status 0."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result


def options(golden: Path, kind: str, *, state: bool = True, store: bool = True) -> list[object]:
    words: list[object] = ["--bundle", golden / "bundle", "--user", "u1"]
    if state:
        words += ["--state", golden / "states" / f"{kind}.state"]
    if store and kind in ("store", "sealed"):
        words += ["--store", golden / "states" / f"{kind}.events"]
    if kind == "sealed":
        words += ["--secret", golden / "secret.hex"]
    return words


def same_ranking(best: dict[str, Any], kind: str) -> None:
    assert best["items"] == EXPECTED[kind]["items"]
    assert best["scores"] == pytest.approx(EXPECTED[kind]["scores"], abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_of_then_recommends_the_same(golden: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    same_ranking(last(capsys, "recommend", *options(golden, kind), "--now", 2000), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_of_then_is_shown(golden: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = last(capsys, "state", "show", *options(golden, kind, store=False))
    assert (shown["weights"], shown["steps"]) == (EXPECTED[kind]["choice"], EXPECTED[kind]["steps"])
    assert shown["history"] == EXPECTED[kind]["history"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_of_then_goes_on(golden: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    later = golden / "later.csv"
    habit = [f"u1,item {3 if place % 2 else 7},{1500 + place}\n" for place in range(8)]
    later.write_text("".join(["user,item,timestamp\n", *habit]), encoding="utf-8")
    done = last(capsys, "personalise", *options(golden, kind), "--events", later, "--resume")
    assert done["history"] == 32
    assert done["steps"] > EXPECTED[kind]["steps"]


def test_a_paused_training_of_then_comes_to_its_end(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(golden / "states" / "paused.state", golden / "states" / "fresh.state")
    assert EXPECTED["paused"]["paused"] > 0
    words = [*options(golden, "paused"), "--events", golden / "events.csv"]
    done = last(capsys, "personalise", *words, "--append")
    assert (done["paused"], done["steps"]) == (0, EXPECTED["plain"]["steps"])
    same_ranking(last(capsys, "recommend", *options(golden, "paused"), "--now", 2000), "plain")


@pytest.mark.parametrize("kind", ["store", "sealed"])
def test_an_event_store_of_then_takes_events(golden: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = options(golden, kind, state=False)
    last(capsys, "record", *words, "--item", "item 9", "--time", 1500)
    shown = last(capsys, "store", "show", *words)
    assert shown["events"] == 25


@pytest.mark.parametrize("kind", ["bundle", "bundle.packed", "bundle.lean"])
def test_a_bundle_of_then_personalises(golden: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--bundle", golden / kind, "--user", "u1")
    done = last(capsys, "personalise", *words, "--events", golden / "events.csv")
    assert (done["choice"], done["history"]) == ("personal", 24)
    best = last(capsys, "recommend", *words, "--now", 2000)
    if kind == "bundle.lean":  # with another table, so with other scores
        assert set(best["items"][:2]) == {"item 3", "item 7"}
    else:
        same_ranking(best, "plain")


@pytest.mark.parametrize("kind", ["bundle", "bundle.packed"])
def test_a_release_of_then_is_pulled(golden: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    here = golden / "device" / "here"
    with serving(golden / "published" / kind) as server:
        words = ("--to", here, "--user", "u1", "--key", golden / "publisher.key.pub")
        assert last(capsys, "pull", server.url, *words)["serial"] == 1
    states = ("--bundle", here, "--user", "u1", "--state", golden / "states" / "plain.state")
    same_ranking(last(capsys, "recommend", *states, "--now", 2000), "plain")
