# SPDX-License-Identifier: Apache-2.0
"""The event store: what it keeps, what it removes, and what it says when something is wrong."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pocketrec.device.base.errors import ConfigError, DataError, StorageError, StoreError
from pocketrec.device.store import connection, schema
from pocketrec.device.store.database import EventStore
from pocketrec.device.store.events import Events, read_events
from pocketrec.device.store.repair import repair_store
from pocketrec.device.store.wipe import wipe_store

KEY = bytes(range(32))


@pytest.fixture(params=[None, KEY], ids=["clear", "sealed"])
def key(request: pytest.FixtureRequest) -> bytes | None:
    if request.param is not None:
        pytest.importorskip("cryptography")
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "u1.events"


def held(store: EventStore) -> list[tuple[str, float | None]]:
    events = store.replay().events
    return list(zip(events.items, events.times, strict=True))


def on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


def test_events_come_back_in_the_order_in_which_they_came(path: Path, key: bytes | None) -> None:
    odd = ["plain", 'Ünïcode, "quoted"\n', "\udc80", " ", "x" * 5000]
    with EventStore(path, key=key) as store:
        assert store.append([(item, place / 3) for place, item in enumerate(odd)]) == 5
        assert store.append(["plain", ("early", -1e300)]) == 2
    with EventStore(path, key=key, create=False) as store:
        expected = [(item, place / 3) for place, item in enumerate(odd)] + [("plain", None), ("early", -1e300)]
        assert held(store) == expected
        replayed = store.replay()
        assert store.replay(after=replayed.ids[4]).events.items == ["plain", "early"]
        assert len(store) == 7


def test_equal_events_are_kept_as_often_as_they_are_known(path: Path, key: bytes | None) -> None:
    store = EventStore(path, key=key)
    assert store.append([("a", 1), ("a", 1), ("b", 1)]) == 3
    assert store.append([("a", 1), ("b", 1)]) == 0
    assert store.append([("a", 1)] * 3) == 1
    assert store.append(["a"]) + store.append(["a"]) == 2  # without a time an event is always new
    assert len(store) == 6
    with pytest.raises(DataError):
        store.append(["c", 3])  # type: ignore[list-item]
    assert len(store) == 6


def test_categories_are_kept_and_tell_no_events_apart(path: Path, key: bytes | None, tmp_path: Path) -> None:
    store = EventStore(path, key=key)
    assert store.append([("a", 1, "shoes"), ("b", 2), ("c", None, "hats")]) == 3
    assert store.append([("a", 1), ("b", 2, "late")]) == 0
    assert store.replay().events.categories == ["shoes", "", "hats"]
    store.export(tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == "item,timestamp,category\na,1,shoes\nb,2,\nc,2,hats\n"
    assert read_events(tmp_path / "x.csv").categories == ["shoes", "", "hats"]


def test_files_are_their_owners_alone(path: Path) -> None:
    store = EventStore(path)
    store.append(["a"])
    names = sorted(os.listdir(path.parent))
    assert names == ["u1.events", "u1.events-shm", "u1.events-wal"]
    if os.name != "nt":
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_append_is_flushed_to_the_disk(path: Path) -> None:
    store = EventStore(path)
    with store._database() as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)
        assert database.execute("PRAGMA secure_delete").fetchone() == (1,)


def test_retention_by_number_holds_from_then_on(path: Path, key: bytes | None) -> None:
    store = EventStore(path, key=key)
    store.append([(f"item {n}", n) for n in range(20)])
    before = store.identity
    assert store.retain(events=5) == 15
    assert [item for item, _ in held(store)] == [f"item {n}" for n in range(15, 20)]
    store.append([("new", 100), ("newer", 101)])
    assert [item for item, _ in held(store)] == ["item 17", "item 18", "item 19", "new", "newer"]
    assert EventStore(path, key=key).keep == 5
    assert store.dropped == 17
    assert store.identity == before  # what was learned from them stays good
    with pytest.raises(ValueError, match="at least one"):
        store.retain(events=0)


def test_retention_by_age_leaves_events_without_a_time(path: Path, key: bytes | None) -> None:
    store = EventStore(path, key=key)
    store.append([("old secret", 5), "timeless", ("new", 50)])
    assert store.retain(before=50) == 1
    assert held(store) == [("timeless", None), ("new", 50.0)]
    assert b"old secret" not in on_disk(path)


def test_forgotten_items_leave_no_byte_behind(path: Path) -> None:
    store = EventStore(path)
    store.append([(f"secret {n % 3}", n) for n in range(300)] + [("kept", 400)])
    before = store.identity
    assert b"secret" in on_disk(path)
    assert store.forget(["secret 0", "secret 1", "secret 2", "never seen"]) == 300
    assert b"secret" not in on_disk(path)
    assert held(store) == [("kept", 400.0)]
    assert store.identity != before
    after = store.identity
    assert store.forget(["never seen"]) == 0
    assert store.identity == after
    assert store.forget() == 1
    assert len(store) == 0


def test_a_sealed_store_shows_neither_items_nor_times_nor_repeats(path: Path) -> None:
    pytest.importorskip("cryptography")
    store = EventStore(path, key=KEY)
    store.append([("a secret item", 1234567890.5)] * 50)
    store.close()
    assert b"secret" not in on_disk(path)
    assert b"1234567890" not in on_disk(path)
    rows = sqlite3.connect(path).execute("SELECT mark, value FROM events").fetchall()
    assert len({mark for mark, _ in rows}) == len({value for _, value in rows}) == 50
    assert {len(value) % 32 for _, value in rows} == {28}


def test_keys_that_do_not_fit(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    EventStore(path, key=KEY).append(["a"])
    with pytest.raises(StoreError, match="is encrypted: give its key"):
        EventStore(path)
    with pytest.raises(StoreError, match="with another key"):
        EventStore(path, key=bytes(32))
    EventStore(tmp_path / "clear").append(["a"])
    with pytest.raises(StoreError, match="is not encrypted"):
        EventStore(tmp_path / "clear", key=KEY)
    with pytest.raises(ConfigError, match="16 bytes and not 32"):
        EventStore(path, key=bytes(16))


def test_without_the_extra_a_key_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ConfigError, match=r"pip install 'pocketrec\[secure\]'"):
        EventStore(path, key=KEY)
    assert not path.exists()


def test_export_is_read_again(path: Path, tmp_path: Path, key: bytes | None) -> None:
    store = EventStore(path, key=key)
    store.append([("late, with comma", 30), ("early", 10.5), "timeless"])
    out = tmp_path / "mine.csv"
    assert store.export(out) == 3
    assert out.read_text() == 'item,timestamp\nearly,10.5\n"late, with comma",30\ntimeless,30\n'
    if os.name != "nt":
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert read_events(out).items == ["early", "late, with comma", "timeless"]
    other = EventStore(tmp_path / "other", key=key)
    other.append(["b", "a"])
    other.export(out)
    assert read_events(out).items == ["b", "a"]


def test_wipe_leaves_nothing_and_a_process_that_was_recording_goes_on(path: Path, key: bytes | None) -> None:
    store = EventStore(path, key=key)
    store.append(["a", "b"])
    before = store.identity
    (path.parent / f".{path.name}.123-abc.tmp").write_bytes(b"left by a process that was killed")
    assert path in wipe_store(path)
    assert list(path.parent.iterdir()) == []
    assert wipe_store(path) == []
    store.append(["c"])
    assert held(EventStore(path, key=key)) == [("c", None)]
    assert store.identity != before


def test_other_files_are_neither_opened_nor_wiped(path: Path) -> None:
    path.parent.mkdir()
    for content in (b"a text of mine", b"", b"SQLite format 3\0" + bytes(200)):
        path.write_bytes(content)
        with pytest.raises(StoreError):
            EventStore(path)
        assert path.read_bytes() == content
    path.write_bytes(b"a text of mine")
    with pytest.raises(StoreError, match="is not an event store and was not deleted"):
        wipe_store(path)
    path.unlink()
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE mine (x)")
    foreign.close()
    with pytest.raises(StoreError, match="is not an event store"):
        EventStore(path)
    with pytest.raises(StoreError, match="is not an event store"):
        wipe_store(path)


def test_missing_stores_and_orphaned_logs(path: Path) -> None:
    with pytest.raises(StoreError, match="pocketrec record"):
        EventStore(path, create=False)
    path.parent.mkdir()
    Path(f"{path}-wal").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"its log .* is there"):
        EventStore(path)


def test_a_flipped_byte_in_an_event_is_noticed_and_repair_saves_the_others(path: Path, key: bytes | None) -> None:
    with EventStore(path, key=key) as store:
        store.append([(f"item {n}", n) for n in range(200)])
    database = sqlite3.connect(path)
    value = database.execute("SELECT value FROM events WHERE id = 77").fetchone()[0]
    wrong = value.replace("76", "67") if isinstance(value, str) else bytes([value[0] ^ 1]) + value[1:]
    database.execute("UPDATE events SET value = ? WHERE id = 77", (wrong,))
    database.commit()
    database.close()
    with pytest.raises(StoreError, match=r"is damaged .*: run `pocketrec store repair`"):
        EventStore(path, key=key).replay()
    repaired = repair_store(path, key)
    assert (repaired.saved, repaired.lost) == (199, 1)
    assert repaired.kept.exists()
    with EventStore(path, key=key) as store:
        assert [item for item, _ in held(store)] == [f"item {n}" for n in range(200) if n != 76]
        assert store.append([("item 5", 5)]) == 0
    with pytest.raises(StoreError, match="already exists"):
        repair_store(path, key)
    assert repaired.kept in wipe_store(path)


def test_a_category_has_a_checksum_too(path: Path) -> None:
    with EventStore(path) as store:
        store.append(Events(["a", "b"], [1.0, 2.0], categories=["shoes", "hats"]))
    database = sqlite3.connect(path)
    database.execute("UPDATE events SET value = replace(value, 'shoes', 'boots')")
    database.commit()
    database.close()
    with pytest.raises(StoreError, match="is damaged"):
        EventStore(path).replay()
    assert repair_store(path).saved == 1
    assert EventStore(path).replay().events.categories == ["hats"]


def test_repair_leaves_other_files_alone(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("item,timestamp\na,1\n")
    with pytest.raises(StoreError, match="was left alone"):
        repair_store(path)
    assert path.read_text() == "item,timestamp\na,1\n"
    assert repair_store(path, ours=True).saved == 0


@pytest.mark.parametrize("seed", range(4))
def test_torn_pages_are_an_error_and_repair_goes_around_them(path: Path, seed: int) -> None:
    with EventStore(path) as store:
        store.append([(f"item {n}", n) for n in range(3000)])
    content = bytearray(path.read_bytes())
    pages = len(content) // 4096
    page = 3 + (seed * 7919) % (pages - 3)  # the first pages hold the schema
    content[page * 4096 : page * 4096 + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    # Closed before the repair, which refuses a file that this process has open, whenever garbage is collected.
    with contextlib.closing(EventStore(path)) as store, pytest.raises(StoreError, match="is damaged"):
        store.append([(f"more {n}", n) for n in range(3000)]) and store.replay()
    repaired = repair_store(path)
    assert 2000 < repaired.saved <= 6000
    with EventStore(path) as store:
        assert len(store.replay().ids) == repaired.saved
        assert store.append([("after", 1e6)]) == 1


def test_cut_files_are_never_taken_for_whole(path: Path) -> None:
    with EventStore(path) as store:
        store.append([(f"item {n}", n) for n in range(500)])
    content = path.read_bytes()
    for length in (0, 10, 50, 100, 5000, len(content) // 2, len(content) - 4096):
        path.write_bytes(content[:length])
        with pytest.raises(StoreError):
            EventStore(path).replay()


def test_a_store_of_a_newer_version_is_left_alone_and_an_older_one_is_brought_up_to_date(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EventStore(path) as store:
        store.append([("a", 1)])
    more = (*schema.MIGRATIONS, ("ALTER TABLE events ADD COLUMN note TEXT", "CREATE TABLE added (x)"))
    with monkeypatch.context() as newer:
        newer.setattr(schema, "MIGRATIONS", more)
        with EventStore(path) as store, store._database() as database:
            assert database.execute("PRAGMA user_version").fetchone() == (2,)
            assert database.execute("SELECT note FROM events").fetchone() == (None,)
            assert held(store) == [("a", 1.0)]
    with pytest.raises(StoreError, match="is of version 2 and this version of pocketrec reads 1: update"):
        EventStore(path)


APPEND = """
import sys
from pocketrec.device.store.database import EventStore
store = EventStore(sys.argv[1])
for n in range(100):
    store.append([(f"{sys.argv[2]} {n}", n)])
