# SPDX-License-Identifier: Apache-2.0
"""A recommender under threads, asyncio and several processes: what docs/device.md calls safe, row by row."""

from __future__ import annotations

import asyncio
import dataclasses
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from loyal import loyal

from pocketrec.device import Recommender
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract.recipe import GuardRecipe
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.engine.runtime import find_runtimes

LONG = 120.0  # seconds until a test that hangs fails
RUNTIMES = [runtime.name for runtime in find_runtimes() if not runtime.problem]


def events(count: int, start: float = 1000) -> list[tuple[str, float | None]]:
    return [(f"item {row}", start + place) for place, row in enumerate(loyal(count))]


def equal(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


@pytest.fixture
def unguarded(bundle: Bundle) -> Bundle:
    bundle.recipe = dataclasses.replace(bundle.recipe, guard=GuardRecipe(enabled=False))
    return bundle


def during_a_training(recommender: Recommender, work: Callable[[], None], **options: object) -> object:
    """Call `work` in this thread between two steps of a training in another; gives the training's report."""
    reached, go_on, reports = threading.Event(), threading.Event(), []

    def progress(done: int, total: int, note: str = "") -> None:
        if done == 2:
            reached.set()
            assert go_on.wait(LONG)

    thread = threading.Thread(
        target=lambda: reports.append(recommender.personalise(progress=progress, **options))  # type: ignore[arg-type]
    )
    thread.start()
    try:
        assert reached.wait(LONG)
        work()
    finally:
        go_on.set()
        thread.join(LONG)
    return reports[0]


@pytest.mark.parametrize("with_store", [True, False])
def test_what_is_added_during_a_training_is_in_the_history(unguarded: Bundle, tmp_path: Path, with_store: bool) -> None:
    store = tmp_path / "e" if with_store else None
    recommender = Recommender(unguarded, user="u1", state=tmp_path / "s", store=store)
    recommender.add(events(40))

    def add() -> None:
        recommender.add([*events(5, 1100), ("item 9", 1020.5)])
        recommender.save()

    report = during_a_training(recommender, add)
    assert (len(recommender), report.history) == (46, 40)  # type: ignore[attr-defined]
    assert recommender.state.trained == 41  # the late one stands among those that were seen
    recommender.save()
    alone = Recommender(unguarded, user="u1")
    alone.personalise(events(40))
    again = Recommender(unguarded, user="u1", state=tmp_path / "s", store=store)
    assert (len(again), again.state.trained, again.history) == (46, 41, recommender.history)
    for one in (recommender, again):
        assert equal(one.model.export_weights(), alone.model.export_weights())
    assert again.personalise(resume=True).events == 5


def test_a_question_during_a_training_is_answered_with_the_weights_in_use(unguarded: Bundle) -> None:
    recommender = Recommender(unguarded, user="u1")
    recommender.personalise(events(40), passes=2)  # other weights than after two steps, where the other one waits
    before, embedding, answers = recommender.recommend(60), recommender.embed(), []

    def ask() -> None:
        answers.append((recommender.recommend(60), recommender.embed()))

    during_a_training(recommender, ask, passes=3)
    assert answers[0][0] == before
    assert np.array_equal(answers[0][1], embedding)
    assert recommender.recommend(60) != before


def test_threads_that_add_lose_nothing(unguarded: Bundle, tmp_path: Path) -> None:
    for store in (None, tmp_path / "e"):
        recommender = Recommender(unguarded, user="u1", store=store)
        start = threading.Barrier(4)

        def add(number: int, recommender: Recommender = recommender, start: threading.Barrier = start) -> None:
            start.wait(LONG)
            for place in range(60):
                recommender.add([(f"item {1 + place % 30}", 1000 + 4 * place + number)])

        switch = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LONG)
        finally:
            sys.setswitchinterval(switch)
        assert len(recommender) == 240


@pytest.mark.parametrize("with_store", [True, False])
def test_what_is_forgotten_during_a_training_is_in_no_weights(
    unguarded: Bundle, tmp_path: Path, with_store: bool
) -> None:
    store = tmp_path / "e" if with_store else None
    recommender = Recommender(unguarded, user="u1", state=tmp_path / "s", store=store)
    untouched = recommender.model.export_weights()
    recommender.personalise(events(40))
    assert not equal(recommender.model.export_weights(), untouched)
    item = recommender.history[0]

    def forget() -> None:
        assert recommender.forget([item]) > 0

    report = during_a_training(recommender, forget)
    assert "forgotten" in report.reason  # type: ignore[attr-defined]
    assert equal(recommender.model.export_weights(), untouched)
    assert item not in recommender.history
    assert recommender.personalise().losses


def test_one_training_at_a_time(unguarded: Bundle) -> None:
    recommender = Recommender(unguarded, user="u1")
    recommender.add(events(40))
    reports = []
    second = threading.Thread(target=lambda: reports.append(recommender.personalise()))

    def begin() -> None:
        second.start()
        second.join(1.0)  # it would have ended, or failed, if it did not wait
        assert second.is_alive()

    first = during_a_training(recommender, begin)
    second.join(LONG)
    assert reports == [first]
    alone = Recommender(unguarded, user="u1")
    alone.personalise(events(40))
    assert equal(recommender.model.export_weights(), alone.model.export_weights())

    def again(done: int, total: int, note: str = "") -> None:
        recommender.personalise()

    with pytest.raises(ConfigError, match="from within the progress function"):
        recommender.personalise(progress=again)
    assert equal(recommender.model.export_weights(), alone.model.export_weights())


