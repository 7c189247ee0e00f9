# SPDX-License-Identifier: Apache-2.0
"""One event store and several connections, processes and forks: what has returned stays.

The names of these tests stand in the table of docs/device.md, "Threads, processes, containers".
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pocketrec.device.base.errors import StoreError
from pocketrec.device.store.database import EventStore
from pocketrec.device.store.repair import repair_store
from pocketrec.device.store.wipe import wipe_store

ANOTHER = """
import sys
from pocketrec.device.store.database import EventStore
with EventStore(sys.argv[1]) as store:
    store.append([(sys.argv[2], 1)])
"""

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "u1.events"


def another(path: Path, item: str) -> None:
    """Another process opens the store, appends and closes it, as a timer does."""
    subprocess.run([sys.executable, "-c", ANOTHER, str(path), item], check=True)


def seen(path: Path) -> list[str]:
    """What another process finds."""
    code = ("import sys, json\nfrom pocketrec.device.store.database import EventStore\n"
            "print(json.dumps(EventStore(sys.argv[1], create=False).replay().events.items))\n")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    items: list[str] = json.loads(done.stdout)
    return items


def in_a_child(work: object) -> int:
    """Run `work` in a forked child; its exit status."""
    child = os.fork()
    if child == 0:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:
            print(f"child: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_second_store_of_the_same_file_in_one_process(path: Path) -> None:
    store = EventStore(path)
    store.append([("first", 1)])
    with EventStore(path) as second:
        second.append([("second", 1)])
    another(path, "timer")
    store.append([("last", 1)])
    assert seen(path) == ["first", "second", "timer", "last"]


def test_the_file_is_opened_by_sqlite_alone(path: Path, tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, args: event == "open" and str(args[0]).startswith(sys.argv[1]) and opened.append(args))
from pocketrec.device.base.errors import StoreError
from pocketrec.device.store.database import EventStore
from pocketrec.device.store.repair import repair_store
from pocketrec.device.store.wipe import wipe_store
store = EventStore(sys.argv[1])
store.append(["a"])
EventStore(sys.argv[1]).export(sys.argv[2])
try:
    repair_store(sys.argv[1])
except StoreError as error:
    assert "is open in this process" in str(error)
store.forget(["a"])
wipe_store(sys.argv[1])
store.append(["b"])
assert not opened, opened
"""
    subprocess.run([sys.executable, "-c", code, str(path), str(tmp_path / "out.csv")], check=True)


@forks
def test_a_forked_child_appends_after_its_parent_has_closed(path: Path) -> None:
    store = EventStore(path)
    store.append([("before", 1)])
    reading, writing = os.pipe()
    told, telling = os.pipe()

    def work() -> None:
        store.append([("child", 1)])
        os.write(telling, b"x")
        os.read(reading, 1)  # the parent has closed, and another process was last to close
        store.append([("child after it", 1)])

    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.read(told, 1)
    store.append([("parent", 1)])
    store.close()
    another(path, "timer")
    os.write(writing, b"x")
    os.waitpid(child, 0)
    assert seen(path) == ["before", "child", "parent", "timer", "child after it"]


@forks
def test_fork_while_threads_append(path: Path) -> None:
    store, over = EventStore(path), threading.Event()
    returned: list[int] = []

    def append() -> None:
        number = 0
        while not over.is_set():
            store.append([(f"{threading.get_ident()}", float(number))])
            returned.append(number)
            number += 1

    threads = [threading.Thread(target=append) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(5):
        assert in_a_child(lambda number=number: store.append([(f"child {number}", 1)])) == 0
    over.set()
    for thread in threads:
        thread.join()
    assert len(store) == len(returned) + 5
    assert len(seen(path)) == len(returned) + 5


@forks
def test_multiprocessing_workers_use_the_store_of_their_parent(path: Path) -> None:
    code = """
import multiprocessing, sys
from pocketrec.device.store.database import EventStore
store = EventStore(sys.argv[1])
def work(number):
    return store.append([(f"worker {number}", 1)])
if __name__ == "__main__":
    store.append(["parent"])
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert sum(pool.map(work, range(30))) == 30
    store.append(["parent"])
    assert len(store) == 32
"""
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert len(seen(path)) == 32


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fork of the C library is called by name")
def test_a_fork_that_python_is_not_told_of_is_refused(path: Path) -> None:
    code = """
import ctypes, os, sys
from pocketrec.device.base.errors import StoreError
from pocketrec.device.store.database import EventStore
store = EventStore(sys.argv[1])
store.append(["a"])
child = ctypes.PyDLL(None).fork()
if child == 0:
    try:
        store.append(["lost"])
    except StoreError as error:
        os._exit(7 if "was forked by a library" in str(error) else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
store.append(["b"])
"""
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert seen(path) == ["a", "b"]


def test_an_append_that_waited_for_a_wipe_goes_into_the_new_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EventStore(path)
    store.append(["old"])
    current = store._current

    def wiped_meanwhile() -> object:
        connection = current()  # the file is looked at, and only then the other process wipes it
        monkeypatch.setattr(store, "_current", current)
        code = "import sys; from pocketrec.device.store.wipe import wipe_store; wipe_store(sys.argv[1])"
        subprocess.run([sys.executable, "-c", code, str(path)], check=True)
        return connection

    monkeypatch.setattr(store, "_current", wiped_meanwhile)
    store.append(["new"])
    assert seen(path) == ["new"]


def test_an_append_waits_for_a_wipe_at_work(path: Path) -> None:
    code = """
import sys
from pocketrec.device.store import wipe
def sweep(*args, **options):
    print("about to delete", flush=True)
    sys.stdin.readline()
wipe.sweep = sweep
wipe.wipe_store(sys.argv[1])
"""
    store = EventStore(path)
    store.append(["old"])
    wiping = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert wiping.stdin is not None
    assert wiping.stdout is not None
    assert wiping.stdout.readline() == b"about to delete\n"
    appending = threading.Thread(target=store.append, args=(["new"],))
    appending.start()
    appending.join(0.3)
    wiping.communicate(b"go on\n")
    appending.join()
    assert seen(path) == ["new"]


def test_repair_refuses_a_store_that_is_open(path: Path) -> None:
    store = EventStore(path)
    store.append(["a"])
    with pytest.raises(StoreError, match="is open in this process: close it first"):
        repair_store(path)
    store.close()
    code = """
import sys
from pocketrec.device.store.database import EventStore
store = EventStore(sys.argv[1])
store.append(["b"])
print("open", flush=True)
sys.stdin.read()
"""
    other = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == b"open\n"
    with pytest.raises(StoreError, match="is open in another process: end it first"):
        repair_store(path)
    other.communicate()
    assert repair_store(path).saved == 2
    assert seen(path) == ["a", "b"]


def test_wipe_while_another_process_appends(path: Path) -> None:
    code = """
import select, sys
from pocketrec.device.store.database import EventStore
store = EventStore(sys.argv[1])
count, end = 0, None
while count != end:
    store.append([(f"item {count}", count)])
    count += 1
    if count == 20:
        print("at work", flush=True)
    if end is None and select.select([sys.stdin], [], [], 0)[0]:  # the wipe is over
        end = count + 20
print(count)
"""
    other = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == b"at work\n"
    wipe_store(path)
    other.stdin.close()
    count = int(other.stdout.read())
    assert other.wait() == 0
    items = seen(path)
    assert len(items) >= 20
    assert items == [f"item {n}" for n in range(count - len(items), count)]  # appended after the wipe, in order
