# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the Java runner at random moments: what it had acknowledged is there, and nothing is there in part.

A few times in the short suite, 160 times in the long one (POCKETREC_LONG=1), a thousand times with POCKETREC_KILLS=250,
which takes a quarter of an hour of processor time. A killed process is no power cut.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import by_java
import pytest
from by_java import JAVA, Java, JavaError, JavaStore
from examples import LONG
from publishing import QUICK, changed
from server import Server

from pocketrec.device import Recommender
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.pins import read_pin
from pocketrec.device.delivery.versions import read_current
from pocketrec.device.state.file import load_state, quality_of
from pocketrec.device.state.quality import load_quality
from pocketrec.device.store.database import EventStore
from pocketrec.device.store.sealing import Seal
from pocketrec.export.bundle.release import publish

pytestmark = [pytest.mark.java, pytest.mark.scaled, pytest.mark.skipif(not JAVA, reason="run by `make test-android`")]
for _file in ("device/conftest.py", "device/delivery/conftest.py"):
    globals().update(by_java.cases(_file, {}, ()))

KILLS = int(os.environ.get("POCKETREC_KILLS", 40 if LONG else 3))


def killed(
    work: Callable[[Java], object], wait: float, litert: str = "", first: Callable[[Java], object] = lambda _: None
) -> None:
    """Let a runner work again and again until it is killed, `wait` seconds after it has begun."""
    runner = Java(litert)
    runner.call("resolve", "nowhere")  # it has started
    first(runner)
    timer = threading.Timer(wait, runner.process.kill)
    with contextlib.suppress(JavaError, BrokenPipeError):
        work_started = time.monotonic()
        timer.start()
        while time.monotonic() - work_started < 60:
            work(runner)
    timer.cancel()
    runner.process.kill()
    runner.process.wait()
    for stream in (runner.process.stdin, runner.process.stdout):
        with contextlib.suppress(BrokenPipeError):
            stream.close()  # type: ignore[union-attr]


def test_store(tmp_path: Path) -> None:
    path, told, rng = tmp_path / "kept" / "events", [], random.Random(1)
    for turn in range(KILLS):
        stores: list[JavaStore] = []

        def opened(runner: Java, stores: list[JavaStore] = stores) -> None:
            stores.append(JavaStore(path, runner=runner))

        def append(runner: Java, stores: list[JavaStore] = stores) -> None:
            if not stores:
                stores.append(JavaStore(path, runner=runner))
            batch = [(f"item {len(told)}", float(len(told))), (f"more {len(told)}", float(len(told)))]
            stores[0].append(batch)
            told.append(batch)

        killed(append, 0.4 * rng.random(), first=opened if turn % 3 else lambda _: None)
        with EventStore(path) as store:
            found = set(zip(store.replay().events.items, store.replay().events.times, strict=True))
        acknowledged = {event for batch in told for event in batch}
        assert acknowledged <= found
        pending = {(f"item {len(told)}", float(len(told))), (f"more {len(told)}", float(len(told)))}
        assert found - acknowledged in (set(), pending), "a batch is there whole or not at all"
        if found - acknowledged:
            told.append(sorted(pending))
    assert told


@pytest.mark.parametrize("key", [None, bytes(range(32))], ids=["clear", "sealed"])
def test_state_and_personalise(folder: Path, tmp_path: Path, key: bytes | None) -> None:
    """Trainings that their budget stops are saved too, and gone on with by the next process; so is quality."""
    state, store, rng = tmp_path / "s", tmp_path / "e", random.Random(2 if key is None else 4)
    manifest, saved, added, stopped = open_bundle(folder).manifest, 0, 0, 0
    if key is not None:
        pytest.importorskip("cryptography")
    seal = None if key is None else Seal(key)
    for turn in range(KILLS):
        opened: list[int] = []

        def opening(runner: Java, opened: list[int] = opened) -> None:
            opened.append(runner.call("open", str(folder), "u1", str(state), str(store), by_java.digits(key)))

        def personalise(runner: Java, opened: list[int] = opened) -> None:
            nonlocal saved, added
            if not opened:
                opening(runner)
            events = [[f"item {1 + (added + place) % 9}", 1010.0 + added + place] for place in range(3)]
            runner.call("add", opened[0], events)
            added += 3
            runner.call("personalise", opened[0], [], False, 1, {"steps": rng.randrange(1, 9)})
            runner.call("save", opened[0])
            saved = runner.call("state", opened[0])["generation"]

        killed(personalise, 0.6 * rng.random(), sys.prefix, first=opening if turn % 4 else lambda _: None)
        with EventStore(store, key=key) as kept:
            assert len(kept) in (added, added + 3)
            added = len(kept)
        if state.exists():
            found = load_state(state, manifest, seal)
            assert found.generation in (saved, saved + 1)
            saved, stopped = found.generation, stopped + (found.pending is not None)
            if quality_of(state).exists():
                quality = load_quality(state, seal)
                assert quality is not None
                assert quality.generation <= saved  # written after the state, by a process that may be killed between
            if turn % 10 == 0:
                with Recommender(folder, user="u1", state=state, store=store, key=key) as python:
                    assert (python.outdated, len(python)) == ("", added)
                    assert python.personalise(passes=1).paused == 0
        previous = Path(f"{state}.previous")
        if previous.exists():
            load_state(previous, manifest, seal)
        else:
            assert saved < 2, "the generation before is gone"
    assert stopped or KILLS < 10, "no training was ever stopped"


def test_pull(folder: Path, site: Server, here: Path, keys: list[Path], digits: list[str]) -> None:
    """A device that has release 1 is killed while it takes another; then Python, and then Java, look and go on."""
    publish(folder, site.root, sign=keys[0])
    by_java.pull(site.url, here, users=["u1"], key=digits[0], patience=QUICK)
    rng = random.Random(3)
    current, offered = read_current(here), 0
    assert current is not None
    for turn in range(KILLS):
        if read_current(here).serial > offered or turn == 0:  # type: ignore[union-attr]
            other = changed(folder, f"release {turn}")
            offered = publish(other, site.root, sign=keys[0]).release.serial - 1
        options = {"users": ["u1"], "now": time.time()}
        killed(lambda runner, options=options: runner.call("pull", site.url, str(here), options),  # type: ignore[misc]
               0.5 * rng.random())  # fmt: skip
        current = read_current(here)
        assert current is not None
        assert current.serial >= 1
        assert read_pin(here, current).keys == (digits[0],)
        assert read_pin(here, current).serial >= current.serial - 1
        assert open_bundle(here).candidates_of("u1") is not None
    done = by_java.pull(site.url, here, patience=QUICK)
    assert done.folder == open_bundle(here).folder
    assert {path.name for path in here.iterdir()} <= {
        "current.json", "current.copy.json", "pin.json", "versions", "lock", "partial",
    } | {path.name for path in here.iterdir() if path.name.endswith(".tmp")}  # fmt: skip
