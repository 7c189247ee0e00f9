# SPDX-License-Identifier: Apache-2.0
"""State files under several savers: threads, processes, containers, and file systems without links."""

from __future__ import annotations

import dataclasses
import errno
import multiprocessing
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from loyal import loyal

from pocketrec.device import Recommender
from pocketrec.device.base import files
from pocketrec.device.base.errors import StateError, StorageError
from pocketrec.device.base.locks import locked
from pocketrec.device.contract.recipe import GuardRecipe
from pocketrec.device.delivery import install
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.state.file import load_state

LONG = 120.0


def events(count: int, start: float = 1000) -> list[tuple[str, float | None]]:
    return [(f"item {row}", start + place) for place, row in enumerate(loyal(count))]


@pytest.fixture
def unguarded(bundle: Bundle) -> Bundle:
    bundle.recipe = dataclasses.replace(bundle.recipe, guard=GuardRecipe(enabled=False))
    return bundle


def test_two_savers_keep_each_others_events(bundle: Bundle, tmp_path: Path) -> None:
    first, second = (Recommender(bundle, user="u1", state=tmp_path / "s") for _ in range(2))
    first.add([("item 1", 1000), ("item 2", 1001), "item 7"])
    second.add([("item 1", 1000), ("item 3", 1002), "item 7"])
    first.save()
    second.save()
    assert sorted(second.history) == ["item 1", "item 2", "item 3", "item 7", "item 7"]  # both without a time count
    first.save()
    assert sorted(first.history) == sorted(second.history)
    assert sorted(Recommender(bundle, user="u1", state=tmp_path / "s").history) == sorted(second.history)
    assert load_state(tmp_path / "s").generation == 3


def test_who_only_adds_keeps_what_the_other_has_trained(unguarded: Bundle, tmp_path: Path) -> None:
    Recommender(unguarded, user="u1", state=tmp_path / "s").save()
    adds, trains = (Recommender(unguarded, user="u1", state=tmp_path / "s") for _ in range(2))
    trains.personalise(events(40))
    trains.save()
    adds.add(events(5, 1100))
    adds.save()
    kept = load_state(tmp_path / "s")
    assert (len(kept.rows), kept.trained, kept.report["choice"]) == (45, 40, "personal")
    np.testing.assert_array_equal(adds.embed(), Recommender(unguarded, user="u1", state=tmp_path / "s").embed())
    trains.add([("item 9", 1200)])  # it trained before the other saved: its own weights are newer nowhere
    trains.personalise()
    trains.save()
    kept = load_state(tmp_path / "s")
    assert (len(kept.rows), kept.trained) == (46, 46)


@pytest.mark.parametrize("with_store", [True, False])
def test_what_one_forgets_does_not_come_back_with_the_other(
    unguarded: Bundle, tmp_path: Path, with_store: bool
) -> None:
    options = {"user": "u1", "state": tmp_path / "s", "store": tmp_path / "e" if with_store else None}
    first = Recommender(unguarded, **options)  # type: ignore[arg-type]
    first.personalise(events(40))
    first.save()
    second = Recommender(unguarded, **options)  # type: ignore[arg-type]
    second.add([("item 9", 1100)])
    second.save()
    second.add([("item 11", 1101)])
    second.personalise()
    item = first.history[0]
    assert first.forget([item])
    assert ("item 9" in first.history, item in first.history) == (True, False)
    second.save()
    third = Recommender(unguarded, **options)  # type: ignore[arg-type]
    assert item not in third.history
    assert {"item 9", "item 11"} <= set(third.history)
    assert load_state(tmp_path / "s").weights == {}


def test_a_history_that_is_begun_anew_keeps_the_events_of_others(bundle: Bundle, tmp_path: Path) -> None:
    first = Recommender(bundle, user="u1", state=tmp_path / "s")
    first.add(events(20))
    first.save()
    second = Recommender(bundle, user="u1", state=tmp_path / "s")
    second.add([("item 9", 1100)])
    second.save()
    first.clear_history()
    first.add([("item 4", 1050)])
    first.save()
    assert first.history == ["item 4", "item 9"]


def test_a_state_of_another_model_in_its_place_gives_its_events(unguarded: Bundle, tmp_path: Path) -> None:
    old = Recommender(unguarded, user="u1", state=tmp_path / "s")
    old.personalise(events(20))
    old.save()
    trained = old.embed()
    later = open_bundle(unguarded.folder)
    later.manifest = dataclasses.replace(later.manifest, model_id="0" * 64)
    new = Recommender(later, user="u1", state=tmp_path / "s")
    new.add([("item 9", 900)])
    new.save()
    old.add([("item 4", 901)])
    old.save()
    assert old.history[:2] == ["item 9", "item 4"]
    np.testing.assert_array_equal(old.embed(), trained)  # its own weights stay, those of another model are of no use


def test_a_state_that_became_another_users_is_not_overwritten(bundle: Bundle, tmp_path: Path) -> None:
    mine = Recommender(bundle, user="u1", state=tmp_path / "s")
    mine.add(events(3))
    mine.save()
    os.replace(tmp_path / "s", tmp_path / "other")
    theirs = Recommender(bundle, user="u2", state=tmp_path / "s")
    theirs.add(events(2))
    theirs.save()
    with pytest.raises(StateError, match="has become the state of user u2"):
        mine.save()
    assert load_state(tmp_path / "s").user == "u2"


