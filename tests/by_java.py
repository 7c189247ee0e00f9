# SPDX-License-Identifier: Apache-2.0
"""The Java runner, driven from Python: `pocketrec.desktop.Main serve` answers calls that come as lines of JSON.

`POCKETREC_JAVA` says how it is started; `make test-android` builds and names it. The device's own tests run against it
too: `cases` gives the tests of a file with Java's classes in the place of Python's.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from _pytest.fixtures import FixtureFunctionDefinition

from pocketrec.device.base import errors
from pocketrec.device.delivery.assemble import Limits
from pocketrec.device.delivery.fetch import Patience
from pocketrec.device.delivery.pull import Pulled
from pocketrec.device.store.database import Replayed
from pocketrec.device.store.events import Events, gather
from pocketrec.device.store.repair import Repaired

TESTS = Path(__file__).parent
#: What starts the Java runner; empty where it was not built.
JAVA = shlex.split(os.environ.get("POCKETREC_JAVA", ""))


#: What Java advises, and the command that Python names in its place.
ADVICE = {
    "repair it with EventStore.repair,": "run `pocketrec store repair`,",
    "raise Limits.withTotal": "raise --max-bytes",
    "raise Limits.withModel": "raise --max-model-bytes",
    "give the address and the publisher's key, or": "pull with the address and --key KEY.pub, or",
    "record events first": "record events with `pocketrec record` first",
    "give its key when the store is opened": "give its key with --secret",
    "give its key when the recommender is made": "give its key with --secret",
}


class JavaError(Exception):
    """Java has thrown what no caller can correct: a failure of the runner."""


class Java:
    """A process of the Java runner. Threads may share it; their calls wait for each other."""

    def __init__(self, litert: str = "") -> None:
        words = [*JAVA, "serve", *(["--litert", litert] if litert else [])]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()

    def call(self, name: str, *arguments: object) -> Any:
        """The result of a call; Java's exceptions become Python's of the same name."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self._lock:
            self.process.stdin.write(json.dumps({"call": name, "arguments": arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        if not line:
            raise JavaError(f"the Java runner ended with {self.process.wait()} in {name}")
        answer = json.loads(line)
        if "error" not in answer:
            return answer["result"]
        kind, message = str(answer["error"]), str(answer["message"])
        if kind == "IllegalArgumentException":
            raise ValueError(message)
        found = getattr(errors, kind.replace("Exception", "Error"), None)
        if found is None:
            raise JavaError(f"{kind}: {message}")
        assert "\n" not in message, "a message is one line"
        for advice, command in ADVICE.items():
            message = message.replace(advice, command)
        raise found(message)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


@functools.cache
def java() -> Java:
    """The one runner of this test process, with the LiteRT of this environment."""
    runner = Java(sys.prefix)
    atexit.register(runner.close)
    return runner


def digits(key: bytes | None) -> str | None:
    """A key in hexadecimal digits."""
    return None if key is None else key.hex()


def plain(events: Iterable[Any] | Events) -> list[list[Any]]:
    """Events as lists of item, time and category."""
    given = events if isinstance(events, Events) else gather(events)
    categories = given.categories or [""] * len(given)
    return [list(fields) for fields in zip(given.items, given.times, categories, strict=True)]


class JavaStore:
    """Java's event store, with the methods of `pocketrec.device.store.database.EventStore`."""

    def __init__(
        self, path: str | Path, *, key: bytes | None = None, create: bool = True, runner: Java | None = None
    ) -> None:
        self.path, self._java = Path(path), runner or java()
        self._number = self._java.call("store.open", str(path), create, digits(key))

    def append(self, events: Iterable[Any] | Events) -> int:
        return int(self._java.call("store.append", self._number, plain(events)))

    def replay(self, after: int = 0) -> Replayed:
        replayed = Replayed()
        for number, item, moment, category in self._java.call("store.replay", self._number, after):
            replayed.ids.append(number)
            replayed.events.items.append(item)
            replayed.events.times.append(moment)
            replayed.events.categories.append(category)
        replayed.events.rows = len(replayed.ids)
        return replayed

    def __len__(self) -> int:
        return int(self._java.call("store.size", self._number))

    identity = property(lambda self: self._java.call("store.identity", self._number))
    keep = property(lambda self: self._java.call("store.keep", self._number))
    dropped = property(lambda self: self._java.call("store.dropped", self._number))
    sealed = property(lambda self: self._java.call("store.sealed", self._number))
    read_only = property(lambda self: self._java.call("store.read_only", self._number))

    def retain(self, *, events: int | None = None, before: float | None = None) -> int:
        gone = 0 if before is None else self._java.call("store.retain_since", self._number, before)
        return int(gone + (0 if events is None else self._java.call("store.retain_newest", self._number, events)))

    def forget(self, items: Iterable[Any] | None = None) -> int:
        if items is None:
            return int(self._java.call("store.forget_all", self._number))
        return int(self._java.call("store.forget", self._number, plain(list(items))))

    def export(self, path: str | Path) -> int:
        return int(self._java.call("store.export", self._number, str(path)))

    def close(self) -> None:
        self._java.call("store.close", self._number)

    def __del__(self) -> None:
        if hasattr(self, "_number") and self._java.process.poll() is None:  # as Python's, closed when nobody has it
            self.close()

    def __enter__(self) -> JavaStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wipe_store(path: str | Path) -> list[Path]:
    """`pocketrec.device.store.wipe.wipe_store`, by Java."""
    return [Path(name) for name in java().call("store.wipe", str(path))]


def repair_store(path: str | Path, key: bytes | None = None) -> Repaired:
    """`pocketrec.device.store.repair.repair_store`, by Java."""
    saved, lost, kept = java().call("store.repair", str(path), digits(key))
    return Repaired(saved, lost, Path(kept))


def pull(
    url: str,
    folder: str | Path,
    *,
    users: Iterable[str] = (),
    key: str | Path | None = None,
    limits: Limits | None = None,
    patience: Patience | None = None,
    older: bool = False,
) -> Pulled:
    """`pocketrec.device.delivery.pull.pull`, by Java; its clock is this process's."""
    waits = None if patience is None else {**dataclasses.asdict(patience), "timeout": min(patience.timeout, 1e6)}
    wanted = {
        "users": list(users), "key": None if key is None else str(key), "older": older, "now": time.time(),
        "limits": None if limits is None else dataclasses.asdict(limits), "patience": waits,
    }  # fmt: skip
    done = java().call("pull", url, str(folder), wanted)
    return Pulled(Path(done.pop("folder")), notes=tuple(done.pop("notes")), **done)


def rollback(folder: str | Path) -> Path:
    """`pocketrec.device.delivery.pull.rollback`, by Java."""
    return Path(java().call("rollback", str(folder)))


def module_of(file: str) -> ModuleType:
    """A copy of its own of a file below tests."""
    spec = importlib.util.spec_from_file_location(f"java_{Path(file).stem}", TESTS / file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def cases(file: str, others: dict[str, object], leave_out: Collection[str]) -> dict[str, Any]:
    """The tests and fixtures of a file, which find other things by some names.

    Args:
        file: below the folder of tests.
        others: by name, what the file's functions find there.
        leave_out: tests that are not meant for it; each has to be one, so that none is passed over by mistake.

    Returns:
        By name; empty where the Java runner was not built, for then there is nothing to run and to import.
    """
    if not JAVA:
        return {}
    module = module_of(file)
    vars(module).update(others)
    tests = {name: value for name, value in vars(module).items() if name.startswith("test_")}
    assert set(leave_out) <= set(tests), set(leave_out) - set(tests)
    fixtures = {name: value for name, value in vars(module).items() if isinstance(value, FixtureFunctionDefinition)}
    return {**fixtures, **{name: value for name, value in tests.items() if name not in leave_out}}
