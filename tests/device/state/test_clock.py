# SPDX-License-Identifier: Apache-2.0
"""Events of another time: before the cut-off, in the future, and forgotten one by one."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from loyal import loyal

from pocketrec.cli import main
from pocketrec.device import Recommender
from pocketrec.device.contract.recipe import GuardRecipe
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.state.clock import TOLERANCE, future_from
from pocketrec.device.state.file import load_state, save_state

CUT = 1_700_000_000.0
NOW = CUT + 1e6
IN_2099 = 4_070_908_800.0


@pytest.fixture
def dated(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """The bundle as if its log were in Unix seconds, and a clock that stands still."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    bundle.manifest = dataclasses.replace(bundle.manifest, cut_off=CUT)
    bundle.recipe = dataclasses.replace(bundle.recipe, guard=GuardRecipe(enabled=False))
    return bundle


def events(count: int, start: float = CUT) -> list[tuple[str, float | None]]:
    return [(f"item {row}", start + place) for place, row in enumerate(loyal(count))]


def test_where_the_future_begins() -> None:
    assert future_from(NOW, CUT) == NOW + TOLERANCE
    assert future_from(NOW, CUT * 1000) == (NOW + TOLERANCE) * 1000, "milliseconds are told by their size"
    for now, cut_off in ((0.0, CUT), (NOW, None), (NOW, 1000), (1e6, CUT * 1000)):
        assert future_from(now, cut_off) == math.inf  # a clock or a unit that cannot be told


@pytest.mark.parametrize("unit", [1, 1000])
@pytest.mark.parametrize("with_store", [True, False])
def test_events_are_brought_to_the_unit_of_the_log(
    dated: Bundle, tmp_path: Path, with_store: bool, unit: int
) -> None:
    """A log in seconds or milliseconds, an application that hands over either, or dates: once all lay in the future, or
    before the cut-off."""
    dated.manifest = dataclasses.replace(dated.manifest, cut_off=CUT * unit)
    store = tmp_path / "e" if with_store else None
    recommender = Recommender(dated, user="u1", state=tmp_path / "s", store=store)
    given = [CUT + 10, (CUT + 20) * 1000, datetime.fromtimestamp(CUT + 30, UTC), CUT + 5]
    recommender.add([(f"item {place}", at) for place, at in enumerate(given, 1)])
    assert recommender.history == ["item 4", "item 1", "item 2", "item 3"]
    assert recommender.state.times.tolist() == [(CUT + seconds) * unit for seconds in (5, 10, 20, 30)]
    assert recommender.personalise().future == 0
    recommender.add([("item 2", CUT + 20)])
    assert len(recommender) == 4, "the same event in another unit"
    assert recommender.forget([("item 2", (CUT + 20) * 1000)]) == 1


@pytest.mark.parametrize("with_store", [True, False])
def test_an_event_of_the_future_waits_for_its_time(
    dated: Bundle, tmp_path: Path, with_store: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"user": "u1", "state": tmp_path / "s", "store": tmp_path / "e" if with_store else None}
    recommender = Recommender(dated, **options)  # type: ignore[arg-type]
    recommender.add([*events(20), ("item 9", IN_2099)])
    plain = Recommender(dated, user="u1")
    plain.add(events(20))
    np.testing.assert_array_equal(recommender.embed(), plain.embed())
    recommender.add(["item 4"])  # without a time: after the latest, which is not the one of 2099
    plain.add(["item 4"])
    assert recommender.history == plain.history
    report, other = recommender.personalise(), plain.personalise()
    assert (report.future, other.future) == (1, 0)
    assert report == dataclasses.replace(other, future=1)
    recommender.save()
    again = Recommender(dated, **options)  # type: ignore[arg-type]
    assert (again.history, again.state.trained) == (plain.history, 21)
    again.add([("item 5", CUT + 30), ("item 9", IN_2099)])
    assert (len(again), again.personalise(resume=True).events) == (22, 1)
    assert again.export(tmp_path / "all.csv") == 23  # it is kept
    again.save()
    nines = again.history.count("item 9")
    monkeypatch.setattr(time, "time", lambda: IN_2099)
    later = Recommender(dated, **options)  # type: ignore[arg-type]
    assert (len(later), later.history.count("item 9")) == (23, nines + 1)
    assert later.personalise().future == 0


def test_a_state_that_has_learned_from_2099_learns_from_today_again(dated: Bundle, tmp_path: Path) -> None:
    old = Recommender(dated, user="u1", state=tmp_path / "s")
    old.personalise(events(20))
    old.save()
    state = load_state(tmp_path / "s")
    rows, times = np.append(state.rows, np.int32(9)), np.append(state.times, IN_2099)
    items = tuple(dated.vocabulary.ids(np.unique(rows).tolist()))
    wrong = dataclasses.replace(state, rows=rows, times=times, trained=21, items=items)
    save_state(tmp_path / "s", wrong, dated.manifest)
    again = Recommender(dated, user="u1", state=tmp_path / "s")
    assert (len(again), again.state.trained) == (20, 20)
    report = again.personalise(events(5, CUT + 100), resume=True)
    assert (report.events, report.future) == (5, 1)


def test_events_before_the_cut_off_are_counted(dated: Bundle) -> None:
    recommender = Recommender(dated, user="u1")
    report = recommender.personalise([*events(7, 0.0), *events(20)])  # a clock that began at 1970
    assert (report.history, report.before, report.events) == (27, 7, 20)
    assert recommender.report["before"] == 7


def test_without_a_clock_nothing_is_future(dated: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 100.0)
    recommender = Recommender(dated, user="u1")
    assert recommender.personalise(events(20)).future == 0
    assert len(recommender) == 20


@pytest.mark.parametrize("with_store", [True, False])
def test_one_event_is_forgotten(dated: Bundle, tmp_path: Path, with_store: bool) -> None:
    options = {"user": "u1", "state": tmp_path / "s", "store": tmp_path / "e" if with_store else None}
    recommender = Recommender(dated, **options)  # type: ignore[arg-type]
    recommender.add([("item 9", CUT), ("item 9", CUT + 1), ("item 4", CUT + 1), ("item 9", IN_2099)])
    recommender.save()
    assert recommender.forget([("item 9", IN_2099), ("item 4", CUT), ("item 9", CUT)]) == 2
    assert recommender.export(tmp_path / "all.csv") == 2
    assert recommender.history == ["item 9", "item 4"]
    again = Recommender(dated, **options)  # type: ignore[arg-type]
    assert again.history == ["item 9", "item 4"]
    assert again.forget(["item 9"]) == 1


def test_the_command_tells_and_forgets(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    user = ["--bundle", str(folder), "--user", "u1", "--store", str(tmp_path / "e")]
    cut = open_bundle(folder).manifest.cut_off
    assert cut is not None
    assert main(["record", *user, "--item", "item 3", "item 4", "--time", str(cut - 1)]) == 0
    assert main(["record", *user, "--item", "item 5", "--time", str(cut + 1)]) == 0
    assert main(["personalise", *user]) == 0
    said = capsys.readouterr().out.splitlines()
    assert any("2 events before the cut-off of the log (context only)" in line for line in said)
    assert json.loads(said[-1])["before"] == 2
    assert main(["forget", *user, "--item", "item 3", "--time", str(cut - 1)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"forgotten": 1, "history": 2}