"""


def test_several_processes_and_threads_append_and_read_at_once(path: Path) -> None:
    words = [sys.executable, "-c", APPEND, str(path)]
    processes = [subprocess.Popen([*words, name]) for name in ("one", "two")]
    store = EventStore(path)
    threads = [threading.Thread(target=lambda n=n: store.append([(f"thread {n}", n)])) for n in range(10)]
    for thread in threads:
        thread.start()
    seen = 0
    while any(process.poll() is None for process in processes):
        count = len(store.replay().ids)
        assert count >= seen
        seen = count
    for thread in threads:
        thread.join()
    assert [process.returncode for process in processes] == [0, 0]
    items = store.replay().events.items
    assert len(items) == 210
    assert [item for item in items if item.startswith("one")] == [f"one {n}" for n in range(100)]


def test_a_store_that_is_locked_for_too_long_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    EventStore(path).append(["a"])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(connection, "_WAIT", 0.1)
    with pytest.raises(StoreError, match="is in use by another process"):
        EventStore(path).append(["b"])
    other.execute("ROLLBACK")
    other.close()
    assert EventStore(path).append(["b"]) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_a_disk_that_takes_no_more_stores_nothing_and_says_so(path: Path) -> None:
    code = (
        "import resource, signal, sys\n"
        "from pocketrec.device.base.errors import StorageError\n"
        "from pocketrec.device.store.database import EventStore\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "store = EventStore(sys.argv[1])\n"
        "store.append(['a'])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "try:\n"
        "    store.append([(f'item {n}' * 10, n) for n in range(5000)])\n"
        "except StorageError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout
    assert held(EventStore(path)) == [("a", None)]


def test_folders_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        EventStore(tmp_path / "file" / "u1.events")
