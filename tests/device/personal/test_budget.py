# SPDX-License-Identifier: Apache-2.0
"""Training that is stopped for its time or a temperature, and continues; replay of older events."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from loyal import loyal

from pocketrec.cli import main
from pocketrec.device import Recommender
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract.recipe import GuardRecipe, Prior
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.engine.model import Model
from pocketrec.device.personal import budget, guard
from pocketrec.device.personal.budget import Budget, hottest
from pocketrec.device.personal.options import Start
from pocketrec.device.personal.personalise import personalise
from pocketrec.device.personal.report import Report
from pocketrec.device.personal.windows import replay_windows, replayed_count, training_windows
from pocketrec.device.state.file import load_state
from pocketrec.device.state.personalisation import NOTHING_NEW

pytestmark = pytest.mark.runtime


class Steps(Budget):
    """So many train steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        object.__setattr__(self, "steps", steps)

    def start(self) -> Callable[[], str]:
        left = iter(range(self.steps))  # type: ignore[attr-defined]
        return lambda: "" if next(left, None) is not None else "enough"


def events(count: int, start: float = 1000) -> list[tuple[str, float | None]]:
    return [(f"item {row}", start + place) for place, row in enumerate(loyal(count))]


def weights(recommender: Recommender) -> dict[str, np.ndarray]:
    return recommender.model.export_weights()


def equal(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


# Each value of one beside each of another.
@pytest.mark.parametrize(("steps", "with_store", "guard"), [
    (1, True, True), (3, True, False), (3, False, True), (1, False, False),
])  # fmt: skip
def test_stopped_saved_and_gone_on_with_equals_uninterrupted(
    folder: Path, tmp_path: Path, guard: bool, with_store: bool, steps: int
) -> None:
    """Where the guard weighs every choice, too: a state that was stopped at the fourth weights was refused."""

    def opened(name: str) -> Recommender:
        bundle = open_bundle(folder)
        every = GuardRecipe(enabled=guard, prior={"quarter": Prior(), "most": Prior()})
        bundle.recipe = dataclasses.replace(bundle.recipe, guard=every)
        store = tmp_path / f"{name}.events" if with_store else None
        return Recommender(bundle, user="u1", state=tmp_path / name, store=store)

    whole = opened("whole")
    expected = [whole.personalise(events(60)), whole.personalise(events(60, 1100), resume=True)]
    for given, resume, report in ((events(60), False, expected[0]), (events(60, 1100), True, expected[1])):
        parts = opened("parts")
        pauses = 0
        before = weights(parts)
        done = parts.personalise(given, resume=resume, budget=Steps(steps))
        while done.paused:
            pauses += 1
            assert done.reason == "enough"
            assert equal(weights(parts), before)  # what was in use stays in use
            parts.save()
            parts = opened("parts")
            assert equal(weights(parts), before)
            done = parts.personalise(resume=resume, budget=Steps(steps))
        assert pauses > 2
        assert done == report
        parts.save()
    assert equal(weights(opened("parts")), weights(whole))
    assert load_state(tmp_path / "parts").pending is None


def test_events_that_come_meanwhile_wait_for_the_next_training(bundle: Bundle, tmp_path: Path) -> None:
    bundle.recipe = dataclasses.replace(bundle.recipe, guard=GuardRecipe(enabled=False))
    recommender = Recommender(bundle, user="u1", store=tmp_path / "e")
    assert recommender.personalise(events(40), budget=Steps(2)).paused == 2
    recommender.add(events(10, 1100))
    done = recommender.personalise()
    assert (done.paused, done.history) == (0, 50)
    assert recommender.state.trained == 40
    first = Recommender(bundle, user="u1")
    first.personalise(events(40))
    assert equal(weights(recommender), weights(first))
    assert recommender.personalise(resume=True).events == 10
    assert recommender.state.trained == 50


def test_another_wish_or_a_forgotten_event_begins_anew(bundle: Bundle) -> None:
    recommender = Recommender(bundle, user="u1")
    assert recommender.personalise(events(40), budget=Steps(2)).paused
    done = recommender.personalise(passes=1)
    other = Recommender(bundle, user="u1")
    assert done == dataclasses.replace(other.personalise(events(40), passes=1))
    assert equal(weights(recommender), weights(other))
    assert recommender.personalise(events(40), budget=Steps(2)).paused
    recommender.forget([recommender.history[0]])
    assert recommender.state.pending is None


def zones(folder: Path, *degrees: float | str) -> Path:
    for number, value in enumerate(degrees):
        zone = folder / f"thermal_zone{number}"
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "temp").write_text(value if isinstance(value, str) else f"{value * 1000:.0f}\n")
    return folder