def _save_many(folder: Path, path: Path, number: int, times: int) -> None:
    os.getpid = lambda: 1  # as in containers
    bundle = open_bundle(folder)
    for place in range(times):
        recommender = Recommender(bundle, user="u1", state=path)
        recommender.add([(f"item {1 + place}", 1000 + 10 * place + number)])
        recommender.save()
        assert load_state(path).user == "u1"


def test_threads_of_one_process_save_to_one_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)
    failures: list[BaseException] = []

    def save(number: int) -> None:
        try:
            _save_many(folder, tmp_path / "s", number, 12)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert failures == []
    assert len(load_state(tmp_path / "s").rows) == 48
    assert sorted(os.listdir(tmp_path)) == ["bundle", "s", "s.previous"]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_containers_save_to_one_file(folder: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_save_many, args=(folder, tmp_path / "s", n, 12)) for n in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(LONG)
    assert [child.exitcode for child in children] == [0] * 4
    assert len(load_state(tmp_path / "s").rows) == 48


def test_a_lock_is_for_threads_too_and_may_be_asked_for_twice(tmp_path: Path) -> None:
    inside, most = 0, 0

    def count() -> None:
        nonlocal inside, most
        for _ in range(50):
            with locked(tmp_path / "a"), locked(tmp_path / "a"):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert most == 1
    assert os.listdir(tmp_path) == []


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StorageError, match=r"cannot lock .*No locks available.*: its file system has no locks"), \
            locked(tmp_path / "a"):  # fmt: skip
        pass
    with locked(tmp_path / "a", needed=False):
        pass


def test_a_temporary_file_is_never_somebody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_atomic(tmp_path / "a", b"old")
    monkeypatch.setattr(os, "urandom", lambda count: b"\1" * count)
    other = tmp_path / f".a.{'01' * 8}.tmp"
    other.write_bytes(b"another writer's")
    with pytest.raises(StorageError, match="File exists"):
        files.write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert other.read_bytes() == b"another writer's"


def test_the_state_never_leaves_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, previous = tmp_path / "a", tmp_path / "a.previous"
    files.write_atomic(path, b"one")
    replace = os.replace

    def watched(source: object, target: object) -> None:
        assert Path(str(source)) != path
        assert path.exists()
        replace(str(source), str(target))

    def refuse(number: int) -> object:
        def link(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        return link

    monkeypatch.setattr(os, "replace", watched)
    for number, content in ((errno.EPERM, b"two"), (errno.EOPNOTSUPP, b"three")):
        before = path.read_bytes()
        monkeypatch.setattr(os, "link", refuse(number))
        files.write_atomic(path, content, previous=previous)
        assert (path.read_bytes(), previous.read_bytes()) == (content, before)
    monkeypatch.setattr(os, "link", refuse(errno.EIO))
    with pytest.raises(StorageError, match="Input/output error"):
        files.write_atomic(path, b"four", previous=previous)
    assert (path.read_bytes(), previous.read_bytes()) == (b"three", b"two")
    assert sorted(os.listdir(tmp_path)) == ["a", "a.previous"]


def _open_packed(folder: Path) -> None:
    assert Recommender(open_bundle(folder), user="u1").recommend(1)


@pytest.mark.parametrize("kind", ["packed", "lean", "zip"])
@pytest.mark.parametrize("forked", [True, False])
def test_a_packed_bundle_is_opened_by_several_at_once(
    made: Path, tmp_path: Path, kind: str, forked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = made.with_name(f"{made.name}.{kind}"), tmp_path / ("bundle.zip" if kind == "zip" else kind)
    if kind == "zip":
        shutil.copy(source, target)
    else:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*", "model*.tflite"))
    if forked:
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=_open_packed, args=(target,)) for _ in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join(LONG)
        assert [child.exitcode for child in children] == [0] * 4
        return
    failures: list[BaseException] = []
    start, unpacking, seen, fills = threading.Barrier(4), threading.Barrier(4), threading.local(), []
    copy, fill = shutil.copyfileobj, install.fill

    def copied(*files: object) -> None:
        if not hasattr(seen, "once"):  # nobody has unpacked the .zip before all have begun to
            seen.once = True
            unpacking.wait(LONG)
        copy(*files)  # type: ignore[arg-type]

    def filled(*parts: object, **options: object) -> bytes:
        fills.append(1)
        return fill(*parts, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(shutil, "copyfileobj", copied)
    monkeypatch.setattr(install, "fill", filled)

    def opened() -> None:
        try:
            start.wait(LONG)
            _open_packed(target)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=opened) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert failures == []
    assert len(fills) == {"packed": 1, "lean": 2, "zip": 0}[kind]  # one makes the file, the others wait for it


def test_two_threads_unpack_a_zip_into_folders_of_their_own(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Path(shutil.copy(made.with_name(f"{made.name}.zip"), tmp_path / "bundle.zip"))
    copy, calls, last = shutil.copyfileobj, threading.local(), len(open_bundle(made).manifest.files)
    late_is_writing, first_is_done = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def copied(*files: object) -> None:
        calls.made = getattr(calls, "made", 0) + 1
        if calls.made == last and threading.current_thread().name == "late":  # its last file is open, and empty
            late_is_writing.set()
            assert first_is_done.wait(LONG)
        copy(*files)  # type: ignore[arg-type]
        if calls.made == last and threading.current_thread().name == "first":
            assert late_is_writing.wait(LONG)

    def opened() -> None:
        try:
            open_bundle(archive)
        except BaseException as error:
            failures.append(error)
        if threading.current_thread().name == "first":
            first_is_done.set()

    monkeypatch.setattr(shutil, "copyfileobj", copied)
    threads = [threading.Thread(target=opened, name=name) for name in ("first", "late")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert failures == []