def test_asyncio_goes_on_while_a_thread_trains(unguarded: Bundle) -> None:
    recommender = Recommender(unguarded, user="u1")
    recommender.add(events(40))
    before = recommender.recommend(60)

    async def serve() -> int:
        training = asyncio.create_task(asyncio.to_thread(recommender.personalise, passes=40))
        answered = 0
        while not training.done():
            answer = recommender.recommend(60)
            answered += answer == before
            recommender.add([("item 3", 2000 + answered)])
            before[:] = recommender.recommend(60) if not training.done() else before
            await asyncio.sleep(0)
        await training
        return answered

    answered = asyncio.run(serve())
    assert answered > 0
    assert len(recommender) >= 40 + answered


def _child(folder: Path, place: Path, number: int) -> None:
    with Recommender(folder, user="u1", state=place / "s", store=place / "e") as recommender:
        recommender.add([(f"item {1 + number}", 3000 + number)])
        recommender.personalise(passes=1)
        recommender.save()


@pytest.mark.parametrize("method", sorted({"fork", "spawn"} & set(multiprocessing.get_all_start_methods())))
def test_processes_that_open_their_own_lose_nothing(folder: Path, tmp_path: Path, method: str) -> None:
    place = tmp_path / "place"
    with Recommender(folder, user="u1", store=place / "e") as first:
        first.add(events(20))
    context = multiprocessing.get_context(method)
    children = [context.Process(target=_child, args=(folder, place, number)) for number in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(LONG)
    assert [child.exitcode for child in children] == [0, 0, 0]
    again = Recommender(folder, user="u1", state=place / "s", store=place / "e")
    assert len(again) == 23
    assert again.state.generation >= 3  # each has written, and none has dropped what another wrote
    again.recommend()


def test_a_recommender_cannot_be_sent_to_another_process(bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="open one there"):
        pickle.dumps(Recommender(bundle))


FORK = """
import os, sys, threading
from pocketrec.device import Recommender
recommender = Recommender(sys.argv[1], user="u1", runtime=sys.argv[2], threads=2)
recommender.add([(f"item {1 + n % 7}", 1000 + n) for n in range(40)])
recommender.personalise(passes=1)
before = recommender.recommend(60)
child = 0
def progress(done, total, note=""):
    global child
    if done == 2:
        forked.set()
        waited.wait(60)
forked, waited = threading.Event(), threading.Event()
thread = threading.Thread(target=lambda: recommender.personalise(passes=2, progress=progress))
thread.start()
forked.wait(60)
child = os.fork()
if child == 0:
    ok = recommender.recommend(60) == before
    recommender.personalise(passes=1)
    os._exit(0 if ok and recommender.recommend(60) == before else 1)
waited.set()
thread.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_forked_child_opens_the_model_anew(folder: Path, runtime: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(folder), runtime], capture_output=True, text=True, timeout=LONG, check=False
    )
    assert done.returncode == 0, done.stderr


CLOSED = """
import os, resource, sys
from pathlib import Path
from pocketrec.device import Recommender
from pocketrec.device.delivery.bundle import open_bundle
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
bundle, kept = open_bundle(sys.argv[1]), []
for number in range(100):
    with Recommender(bundle, user=f"u{number}", store=Path(sys.argv[2]) / f"{number}.events") as recommender:
        recommender.add([("item 3", 1000)])
        recommender.recommend(1)
    kept.append(recommender)
assert [len(recommender) for recommender in kept] == [1] * 100
before = len(os.listdir("/proc/self/fd"))
kept[0].add([("item 4", 1001)])  # opens again
assert len(kept[0]) == 2
kept[0].close()
assert len(os.listdir("/proc/self/fd")) == before
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts descriptors in /proc")
def test_close_gives_the_descriptors_back(folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLOSED, str(folder), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_store_that_the_application_opened_stays_open(bundle: Bundle, tmp_path: Path) -> None:
    from pocketrec.device.store.database import EventStore

    with EventStore(tmp_path / "e") as store:
        with Recommender(bundle, user="u1", store=store) as recommender:
            recommender.add(events(3))
        assert store._connection is not None
        assert len(store) == 3


def test_close_ends_a_training_of_another_thread(unguarded: Bundle, folder: Path) -> None:
    recommender = Recommender(unguarded, user="u1")
    recommender.add(events(40))
    report = during_a_training(recommender, recommender.close)
    assert (report.reason, report.paused) == ("the recommender was closed", 2)  # type: ignore[attr-defined]
    done = recommender.personalise()  # continues where it stopped
    alone = Recommender(open_bundle(folder), user="u1")
    alone.bundle.recipe = unguarded.recipe
    assert done == alone.personalise(events(40))