def test_the_hottest_zone_counts(bundle: Bundle, tmp_path: Path) -> None:
    assert hottest(tmp_path / "none") is None
    place = zones(tmp_path / "zones", 41.5, "asleep", 71)
    assert hottest(place) == 71
    recommender = Recommender(bundle, user="u1")
    done = recommender.personalise(events(40), budget=Budget(celsius=70, zones=place))
    assert (done.paused, done.reason) == (1, "71 degrees Celsius, the limit is 70")
    zones(place, 40, 40, 40)
    assert recommender.personalise(budget=Budget(celsius=70, zones=place)).paused == 0
    with pytest.raises(ConfigError, match="no temperature can be read"):
        recommender.personalise(budget=Budget(celsius=70, zones=tmp_path / "none"))
    for wrong in ({"seconds": 0}, {"seconds": float("nan")}, {"celsius": 500}):
        with pytest.raises(ConfigError):
            Budget(**wrong)


def test_the_same_command_comes_to_the_end(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv = tmp_path / "events.csv"
    csv.write_text("item,timestamp\n" + "".join(f"{item},{time}\n" for item, time in events(40)))

    def personalise(state: str, *more: str) -> dict[str, object]:
        words = ["personalise", "--bundle", str(folder), "--user", "u1", "--events", str(csv)]
        assert main([*words, "--state", str(tmp_path / state), *more]) == 0
        result: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return result

    whole, done, calls = personalise("whole"), personalise("parts", "--max-seconds", "1e-6"), 1
    assert done["paused"] == 1
    while done["paused"]:
        done, calls = personalise("parts", "--max-seconds", "1e-6"), calls + 1
    assert calls > 10  # a step at least each time
    assert {**done, "state": ""} == {**whole, "state": ""}
    first, second = (load_state(tmp_path / name) for name in ("whole", "parts"))
    assert equal(first.weights, second.weights)
    assert main(["personalise", "--bundle", str(folder), "--events", str(csv), "--max-seconds", "0"]) == 2


@pytest.mark.parametrize("with_store", [True, False])
@pytest.mark.parametrize("resume", [True, False])
def test_nothing_is_trained_where_nothing_is_new(
    folder: Path, tmp_path: Path, with_store: bool, resume: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(learning_rate: float = 0.1) -> Recommender:
        bundle = open_bundle(folder)
        bundle.recipe = dataclasses.replace(bundle.recipe, learning_rate=learning_rate)
        store = tmp_path / "events" if with_store else None
        return Recommender(bundle, user="u1", state=tmp_path / "state", store=store)

    def personalise(given: list[tuple[str, float | None]], learning_rate: float = 0.1, **options: object) -> Report:
        recommender = opened(learning_rate)
        done = recommender.personalise(given, resume=resume, if_new=True, **options)  # type: ignore[arg-type]
        if done.reason != NOTHING_NEW:
            recommender.save()
        return done

    first = personalise(events(60))
    assert first.losses
    kept = (tmp_path / "state").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Bundle, "load_model", None)  # not even opened
        for given in ([], events(60), events(10)):
            done = personalise(given)
            assert (done.reason, done.choice, done.history, done.losses) == (NOTHING_NEW, first.choice, 60, [])
            assert (done.events, done.steps) == (first.events, first.steps)
    assert (tmp_path / "state").read_bytes() == kept
    assert personalise([], learning_rate=0.2).losses  # another recipe
    assert personalise([], learning_rate=0.2).reason == NOTHING_NEW
    assert personalise([], learning_rate=0.2, passes=2).losses
    stopped = personalise(events(10, 1100), budget=Steps(2))  # new events
    assert stopped.paused
    calls = 0
    while stopped.paused:
        stopped, calls = personalise([], budget=Steps(2)), calls + 1
    assert calls > 1
    assert personalise([]).reason == NOTHING_NEW
    last = opened()
    assert last.forget(last.history[:1])
    assert personalise([]).reason != NOTHING_NEW


def test_the_command_for_nothing_new(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv = tmp_path / "events.csv"
    csv.write_text("item,timestamp\n" + "".join(f"{item},{time}\n" for item, time in events(40)))
    words = ["personalise", "--bundle", str(folder), "--user", "u1", "--events", str(csv), "--if-new"]
    words += ["--state", str(tmp_path / "state")]
    assert main(words) == 0
    trained = capsys.readouterr().out
    kept = (tmp_path / "state").read_bytes()
    assert main(words) == 0
    assert capsys.readouterr().out == "not trained: nothing is new since the last training\n"
    assert (tmp_path / "state").read_bytes() == kept
    with csv.open("a") as file:
        file.write("item 5,2000\n")
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["history"] == 41
    csv.write_text("\n".join(csv.read_text().splitlines()[:-1]))  # what the file has is the history
    assert main(words) == 0
    assert capsys.readouterr().out == trained


@pytest.mark.parametrize("share", [0.5, 1.0, 3.0])
def test_replay_has_every_new_target_once_and_older_ones_among_them(share: float) -> None:
    rows = np.arange(1, 201, dtype=np.int32)  # every event another item
    items, targets = replay_windows(rows, 150, 20, share, 6, 4, (1, 2))
    assert items.shape == targets.shape
    assert items.shape[1:] == (4, 6)
    seen = targets[targets > 0]
    assert sorted(seen[seen > 150]) == list(range(151, 201))  # item 151 is at index 150
    older = seen[seen <= 150]
    assert len(set(older)) == len(older)
    assert older.min() > 20
    new = len(training_windows(rows, 150, 6, 1)[0])
    assert (targets.any(axis=-1).sum()) == new + replayed_count(new, 150, 20, share, 6)
    assert replayed_count(new, 150, 20, share, 6) == min(22, round(share * new))
    for slot_items, slot_targets in zip(items.reshape(-1, 6), targets.reshape(-1, 6), strict=True):
        counted = slot_targets > 0
        assert (slot_targets[counted] == slot_items[counted] + 1).all()  # each right after its input
    again = replay_windows(rows, 150, 20, share, 6, 4, (1, 2))
    assert np.array_equal(items, again[0])
    assert not np.array_equal(items, replay_windows(rows, 150, 20, share, 6, 4, (1, 3))[0])


def test_without_replay_only_new_events_are_trained_on(bundle: Bundle) -> None:
    bundle.recipe = dataclasses.replace(bundle.recipe, guard=GuardRecipe(enabled=False))
    outcomes = []
    for share in (0.0, 2.0):
        bundle.recipe = dataclasses.replace(bundle.recipe, replay=share)
        recommender = Recommender(bundle, user="u1")
        first = recommender.personalise(events(60)).steps
        outcomes.append((recommender.personalise(events(30, 1100), resume=True).steps - first, weights(recommender)))
    assert outcomes[0][0] < outcomes[1][0] <= 3 * outcomes[0][0]
    assert not equal(outcomes[0][1], outcomes[1][1])


class Clock:
    """A clock that each step of the model moves by a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        monkeypatch.setattr(budget.time, "monotonic", lambda: self.now)
        for name in ("train", "evaluate", "embed"):
            monkeypatch.setattr(Model, name, self.counted(name, getattr(Model, name)))

    def counted(self, name: str, work: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            self.calls.append(name)
            self.now += 1.0
            return work(*args, **options)

        return call


@pytest.mark.parametrize("repeats", [0.0, 1.0])
@pytest.mark.parametrize("seconds", [1, 3])
def test_after_the_budget_nothing_runs_but_the_step_in_progress(
    folder: Path, tmp_path: Path, seconds: int, repeats: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(name: str) -> Recommender:
        bundle = open_bundle(folder)
        bundle.recipe = dataclasses.replace(bundle.recipe, repeats=Repeats(repeats))
        return Recommender(bundle, user="u1", state=tmp_path / name)

    clock = Clock(monkeypatch)
    whole = opened("whole").personalise(events(60))
    expected, parts, pauses = list(clock.calls), opened("parts"), 0
    assert expected.count("embed" if repeats else "evaluate") >= 3
    clock.calls.clear()
    done = parts.personalise(events(60), budget=Budget(seconds=seconds))
    while done.paused:
        pauses += 1
        assert pauses < len(expected)
        assert len(clock.calls) == pauses * seconds  # so many steps of a second each, in the guard's comparison too
        parts.save()
        parts = opened("parts")
        done = parts.personalise(budget=Budget(seconds=seconds))
    assert clock.calls == expected  # nothing was done twice
    assert done == whole


def test_the_latest_events_are_learned_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert guard.LEARNED == 10_000
    short = open_bundle(folder)
    expected = []
    for targets in ("later", "all"):
        short.recipe = dataclasses.replace(short.recipe, targets=targets)
        model = short.load_model()
        rows = short.vocabulary.rows([item for item, _ in events(300)])
        expected.append(personalise(model, rows, 250, dataclasses.replace(short.recipe, targets="later"),
                                    model.export_weights(), Start(events=50)))  # fmt: skip
    monkeypatch.setattr(guard, "LEARNED", 50)
    for targets, outcome in zip(("later", "all"), expected, strict=True):
        short.recipe = dataclasses.replace(short.recipe, targets=targets)
        recommender = Recommender(short, user="u1")
        report = recommender.personalise(events(300))
        assert (report.history, report.events, report.heldback) == (300, 50, 15)
        assert report.expected_gain == outcome.decision.posterior
        assert equal(weights(recommender), outcome.weights)
        assert recommender.personalise(events(10, 1400), resume=True).events == 10
