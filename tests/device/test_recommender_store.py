# SPDX-License-Identifier: Apache-2.0
"""A recommender whose history lies in an event store: new events, forgetting, another model, encryption."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loyal import loyal
from traces import traces

from pocketrec.cli import main
from pocketrec.device import Recommender
from pocketrec.device.base.errors import PocketRecError, StateError, StoreError
from pocketrec.device.cli.options import default_state, default_store
from pocketrec.device.contract.recipe import GuardRecipe
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.state.file import load_state, previous_of
from pocketrec.device.store.database import EventStore
from pocketrec.device.store.events import read_events

pytestmark = pytest.mark.runtime

KEY = bytes(range(32))


def events(count: int, start: float = 1000) -> list[tuple[str, float | None]]:
    return [(f"item {row}", start + place) for place, row in enumerate(loyal(count))]


def weights(recommender: Recommender) -> dict[str, np.ndarray]:
    return recommender.model.export_weights()


def equal(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def other_model(folder: Path) -> Bundle:
    """The bundle as if its model were a later one."""
    bundle = open_bundle(folder)
    bundle.manifest = dataclasses.replace(bundle.manifest, model_id="0" * 64)
    return bundle


@pytest.fixture
def unguarded(bundle: Bundle) -> Bundle:
    bundle.recipe = dataclasses.replace(bundle.recipe, guard=GuardRecipe(enabled=False))
    return bundle


def test_what_the_store_lets_go_leaves_the_history_of_a_process_that_goes_on(unguarded: Bundle, tmp_path: Path) -> None:
    with EventStore(tmp_path / "events") as store:
        store.retain(events=12)
    running = Recommender(unguarded, user="u1", state=tmp_path / "state", store=tmp_path / "events")
    for start in range(1000, 1100, 10):
        running.personalise(events(10, start))
        running.save()
        again = Recommender(unguarded, user="u1", state=tmp_path / "state", store=tmp_path / "events")
        assert again.report["history"] == running.report["history"] <= 12
        assert again.recommend(5) == running.recommend(5)


def test_a_store_gives_the_weights_that_a_state_with_its_own_history_gives(unguarded: Bundle, tmp_path: Path) -> None:
    plain = Recommender(unguarded, user="u1", state=tmp_path / "a")
    kept = Recommender(unguarded, user="u1", state=tmp_path / "b", store=tmp_path / "b.events")
    for recommender in (plain, kept):
        recommender.add(events(10))
        recommender.personalise([*events(20, 1010), ("strange", 1500)])
        recommender.save()
        recommender.personalise([("item 4", None), *events(10, 1040)], resume=True)
        recommender.save()
    assert kept.history == plain.history
    assert equal(weights(kept), weights(plain))
    again = Recommender(unguarded, user="u1", state=tmp_path / "b", store=tmp_path / "b.events")
    assert (again.history, again.outdated, again.recommend(5)) == (plain.history, "", plain.recommend(5))
    assert again.state.trained == plain.state.trained
    again.personalise(resume=True, passes=2)
    plain.personalise(resume=True, passes=2)
    assert equal(weights(again), weights(plain))
    assert len(load_state(tmp_path / "b").rows) == 0  # the events are kept once


def test_events_that_another_process_records_are_context_at_once_and_unseen(unguarded: Bundle, tmp_path: Path) -> None:
    paths = {"state": tmp_path / "s", "store": tmp_path / "e"}
    recommender = Recommender(unguarded, user="u1", **paths)
    recommender.personalise(events(20))
    recommender.save()
    EventStore(tmp_path / "e").append([("item 9", 2000), ("item 8", 1005.5)])  # the second comes late
    again = Recommender(unguarded, user="u1", **paths)
    assert len(again) == 22
    assert again.history[-1] == "item 9"
    assert again.state.trained == 21  # up to the last event that training has seen
    assert again.personalise(resume=True).events == 1
    assert again.state.trained == 22


def test_a_state_with_its_own_history_hands_it_over_once(unguarded: Bundle, tmp_path: Path) -> None:
    first = Recommender(unguarded, user="u1", state=tmp_path / "s")
    first.personalise(events(20))
    first.add(events(5, 1030))
    first.save()
    store = EventStore(tmp_path / "e")
    for _ in range(2):
        again = Recommender(unguarded, user="u1", state=tmp_path / "s", store=store)
        assert (again.history, again.outdated, again.state.trained) == (first.history, "", 20)
        assert equal(weights(again), weights(first))
        assert len(store) == 25
    with pytest.raises(StateError, match="lies in an event store: name it with --store"):
        Recommender(unguarded, user="u1", state=tmp_path / "s")


def test_a_store_keeps_the_categories_that_a_lean_bundle_needs(made: Path, tmp_path: Path) -> None:
    paths = {"state": tmp_path / "s", "store": tmp_path / "e"}
    first = Recommender(made.with_name(made.name + ".lean"), user="u3", **paths)
    first.add([(f"never seen {n}", 2000 + n, "abcd"[n % 4]) for n in range(8)])
    assert len(set(first.history)) == 4
    again = Recommender(first.bundle, user="u3", **paths)
    assert again.history == first.history
    afresh = Recommender(made.with_name(made.name + ".lean"), user="u3", **paths)
    assert afresh.history == first.history


@pytest.mark.parametrize("with_store", [True, False])
def test_forgetting_an_item_leaves_what_never_having_seen_it_would(
    unguarded: Bundle, tmp_path: Path, with_store: bool
) -> None:
    paths = {"state": tmp_path / "s", "store": tmp_path / "e" if with_store else None}
    recommender = Recommender(unguarded, user="u1", **paths)
    with_secret = [*events(10), *(("item 50", 1100.0 + n) for n in range(10)), *events(10, 1200)]
    recommender.personalise(with_secret)
    recommender.save()
    recommender.save()
    assert previous_of(tmp_path / "s").exists()
    assert recommender.forget(["item 50", "nothing"]) == 10
    assert "item 50" not in recommender.history
    assert not previous_of(tmp_path / "s").exists()
    again = Recommender(unguarded, user="u1", **paths)
    assert (len(again), again.report, again.state.weights, again.outdated) == (20, {}, {}, "")
    again.personalise()
    never = Recommender(unguarded, user="u1")
    never.personalise([event for event in with_secret if event[0] != "item 50"])
    assert equal(weights(again), weights(never))


def test_killed_between_the_store_and_the_state_forgetting_still_holds(unguarded: Bundle, tmp_path: Path) -> None:
    paths = {"state": tmp_path / "s", "store": tmp_path / "e"}
    recommender = Recommender(unguarded, user="u1", **paths)
    untouched = weights(recommender)
    recommender.personalise(events(20))
    recommender.save()
    recommender.save()
    EventStore(tmp_path / "e").forget([recommender.history[0]])  # and here the power goes
    again = Recommender(unguarded, user="u1", **paths)
    assert "were forgotten" in again.outdated
    assert equal(weights(again), untouched)
    again.save()
    assert not previous_of(tmp_path / "s").exists()
    assert load_state(tmp_path / "s").weights == {}


@pytest.mark.parametrize("act", ["add", "save"])
def test_a_running_process_notices_what_another_forgot(unguarded: Bundle, tmp_path: Path, act: str) -> None:
    paths = {"state": tmp_path / "s", "store": tmp_path / "e"}
    running = Recommender(unguarded, user="u1", **paths)
    untouched = weights(running)
    running.personalise([*events(20), ("item 50", 1500)])
    running.save()
    Recommender(unguarded, user="u1", **paths).forget(["item 50"])
    if act == "add":
        running.add(events(1, 2000))
        assert "item 50" not in running.history
        assert len(running) == 21
    running.save()
    assert "were forgotten" in running.outdated
    assert equal(weights(running), untouched)
    assert not previous_of(tmp_path / "s").exists()
    again = Recommender(unguarded, user="u1", **paths)
    assert (again.outdated, again.state.weights) == ("", {})
    running.wipe()
    assert (len(running), running.add(events(3)), len(running)) == (0, 0, 3)


def test_a_process_that_goes_on_after_a_wipe_brings_nothing_back(unguarded: Bundle, tmp_path: Path) -> None:
    paths = {"state": tmp_path / "s", "store": tmp_path / "e"}
    running = Recommender(unguarded, user="u1", **paths)
    running.personalise(events(20))
    Recommender(unguarded, user="u1", **paths).wipe()
    running.save()
    again = Recommender(unguarded, user="u1", **paths)
    assert (len(again), again.state.weights, len(again.store or ())) == (0, {}, 0)


def test_forgetting_again_after_a_failure_forgets_in_memory(
    unguarded: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommender = Recommender(unguarded, user="u1", state=tmp_path / "s", store=tmp_path / "e")
    untouched = weights(recommender)
    recommender.personalise([*events(20), ("item 50", 1500)])
    recommender.save()

    def busy(store: EventStore) -> None:
        raise StoreError("another process holds it: call again")

    with monkeypatch.context() as patch:
        patch.setattr(EventStore, "_erase", busy)
        with pytest.raises(StoreError):
            recommender.forget(["item 50"])
    recommender.forget(["item 50"])
    assert "item 50" not in recommender.history
    assert equal(weights(recommender), untouched)
    assert load_state(tmp_path / "s").weights == {}


def test_a_new_model_is_trained_from_the_events_and_never_given_the_old_weights(
    folder: Path, unguarded: Bundle, tmp_path: Path
) -> None:
    paths = {"state": tmp_path / "s", "store": tmp_path / "e"}
    old = Recommender(unguarded, user="u1", **paths)
    untouched = weights(old)
    old.personalise(events(20))
    old.save()
    trained = weights(old)
    later = other_model(folder)
    later.recipe = unguarded.recipe
    with pytest.raises(StateError, match="lies in an event store"):
        Recommender(later, user="u1", state=tmp_path / "s")
    new = Recommender(later, user="u1", **paths)
    assert new.outdated == "it was of another model"
    assert equal(weights(new), untouched)
    assert len(new) == 20
    report = new.personalise(resume=True)  # there is nothing of this model to continue from
    assert (report.events, report.choice) == (19, "personal")
    assert equal(weights(new), trained)
    new.save()
    assert Recommender(later, user="u1", **paths).outdated == ""
    assert load_state(previous_of(tmp_path / "s"), unguarded.manifest).steps == old.report["steps"]


def test_sealed_state_and_store_show_nothing(unguarded: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    paths = {"state": tmp_path / "k" / "s", "store": tmp_path / "k" / "e"}
    recommender = Recommender(unguarded, user="a name", **paths, key=KEY)
    recommender.personalise(events(20))
    recommender.save()
    recommender.save()
    content = b"".join(file.read_bytes() for file in (tmp_path / "k").iterdir())
    assert traces(content, "item ", "a name", "personal", "weights", "dense") == []
    again = Recommender(unguarded, user="a name", **paths, key=KEY)
    assert equal(weights(again), weights(recommender))
    with pytest.raises(StateError, match="is encrypted: give its key"):
        Recommender(unguarded, user="a name", state=paths["state"])
    with pytest.raises(StateError, match="encrypted with another key"):
        Recommender(unguarded, user="a name", state=paths["state"], key=bytes(32))
    data = bytearray(paths["state"].read_bytes())
    data[len(data) // 2] ^= 1
    paths["state"].write_bytes(data)
    with pytest.raises(StateError, match=r"is damaged, .*state restore"):
        Recommender(unguarded, user="a name", **paths, key=KEY)
    assert set(recommender.wipe()) >= set(paths.values())
    assert list((tmp_path / "k").iterdir()) == []
    assert len(recommender) == 0


def run(*words: object) -> int:
    try:
        return main([str(word) for word in words])
    except SystemExit as leave:
        return int(leave.code or 0)


def test_commands_from_recording_to_wiping(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def done(*words: object, status: int = 0) -> dict[str, object]:
        assert run(*words) == status, capsys.readouterr().err
        captured = capsys.readouterr()
        if status:
            (line,) = [line for line in captured.err.splitlines() if not line.startswith("INFO:")]
            return {"error": line}
        result: dict[str, object] = json.loads(captured.out.splitlines()[-1])
        return result

    user = ("--bundle", folder, "--user", "u1")
    csv = tmp_path / "events.csv"
    csv.write_text("item,timestamp\n" + "".join(f"{item},{time}\n" for item, time in events(30)))
    assert "pocketrec record" in str(done("personalise", *user, status=2)["error"])
    assert "nothing to record" in str(done("record", *user, status=2)["error"])
    assert "nothing is kept" in str(done("export-data", *user, "--out", tmp_path / "x", status=2)["error"])
    assert done("record", *user, "--events", csv)["new"] == 30
    assert done("record", *user, "--events", csv)["new"] == 0
    assert done("record", *user, "--item", "item 50", "item 51", "--time", 2000)["held"] == 32
    assert done("recommend", *user)["history"] == 32
    learned = done("personalise", *user)
    assert (learned["history"], learned["events"]) == (32, 31)
    assert done("state", "show", *user)["store"] is True
    shown = done("store", "show", *user)
    assert (shown["events"], shown["first"], shown["last"]) == (32, 1000.0, 2000.0)
    assert done("forget", *user, "--item", "item 50")["forgotten"] == 1
    assert done("recommend", *user)["weights"] == "global"
    assert done("store", "retain", *user, "--keep-events", 10)["gone"] == 21
    assert done("store", "retain", *user, "--keep-days", 1)["events"] == 0
    done("record", *user, "--events", csv)
    out = tmp_path / "mine.csv"
    assert done("export-data", *user, "--out", out)["events"] == 10
    assert read_events(out).items == [item for item, _ in events(30)[20:]]
    assert done("personalise", *user)["history"] == 10
    default_store(folder, "u1").write_bytes(b"SQLite format 3\0 and then nothing good")
    for words in (("recommend", *user), ("personalise", *user), ("export-data", *user, "--out", out)):
        assert "pocketrec store repair" in str(done(*words, status=2)["error"])
    deleted = done("wipe", *user)["deleted"]
    assert str(default_state(folder, "u1")) in deleted  # type: ignore[operator]
    assert os.listdir(default_state(folder, "u1").parent) == []
    assert done("wipe", *user)["deleted"] == []
    assert "no event store or state was named" in str(done("wipe", status=2)["error"])


def test_commands_with_a_key(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cryptography")
    (tmp_path / "key").write_text(KEY.hex() + "\n")
    (tmp_path / "short").write_text("abc")
    user = ("--bundle", folder, "--user", "u1")
    secret = ("--secret", tmp_path / "key")
    assert run("record", *user, *secret, "--item", *(item for item, _ in events(20))) == 0
    assert run("personalise", *user, *secret) == 0
    assert run("recommend", *user, *secret) == 0
    assert run("state", "show", *user, *secret) == 0
    assert run("export-data", *user, *secret, "--out", tmp_path / "x.csv") == 0
    capsys.readouterr()
    assert run("recommend", *user) == 2
    assert "is encrypted: give its key with --secret" in capsys.readouterr().err
    assert run("recommend", *user, "--secret", tmp_path / "short") == 2
    assert "holds no key of 32 bytes" in capsys.readouterr().err
    assert run("wipe", *user) == 0  # to delete takes no key


def test_sqlite_is_imported_only_for_a_store(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pocketrec.device import Recommender\n"
        "r = Recommender(sys.argv[1], user='u1', state=sys.argv[2])\n"
        "r.personalise(['item 1'] * 9); r.save(); r.recommend(3)\n"
        "print([n for n in ('sqlite3', 'cryptography') if n in sys.modules])\n"
    )
    words = [sys.executable, "-c", code, str(folder), str(tmp_path / "s")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_errors_of_the_store_are_ours(unguarded: Bundle, tmp_path: Path) -> None:
    (tmp_path / "e").write_bytes(b"no store")
    with pytest.raises(StoreError) as raised:
        Recommender(unguarded, user="u1", store=tmp_path / "e")
    assert isinstance(raised.value, PocketRecError)
