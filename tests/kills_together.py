# SPDX-License-Identifier: Apache-2.0
"""kill -9 of several processes and threads that share one user's store and state; run by ``tests/kills.py``.

Each event has a number of its own, which is its time; a number is told through a pipe when its event has been taken.
After each kill: every number that was told is in the store, each once and in order, and a new process opens store and
state and recommends.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import random
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pocketrec.device import Recommender
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.personal.guard import finite
from pocketrec.device.store.database import EventStore

Tell = Callable[[int], None]

START = 2000  # first time; the cut-off of the bundle's log is before it
SERIES = 10_000  # events of one thread or process in one round have numbers from a multiple of this
ROUND = 100 * SERIES
BUSY, DONE, FAILED = -1, -2, -3  # told before and after what a kill should come into, and where an error is found

_NEW_PID_NAMESPACE = 0x20000000  # CLONE_NEWPID


def together(folder: Path, bundle: Path, rounds: int, rng: random.Random) -> int:
    """An application adds in a thread and recommends with a second recommender, while a forked timer personalises."""
    shared = _Shared(folder, bundle)

    def application(tell: Tell, base: int) -> None:
        adding = shared.recommender()

        def add() -> None:
            for number in range(base, base + SERIES):
                adding.add([_event(number)])
                tell(number)

        _thread(add, tell)
        while True:
            timer = _forked(lambda: _personalise(shared.recommender(), tell), tell)
            asking = shared.recommender()  # opens the store beside the one that adds, while the timer has it open
            while os.waitpid(timer, os.WNOHANG)[0] == 0:
                assert len(asking.recommend(5)) == 5
                time.sleep(0.002)

    return shared.killed(rounds, rng, [application])


def forked(folder: Path, bundle: Path, rounds: int, rng: random.Random) -> int:
    """A process forks while it and a thread of it append; parent, child and thread continue with the same objects."""
    shared = _Shared(folder, bundle)

    def application(tell: Tell, base: int) -> None:
        recommender, store = shared.recommender(), EventStore(shared.store)

        def append() -> None:
            for number in range(base, base + SERIES):
                store.append([_event(number)])
                tell(number)

        def child(first: int) -> None:
            tell(BUSY)
            for number in range(first, first + 8):
                (recommender.add if number % 2 else store.append)([_event(number)])
                tell(number)
            _personalise(recommender, tell)
            tell(DONE)

        _thread(append, tell)
        for fork in range(1, 50):
            base += SERIES
            process = _forked(lambda first=base + SERIES: child(first), tell)
            for number in range(base, base + 4):
                recommender.add([_event(number)])
                tell(number)
            recommender.store.close()  # type: ignore[union-attr]
            if fork % 3 == 0:
                store.close()
            with EventStore(shared.store) as third:
                base += 2 * SERIES
                third.append([_event(base)])
                tell(base)
            os.waitpid(process, 0)

    return shared.killed(rounds, rng, [application])


def contained(folder: Path, bundle: Path, rounds: int, rng: random.Random) -> int:
    """Three processes, each with the number 1 in a container of its own, add, personalise and save."""
    shared = _Shared(folder, bundle)

    def application(tell: Tell, base: int) -> None:
        assert os.getpid() == 1
        recommender = shared.recommender()
        for number in range(base, base + SERIES):
            recommender.add([_event(number)])
            tell(number)
            if number % 5 == 4:
                _personalise(recommender, tell)

    return shared.killed(rounds, rng, [application] * 3, in_containers=True)


class _Shared:
    """One user's files, and what was told of them."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.store, self.state = folder / "e", folder / "s"
        self.bundle: Bundle = open_bundle(bundle)
        guard = dataclasses.replace(self.bundle.recipe.guard, enabled=False)
        self.bundle.recipe = dataclasses.replace(self.bundle.recipe, guard=guard, passes=1)

    def recommender(self) -> Recommender:
        return Recommender(self.bundle, user="u1", state=self.state, store=self.store)

    def killed(
        self, rounds: int, rng: random.Random, works: list[Callable[[Tell, int], None]], in_containers: bool = False
    ) -> int:
        """Run the works at once, kill them, and check what they left; the kills that came into the work."""
        told: set[int] = set()
        inside = 0
        for number in range(rounds):
            base = START + number * ROUND
            bases = [base + place * (ROUND // 4) for place in range(len(works))]
            children = [_start(work, base, in_containers) for work, base in zip(works, bases, strict=True)]
            time.sleep(rng.uniform(0.02, 0.25))
            rng.shuffle(children)
            for child, _ in children:
                # The whole group, or the application alone: what it has forked then continues and ends on its own.
                (os.killpg if in_containers or rng.random() < 0.5 else os.kill)(child, signal.SIGKILL)
            signals = [signal for _, reading in children for signal in _read(reading)]
            for child, _ in children:
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, "it ended on its own"
            assert FAILED not in signals, "a process has failed"
            told |= {number for number in signals if number >= 0}
            inside += signals.count(BUSY) > signals.count(DONE)
            held = self._check(told)
            if held > 150:  # keep the training short
                self.recommender().wipe()
                told.clear()
        return inside

    def _check(self, told: set[int]) -> int:
        """What is in the files; the number of events."""
        if not self.store.exists():
            assert not told, f"{len(told)} events were taken and there is no event store"
            return 0
        with EventStore(self.store) as store:
            numbers = [int(time) for time in store.replay().events.times if time is not None]
        lost = sorted(told - set(numbers))
        assert not lost, f"{len(lost)} of {len(told)} events that were taken are lost: {lost[:5]}"
        assert len(set(numbers)) == len(numbers)
        by_series: dict[int, list[int]] = {}
        for number in numbers:
            by_series.setdefault((number - START) // SERIES, []).append(number)
        for series, held in by_series.items():
            assert held == list(range(START + series * SERIES, START + series * SERIES + len(held)))
        recommender = self.recommender()
        assert not recommender.outdated
        assert len(recommender) == len(numbers)
        assert finite(recommender.model.export_weights())
        assert len(recommender.recommend(5)) == 5
        return len(numbers)


def _event(number: int) -> tuple[str, float]:
    return f"item {1 + number % 9}", float(number)


def may_make_containers() -> bool:
    """Whether a process may be given another's number here: needs Linux and root."""
    child = os.fork()
    if child == 0:
        os._exit(not sys.platform.startswith("linux") or ctypes.CDLL(None).unshare(_NEW_PID_NAMESPACE) != 0)
    return os.waitpid(child, 0)[1] == 0


def _personalise(recommender: Recommender, tell: Tell) -> None:
    tell(BUSY)
    recommender.personalise()
    recommender.save()
    tell(DONE)


def _thread(work: Callable[[], None], tell: Tell) -> None:
    threading.Thread(target=lambda: _reported(work, tell), daemon=True).start()


def _forked(work: Callable[[], None], tell: Tell) -> int:
    """Fork a child that does the work and ends."""
    child = os.fork()
    if child == 0:
        _reported(work, tell)
        os._exit(0)
    return child


def _reported(work: Callable[[], None], tell: Tell) -> None:
    try:
        work()
    except BaseException as error:
        print(f"child: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        tell(FAILED)


def _start(work: Callable[[Tell, int], None], base: int, in_container: bool) -> tuple[int, int]:
    """Fork a process group for the work; the process, and where one reads what is told."""
    reading, writing = os.pipe()

    def tell(number: int) -> None:
        os.write(writing, struct.pack("<q", number))

    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.close(reading)
        if in_container:
            if ctypes.CDLL(None, use_errno=True).unshare(_NEW_PID_NAMESPACE):
                os._exit(3)
            inner = _forked(lambda: work(tell, base), tell)
            os.close(writing)
            os.waitpid(inner, 0)
        else:
            _reported(lambda: work(tell, base), tell)
        os._exit(0)
    with contextlib.suppress(OSError):  # the child does it too: one of them is first
        os.setpgid(child, child)
    os.close(writing)
    return child, reading


def _read(reading: int) -> list[int]:
    """All that was told, when the last process that could tell has ended."""
    told = b""
    while piece := os.read(reading, 1 << 16):
        told += piece
    os.close(reading)
    return [number for (number,) in struct.iter_unpack("<q", told)]
