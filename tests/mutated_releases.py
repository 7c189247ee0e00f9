# SPDX-License-Identifier: Apache-2.0
"""Altered releases: ``python tests/mutated_releases.py BUNDLE --count 10000``. Each is one line, or is taken rightly.

Three kinds, in turn: latest.json, manifests, and rotations, altered in bytes or in values. About half are signed again
after that, with a key that the device trusts, as if the publisher had written them: nothing but the reader stands
between these and the device. A device that has pinned a key and has release 1 pulls each through a source in memory.
Checked: one line, or a version that can be used; after an error the version in use is as it was; nothing is written
outside the folder, and nothing with another name in it; the pin is kept; what is taken is signed. Cases are made from
--seed and their number; --only N does one again. The last line is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pocketrec.device.base.errors import PocketRecError
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.fetch import Patience
from pocketrec.device.delivery.pins import read_pin
from pocketrec.device.delivery.pull import Pulled, pull
from pocketrec.device.delivery.release import LATEST, Release, name_of, rotation_of
from pocketrec.device.delivery.signing import is_signed_by, make_key, public_digits, read_private
from pocketrec.device.delivery.versions import read_current
from pocketrec.export.bundle.release import publish
from pocketrec.export.bundle.terms import Terms

sys.path.insert(0, str(Path(__file__).parent))  # Python leaves it out where PYTHONSAFEPATH is set
from mutations import bent, twisted
from publishing import changed

LIMIT = 60  # seconds for one case
KINDS = ("latest", "manifests", "rotations")
NAMES = {"current.json", "current.copy.json", "pin.json", "versions", "partial", "lock"}
URL = "https://publisher.invalid/"
ODD = (
    10**400, -(10**400), 2**53, 2**63, 1e308, float("nan"), float("inf"), True, None, "", "\ud800", "\udc80", "a\nb",
    "A", "../x", "/etc/x", "0" * 64, "0" * 128, "f" * 64, [], {}, [[]], [None], {"a": 1}, "1", -1, 0, 1, 0.5,
)  # fmt: skip


class Answer:
    """One answer."""

    def __init__(self, status: int, content: bytes) -> None:
        self.status, self.headers, self._content = status, {"Content-Length": str(len(content))}, io.BytesIO(content)
        self.read, self.close = self._content.read, self._content.close


class Memory:
    """A source of files in memory."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)

    def __call__(self, url: str, headers: Mapping[str, str], timeout: float) -> Answer:
        content = self.files.get(url.removeprefix(URL))
        return Answer(404 if content is None else 200, content or b"")


def odd(value: Any, rng: random.Random) -> Any:
    """JSON with values altered: as in other mutations, or one of them replaced by something that is odd here."""
    if rng.random() < 0.5:
        return twisted(value, rng)
    if isinstance(value, dict) and value:
        key = rng.choice(sorted(value))
        deeper = isinstance(value[key], dict | list) and value[key] and rng.random() < 0.7
        name = rng.choice([key.upper(), f"{key}\ud800", "reserved"]) if rng.random() < 0.1 else key
        return {**value, name: odd(value[key], rng) if deeper else rng.choice(ODD)}
    if isinstance(value, list) and value:
        return [*value, odd(value[-1], rng)]
    return rng.choice(ODD)


