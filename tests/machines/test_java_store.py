# SPDX-License-Identifier: Apache-2.0
"""Java's event store: the tests of Python's, and files that the two write and read in turns."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import by_java
import pytest
from by_java import JAVA, JavaStore

from pocketrec.device.base.errors import StoreError
from pocketrec.device.store.database import EventStore

pytestmark = [pytest.mark.java, pytest.mark.skipif(not JAVA, reason="run by `make test-android`")]


#: Tests of Python's event store that Java's has to pass as they are; left out is what looks inside Python's object.
globals().update(
    by_java.cases(
        "device/store/test_store.py",
        {"EventStore": JavaStore, "wipe_store": by_java.wipe_store, "repair_store": by_java.repair_store},
        {
            "test_append_is_flushed_to_the_disk",
            "test_repair_leaves_other_files_alone",
            "test_without_the_extra_a_key_is_refused",
            "test_a_store_of_a_newer_version_is_left_alone_and_an_older_one_is_brought_up_to_date",
            "test_several_processes_and_threads_append_and_read_at_once",
            "test_a_store_that_is_locked_for_too_long_is_one_line",
            "test_a_disk_that_takes_no_more_stores_nothing_and_says_so",
        },
    )
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "u1.events"


def _rows(path: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as database:
        return database.execute("SELECT mark, value FROM events ORDER BY id").fetchall()


def _events(seed: int) -> list[tuple[str, float] | tuple[str, float, str]]:
    """Items, times and categories of every kind that JSON and Python's numbers have."""
    generator = random.Random(seed)
    odd = ["plain", 'Ünïcode, "quoted"\n', "\udc80", " ", "x" * 500, "\U0001f600", "\x7f\x00\\", "a,b"]
    events: list[tuple[str, float] | tuple[str, float, str]] = []
    for _ in range(300):
        time = generator.choice([
            float(generator.randrange(2**31)), generator.random(),
            generator.random() * 10.0 ** generator.randint(-300, 300),
            -generator.random(), 2.0 ** generator.randint(-1000, 1000), 1e16, 1e-5, 0.1 + generator.randrange(10**9),
        ])  # fmt: skip
        item = generator.choice(odd) + str(generator.randrange(40))
        events.append((item, time) if generator.random() < 0.7 else (item, time, generator.choice(odd)))
    return events


@pytest.mark.parametrize("seed", range(3))
def test_both_write_the_very_same_rows(tmp_path: Path, seed: int) -> None:
    events = _events(seed)
    for store in (EventStore(tmp_path / "python"), JavaStore(tmp_path / "java")):
        store.append(events)
        store.close()
    assert _rows(tmp_path / "python") == _rows(tmp_path / "java")


def test_sealed_rows_have_the_same_marks(tmp_path: Path) -> None:
    """What is sealed begins with random bytes; the marks tell equal events on both sides."""
    pytest.importorskip("cryptography")
    key = bytes(range(32))
    for store in (EventStore(tmp_path / "python", key=key), JavaStore(tmp_path / "java", key=key)):
        store.append(_events(1))
        assert store.sealed
        store.close()
    python, java = _rows(tmp_path / "python"), _rows(tmp_path / "java")
    assert [mark for mark, _ in python] == [mark for mark, _ in java]
    assert [len(value) for _, value in python] == [len(value) for _, value in java]  # type: ignore[arg-type]


def test_one_goes_on_with_the_file_of_the_other(path: Path, tmp_path: Path, key: bytes | None) -> None:
    events, both = _events(7), (EventStore, JavaStore)
    for turn in range(6):
        store = both[turn % 2](path, key=key)
        assert store.append(events[: 50 * turn]) == (50 if turn else 0)
        other = both[(turn + 1) % 2](path, key=key)  # at the same time
        assert other.append(events[: 50 * turn]) == 0
        assert (other.identity, len(other)) == (store.identity, len(store))
        assert other.replay() == store.replay()
        store.close()
        other.close()
    python, java = EventStore(path, key=key), JavaStore(path, key=key)
    gone = events[3][0]
    assert java.forget([gone, events[11][:2]]) > 0
    assert python.forget([gone]) == 0
    assert python.identity == java.identity
    before = len(python)
    assert java.retain(events=100) == before - 100 == python.dropped
    assert python.dropped == java.dropped
    assert python.export(tmp_path / "python.csv") == java.export(tmp_path / "java.csv") == 100
    assert (tmp_path / "python.csv").read_bytes() == (tmp_path / "java.csv").read_bytes()


def test_repair_leaves_other_files_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("item,timestamp\na,1\n")
    with pytest.raises(StoreError, match="was left alone"):
        by_java.repair_store(path)
    assert path.read_text() == "item,timestamp\na,1\n"


def test_both_append_at_once(path: Path) -> None:
    """Two processes of Python and one of Java; what each was told is kept is there afterwards."""
    code = """
import sys
from pocketrec.device.store.database import EventStore
with EventStore(sys.argv[1]) as store:
    for number in range(60):
        store.append([(f"{sys.argv[2]} {number}", float(number))])
"""
    JavaStore(path).close()
    others = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in ("one", "two")]
    store = JavaStore(path)
    for number in range(60):
        store.append([(f"java {number}", float(number))])
    assert [other.wait(120) for other in others] == [0, 0]
    expected = {(f"{name} {number}", float(number)) for name in ("one", "two", "java") for number in range(60)}
    events = EventStore(path).replay().events
    assert sorted(zip(events.items, events.times, strict=True)) == sorted(expected)
    assert len(store) == 180
