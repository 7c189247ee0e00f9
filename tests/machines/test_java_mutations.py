# SPDX-License-Identifier: Apache-2.0
"""Altered stores, states and releases: Java ends each in a typed exception of one line, or takes what is still good.

A few of each in the short suite, 1,000 in the long one (POCKETREC_LONG=1), or POCKETREC_ALTERED of each: half of the
stores are sealed; of the states a quarter each is plain, has a stopped training, is sealed, or has quality altered.
`by_java.JavaError` is what fails: an exception of Java's that has no type of ours, or a runner that has ended.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import by_java
import pytest
from by_java import JAVA, JavaStore, java
from examples import LONG
from loyal import loyal
from mutations import Cases, bent
from server import Handler, serving

from pocketrec.device import Recommender
from pocketrec.device.base.errors import PocketRecError
from pocketrec.device.personal.budget import Budget
from pocketrec.device.personal.watch import RUNGS
from pocketrec.device.state.file import quality_of
from pocketrec.device.store.database import EventStore

pytestmark = [pytest.mark.java, pytest.mark.scaled, pytest.mark.skipif(not JAVA, reason="run by `make test-android`")]
globals().update(by_java.cases("device/conftest.py", {}, ()))

COUNT = int(os.environ.get("POCKETREC_ALTERED", 1000 if LONG else 16))


KEY = bytes(range(32))
EVENTS = [(f"item {row}", 1000.0 + place) for place, row in enumerate(loyal(40))]


@pytest.mark.parametrize("key", [None, KEY], ids=["clear", "sealed"])
def test_stores(tmp_path: Path, key: bytes | None) -> None:
    path, rng = tmp_path / "events", random.Random(1)
    if key is not None:
        pytest.importorskip("cryptography")
    with EventStore(path, key=key) as store:
        store.append([(f"item {number}", float(number), "shoes" * (number % 2)) for number in range(300)])
    good, told = path.read_bytes(), Counter[str]()
    for number in range(COUNT // 2):
        for left in tmp_path.iterdir():
            left.unlink()
        content = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(bent(good, rng) if number % 2 else content)
        try:
            with contextlib.closing(JavaStore(path, key=key)) as opened:
                events = opened.replay().events
                assert set(events.items) <= {f"item {number}" for number in range(300)}
                opened.append([("item 7", 7.0), ("after", 1e6)])
                opened.forget(["item 3"])
            told["good"] += 1
        except PocketRecError as error:
            told[type(error).__name__] += 1
            with contextlib.suppress(PocketRecError):
                by_java.repair_store(path, key)
                with contextlib.closing(JavaStore(path, key=key)) as repaired:
                    saved = set(repaired.replay().events.items)
                    assert saved <= {"after", *(f"item {number}" for number in range(300))}
                told["repaired"] += 1
    assert told["StoreError"] > 0, told


@pytest.mark.parametrize("kind", ["plain", "stopped", "sealed", "quality"])
def test_states(folder: Path, tmp_path: Path, kind: str) -> None:
    """A state; one with a training that was stopped; one that is sealed; and what lies beside a good one."""
    path, rng, key = tmp_path / "state", random.Random(2), KEY if kind == "sealed" else None
    if key is not None:
        pytest.importorskip("cryptography")
    with Recommender(folder, user="u1", state=path, key=key) as python:
        python.personalise(EVENTS[:20] if kind == "stopped" else EVENTS)
        if kind == "stopped":
            assert python.personalise(EVENTS, budget=Budget(seconds=1e-9)).paused
        python.save()
    file = quality_of(path) if kind == "quality" else path
    good, told = file.read_bytes(), Counter[str]()
    for _ in range(COUNT // 4):
        inside = kind != "sealed" and rng.random() < 0.5  # behind a right checksum
        file.write_bytes(Cases._tensors(None, good, rng) if inside else bent(good, rng))  # type: ignore[arg-type]
        try:
            number = java().call("open", str(folder), "u1", str(path), None, by_java.digits(key))
            assert java().call("recommend", number, 5, None, None, 5000.0)
            if kind == "stopped":
                assert java().call("personalise", number, [], False, None)["choice"]
            if kind == "quality":
                quality = java().call("quality", number, 10, 1000)
                assert 0 <= quality["recall"]["personal"] <= 1
                assert quality["most"] in RUNGS
            java().call("close", number)
            told["good"] += 1
        except PocketRecError as error:
            told[type(error).__name__] += 1
    assert (told["StateError"] > 0) == (kind != "quality"), told


def test_releases(made: Path, tmp_path: Path) -> None:
    """The cases of tests/mutated_releases.py, over a server on loopback."""
    module = by_java.module_of("mutated_releases.py")
    files: dict[str, bytes] = {}

    def in_memory(handler: Handler) -> bool:
        content = files.get(handler.path.lstrip("/"))
        handler.answer(404 if content is None else 200, content or b"")
        return True

    with serving(tmp_path) as site:
        site.fault = in_memory

        def pull(_: str, here: Path, *, source: Any, **options: Any) -> object:
            files.clear()
            files.update(source.files)
            return by_java.pull(site.url, here, **options)

        module.pull = pull  # type: ignore[attr-defined]
        (tmp_path / "scratch").mkdir()
        (tmp_path / "folder").mkdir()
        cases, told = module.Cases(made, tmp_path / "scratch"), Counter[str]()
        for number in range(COUNT):
            kind = module.KINDS[number % len(module.KINDS)]
            outcome = cases.attempt(kind, number, 1, tmp_path / "folder")
            assert not outcome.startswith("FAILED"), outcome
            told[outcome] += 1
    assert told["FetchError"] > 0, told