class Cases:
    """Makes cases and tries them."""

    def __init__(self, bundle: Path, scratch: Path) -> None:
        self.keys = [scratch / f"key{number}" for number in range(3)]
        self.digits = [make_key(key) for key in self.keys]
        first = Path(shutil.copytree(bundle, scratch / "first", ignore=shutil.ignore_patterns(".*", "model.0*")))
        www, self.before = scratch / "www", scratch / "before"
        publish(first, www, sign=self.keys[0])
        files = self._files(www)
        pull(URL, self.before, users=["u1"], key=self.digits[0], source=Memory(files))
        second, third = changed(first, "second"), changed(first, "third")
        self.release = publish(second, www, sign=self.keys[0], terms=Terms(serial=2)).release
        self.site = self._files(www)
        self.manifest = (second / "manifest.json").read_bytes()
        publish(third, www, sign=self.keys[0], terms=Terms(keys=tuple(self.digits[:2]), serial=3))
        publish(second, www, sign=self.keys[1], terms=Terms(keys=(self.digits[2],), serial=4))
        publish(third, www, sign=self.keys[2], terms=Terms(serial=5, expires=int(time.time()) + 10**7, share=0.5))
        self.rotated = self._files(www)

    @staticmethod
    def _files(www: Path) -> dict[str, bytes]:
        return {str(path.relative_to(www)): path.read_bytes() for path in www.rglob("*") if path.is_file()}

    def sign(self, table: Any, rng: random.Random, place: int) -> bytes:
        """JSON of a release, signed again: as the publisher would have, had it written this."""
        if isinstance(table, dict):
            domain = Release(1, "", 1).statement().split(b"\n")[0] + b"\n"
            facts = {name: value for name, value in table.items() if name not in ("signature", "signatures")}
            with contextlib.suppress(TypeError):  # keys of several types cannot be sorted
                content = domain + json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
                table = {**table, "signature": read_private(self.keys[place]).sign(content).hex()}
        return json.dumps(table).encode()

    def release_like(self, content: bytes, rng: random.Random, place: int) -> bytes:
        """A latest.json or a rotation, altered."""
        if rng.random() < 0.3:
            return bent(content, rng)
        table = json.loads(content)
        for _ in range(rng.randint(1, 2)):
            table = odd(table, rng)
        return self.sign(table, rng, place) if rng.random() < 0.7 else json.dumps(table).encode()

    def latest(self, rng: random.Random) -> dict[str, bytes]:
        site, place = (self.site, 0) if rng.random() < 0.5 else (self.rotated, 2)
        return {**site, LATEST: self.release_like(site[LATEST], rng, place)}

    def manifests(self, rng: random.Random) -> dict[str, bytes]:
        content = self.manifest
        if rng.random() < 0.25:
            content = bent(content, rng)
        else:
            table = json.loads(content)
            for _ in range(rng.randint(1, 3)):
                table = odd(table, rng)
            content = json.dumps(table).encode()
        digest = hashlib.sha256(content).hexdigest()
        table = {**json.loads(self.site[LATEST]), "manifest": digest, "bytes": max(1, len(content))}
        return {**self.site, name_of(digest): content, LATEST: self.sign(table, rng, 0)}

    def rotations(self, rng: random.Random) -> dict[str, bytes]:
        place = rng.randrange(2)
        name = rotation_of(self.digits[place])
        return {**self.rotated, name: self.release_like(self.rotated[name], rng, place)}

    def attempt(self, kind: str, number: int, seed: int, folder: Path) -> str:
        """Try one case: "taken", "unchanged", the error's type, or a line that begins with "FAILED"."""
        make: Callable[[random.Random], dict[str, bytes]] = getattr(self, kind)
        site = make(random.Random(f"{seed} {number}"))
        here = folder / "case" / "here"
        shutil.copytree(self.before, here)
        signal.alarm(LIMIT)
        try:
            told = self._pulled(site, here)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            told = f"FAILED {number} {kind}: {type(error).__name__}: {error!r:.300} ({where.filename}:{where.lineno})"
        finally:
            signal.alarm(0)
        beside = (*folder.iterdir(), *(folder / "case").iterdir())
        others = [path for path in beside if path.name not in ("case", "here")]
        others += [path for path in here.iterdir() if path.name not in NAMES]
        if others:
            told = f"FAILED {number} {kind}: written: {others}"
        shutil.rmtree(folder / "case")
        return told

    def _pulled(self, site: Mapping[str, bytes], here: Path) -> str:
        known = read_current(here)
        done: Pulled | None = None
        told = ""
        try:
            done = pull(URL, here, patience=Patience(attempts=1, pause=0), source=Memory(site))
        except PocketRecError as error:
            told, message = type(error).__name__, str(error)
            message.encode()
            if "\n" in message or len(message) > 2000:
                raise AssertionError(f"not one line: {message[:300]}") from None
        current = read_current(here)
        assert current is not None
        pin = read_pin(here, current)
        assert pin.keys, "the pin is gone"
        assert pin.serial >= 1, "the serial is gone"
        if told:
            assert current == known, "the version in use was changed"
        bundle = open_bundle(here)  # a version can be used
        candidates = bundle.candidates_of("u1")
        assert candidates is not None or bundle.manifest.candidates["shards"] != 3, "the candidates are gone"
        bundle.popular()
        bundle.vocabulary.rows(["item 3", "item 7"])
        bundle.vocabulary.ids([1, 2])
        if done is None:
            return told
        if not done.new:
            return "unchanged"
        release = Release.from_bytes(site[LATEST], LATEST)
        signatures = release.all_signatures()
        own = [public_digits(read_private(key)) for key in self.keys]
        assert any(is_signed_by(key, one, release.statement()) for key in own for one in signatures), "not signed"
        assert done.serial >= 1
        return "taken"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS, help="only this kind")
    parser.add_argument("--only", type=int, help="only the case of this number")
    options = parser.parse_args()
    kinds = [options.kind] if options.kind else list(KINDS)
    numbers = range(options.count) if options.only is None else [options.only]
    started, outcomes = time.monotonic(), {kind: Counter[str]() for kind in kinds}
    with tempfile.TemporaryDirectory() as scratch:
        made, folder = Path(scratch) / "made", Path(scratch) / "cases"
        made.mkdir()
        folder.mkdir()
        cases = Cases(options.bundle, made)
        for number in numbers:
            kind = kinds[number % len(kinds)]
            told = cases.attempt(kind, number, options.seed, folder)
            if told.startswith("FAILED"):
                print(told.encode(errors="backslashreplace").decode(), file=sys.stderr, flush=True)
            outcomes[kind]["FAILED" if told.startswith("FAILED") else told] += 1
    failures = sum(counter["FAILED"] for counter in outcomes.values())
    for kind, counter in outcomes.items():
        print(f"{kind:<10} " + ", ".join(f"{name} {count}" for name, count in sorted(counter.items()) if count))
    print(json.dumps({"count": len(numbers), "seed": options.seed, "failures": failures,
                      "seconds": round(time.monotonic() - started, 1),
                      **{kind: dict(counter) for kind, counter in outcomes.items()}}))  # fmt: skip
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
