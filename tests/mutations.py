# SPDX-License-Identifier: Apache-2.0
"""Altered files: ``python tests/mutations.py BUNDLE --count 10000``. Each is one clear error, or works as it should.

Six kinds, in turn: bundles (a file altered, hashes left as they were), contents (a file altered, and the hashes made to
fit, as whoever may publish can), archives (a .zip altered), manifests (values of the JSON altered), states (bytes, or
values behind a right checksum), and events (CSV). A bundle that opens is used: recommend and personalise. Checked: the
error is a `PocketRecError` of one line, scores are finite and items known, nothing is written outside the case's own
folder, no case takes longer than LIMIT seconds, and no process ends by a signal.

--kind models alters model.tflite behind right hashes, which nothing checks but the runtime: there crashes are counted
and are no failure (docs/device.md). Cases are made from --seed and their number; --only N does one again. The last line
is JSON. Needs fork.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.device import Recommender
from pocketrec.device.base.errors import PocketRecError
from pocketrec.device.contract import tensorfile
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.store.events import read_events

LIMIT = 60  # seconds for one case
SHARE = 50  # cases of one process
EVENTS = [(f"item {1 + n % 7}", 1000.0 + n) for n in range(12)]
KINDS = ("bundles", "contents", "archives", "manifests", "states", "events")
ODD = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**40), 1e308, float("nan"), float("inf"), 0.5, "", "a", "0", "..",
    "../../escape", "/tmp/escape", "model.tflite", "\x00", "ü" * 300, [], {}, [[]], {"a": 1}, [1, 2, 3],
)  # fmt: skip


def bent(content: bytes, rng: random.Random) -> bytes:
    """`content` with one to four alterations."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(data) + 1), min(rng.randint(1, 40), 1 + len(data) // 2)
        match rng.randrange(6):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = rng.randbytes(length)
            case 3:
                data[at : at + length] = rng.randbytes(length)
            case 4:
                del data[at:]
            case _:
                data[at:at] = data[at // 2 : at // 2 + length]
    return bytes(data)


def twisted(value: Any, rng: random.Random) -> Any:
    """JSON with one value, key or list altered."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        match rng.randrange(8):
            case 0:
                return {name: item for name, item in value.items() if name != key}
            case 1:
                return {**value, str(rng.choice(ODD)): value[key]}
            case _:
                return {**value, key: twisted(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], twisted(value[at], rng), *value[at + 1 :]] if rng.random() < 0.7 else value[:at]
    return rng.choice(ODD)


def refit(folder: Path) -> None:
    """Make the manifest's sizes and hashes fit the files."""
    path = folder / "manifest.json"
    table = json.loads(path.read_bytes())
    for name in table["files"]:
        content = (folder / name).read_bytes()
        table["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    table["vocabulary"]["sha256"] = table["files"]["items.txt"]["sha256"]
    if "model.tflite" in table["files"]:
        table["model_id"] = table["files"]["model.tflite"]["sha256"]
    path.write_text(json.dumps(table))


def use(path: Path, state: Path | None = None) -> None:
    """Open and do what a device does."""
    recommender = Recommender(path, user="u1", state=state)
    recommender.add(EVENTS)
    known = len(recommender.bundle.vocabulary)
    for resume in (False, True):
        best = recommender.recommend(5)
        assert len(best) <= 5
        assert all(math.isfinite(score) for _, score in best), best
        rows = recommender.bundle.vocabulary.rows([item for item, _ in best])
        assert (rows <= known).all()
        recommender.personalise([("item 9", 2000.0 + resume)], resume=resume, passes=1)
    recommender.save() if state is not None else None


class Cases:
    """Makes and tries cases from what lies beside the bundle."""

    def __init__(self, bundle: Path, scratch: Path) -> None:
        self.bundles = [path for path in (bundle, bundle.with_name(bundle.name + ".packed"),
                                          bundle.with_name(bundle.name + ".lean")) if path.is_dir()]  # fmt: skip
        self.archive = bundle.with_name(bundle.name + ".zip").read_bytes()
        shutil.copytree(bundle, scratch / "bundle")
        child = os.fork()  # this process must not start a runtime, for it is forked from
        if child == 0:
            first = Recommender(scratch / "bundle", user="u1", state=scratch / "state")
            first.personalise(EVENTS)
            first.save()
            os._exit(0)
        os.waitpid(child, 0)
        self.bundle = open_bundle(scratch / "bundle")
        self.state = (scratch / "state").read_bytes()
        rows = [f"u{n % 3},item {1 + n % 70},{900 + 10 * n}" for n in range(60)]
        self.csv = "\n".join(["user,item,timestamp", *rows, ""]).encode()

    def _copy(self, rng: random.Random, target: Path) -> Path:
        source = rng.choice(self.bundles)
        return Path(shutil.copytree(source, target / "bundle", ignore=shutil.ignore_patterns(".*", "model.0*")))

    def bundles_(self, rng: random.Random, target: Path) -> None:
        folder = self._copy(rng, target)
        path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
        content = bent(path.read_bytes(), rng)
        path.unlink() if rng.random() < 0.05 else path.write_bytes(content)
        use(folder)

    def contents(self, rng: random.Random, target: Path) -> None:
        folder = self._copy(rng, target)
        names = ("recipe.json", "items.txt", "model.skeleton", "model.weights", "candidates/0000", "candidates/0001",
                 "candidates/0002")  # fmt: skip
        path = rng.choice([folder / name for name in names if (folder / name).is_file()])
        content = path.read_bytes()
        if path.name == "recipe.json" and rng.random() < 0.8:
            content = json.dumps(twisted(json.loads(content), rng)).encode()
        elif path.parent.name == "candidates" and rng.random() < 0.8:
            content = self._tensors(content, rng)
        else:
            content = bent(content, rng)
        path.write_bytes(content)
        refit(folder)
        use(folder)

    def archives(self, rng: random.Random, target: Path) -> None:
        path = target / "bundle.zip"
        if rng.random() < 0.5:
            path.write_bytes(bent(self.archive, rng))
        else:  # entries with other names and contents
            source = target / "source.zip"
            source.write_bytes(self.archive)
            with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
                for name in old.namelist():
                    content = old.read(name)
                    if name == "manifest.json" and rng.random() < 0.7:
                        content = json.dumps(twisted(json.loads(content), rng)).encode()
                    new.writestr(f"../{name}" if rng.random() < 0.05 else name, content)
            source.unlink()
        use(path)

    def manifests(self, rng: random.Random, target: Path) -> None:
        folder = self._copy(rng, target)
        path = folder / "manifest.json"
        table = json.loads(path.read_bytes())
        for _ in range(rng.randint(1, 3)):
            table = twisted(table, rng)
        path.write_text(json.dumps(table))
        use(folder)

    def states(self, rng: random.Random, target: Path) -> None:
        path = target / "state"
        path.write_bytes(bent(self.state, rng) if rng.random() < 0.4 else self._tensors(self.state, rng))
        use(self.bundle.folder, path)

    def events(self, rng: random.Random, target: Path) -> None:
        path = target / f"events{rng.choice(('.csv', '.tsv', '.txt'))}"
        content = self.csv
        for _ in range(rng.randint(0, 2)):
            content = bent(content, rng)
        if rng.random() < 0.5:
            odd = (b"nan", b"1e400", b"-1", b"9" * 400, b"2020-01-01", b"0001-01-01", b'"', b"\r", b"\x00", b",,")
            lines = content.split(b"\n")
            at = rng.randrange(len(lines))
            lines[at] = rng.choice(odd).join(lines[at].split(b",")[:3])
            content = b"\n".join(lines)
        path.write_bytes(content)
        found = read_events(path, "u1")
        assert all(time is None or math.isfinite(time) for time in found.times)
        recommender = Recommender(self.bundle, user="u1")
        recommender.personalise(found, passes=1)
        assert all(math.isfinite(score) for _, score in recommender.recommend(5))

    def models(self, rng: random.Random, target: Path) -> None:
        folder = Path(shutil.copytree(self.bundles[0], target / "bundle", ignore=shutil.ignore_patterns(".*")))
        path = folder / "model.tflite"
        path.write_bytes(bent(path.read_bytes(), rng))
        refit(folder)
        use(folder)

    def _tensors(self, content: bytes, rng: random.Random) -> bytes:
        """A tensor file with a tensor or a text altered, and a right checksum."""
        file = tensorfile.parse(content)
        tensors, texts = dict(file.tensors), dict(file.metadata)
        if rng.random() < 0.5:
            name = rng.choice(sorted(tensors))
            value = tensors[name]
            match rng.randrange(6):
                case 0:
                    del tensors[name]
                case 1:
                    tensors[name] = value.reshape(-1)[: rng.randrange(value.size + 1)]
                case 2:
                    tensors[name] = value.astype(rng.choice([np.int8, np.uint64, np.float16, np.float64, bool]))
                case 3:
                    tensors[rng.choice(["weights/x", "history/rows", "rows", "known", "x"])] = value
                case _:
                    flat = value.reshape(-1).copy()
                    odd = [np.nan, np.inf, 1e30] if flat.dtype.kind == "f" else [0, 61, 250, 2**31 - 1, -1, -(2**31)]
                    if flat.size:
                        flat[rng.randrange(flat.size)] = np.array(rng.choice(odd)).astype(flat.dtype)
                    tensors[name] = flat.reshape(value.shape)
        else:
            name = rng.choice(sorted(texts))
            text = texts[name]
            with_json = text.startswith(("{", "["))
            texts[name] = json.dumps(twisted(json.loads(text), rng)) if with_json else str(rng.choice(ODD))
        return tensorfile.dump(tensors, texts)


def attempt(cases: Cases, kind: str, number: int, seed: int, folder: Path) -> str:
    """Try one case: "worked", the error's type, or a line that begins with "FAILED"."""
    target = folder / "case" / "target"
    target.mkdir(parents=True)
    signal.alarm(LIMIT)
    try:
        getattr(cases, "bundles_" if kind == "bundles" else kind)(random.Random(f"{seed} {number}"), target)
        told = "worked"
    except PocketRecError as error:
        told = type(error).__name__
        if "\n" in str(error) or len(str(error)) > 2000:
            told = f"FAILED {number} {kind}: not one line: {str(error)[:300]!r}"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        told = f"FAILED {number} {kind}: {type(error).__name__}: {str(error)[:150]} ({where.filename}:{where.lineno})"
        if os.environ.get("MUTATIONS_TRACE"):
            traceback.print_exc()
    finally:
        signal.alarm(0)
    beside = [*(folder / "case").iterdir(), *folder.iterdir()]
    if beside != [target, folder / "case"]:
        told = f"FAILED {number} {kind}: written outside: {beside}"
    shutil.rmtree(folder / "case")
    return told


def share(cases: Cases, numbers: list[tuple[int, str]], seed: int) -> list[str]:
    """Try cases in a child; where it dies by a signal, the case counts as crashed and the rest continues in another."""
    told: list[str] = []
    while len(told) < len(numbers):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2) if not os.environ.get("MUTATIONS_TRACE") else None
            folder = Path(tempfile.mkdtemp(dir=os.environ.get("MUTATIONS_SCRATCH")))
            for number, kind in numbers[len(told) :]:
                line = " ".join(attempt(cases, kind, number, seed, folder).split())
                os.write(writing, line.encode(errors="replace")[:1000] + b"\n")
            shutil.rmtree(folder)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            told += [line.decode() for line in file.read().splitlines()]
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            number, kind = numbers[len(told)]
            name = signal.Signals(os.WTERMSIG(status)).name
            told.append(f"crashed {name}" if kind == "models" else f"FAILED {number} {kind}: ended by {name}")
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=[*KINDS, "models"], help="only this kind")
    parser.add_argument("--only", type=int, help="only the case of this number")
    options = parser.parse_args()
    kinds = [options.kind] if options.kind else list(KINDS)
    numbers = [(number, kinds[number % len(kinds)]) for number in range(options.count)]
    if options.only is not None:
        numbers = [(options.only, kinds[options.only % len(kinds)])]
    started, outcomes = time.monotonic(), {kind: Counter[str]() for kind in kinds}
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["MUTATIONS_SCRATCH"] = scratch
        made = Path(scratch) / "made"
        made.mkdir()
        cases = Cases(options.bundle, made)
        for start in range(0, len(numbers), SHARE):
            part = numbers[start : start + SHARE]
            for (_, kind), told in zip(part, share(cases, part, options.seed), strict=True):
                outcomes[kind]["FAILED" if told.startswith("FAILED") else told] += 1
                if told.startswith("FAILED"):
                    failures.append(told)
                    print(told, file=sys.stderr, flush=True)
    seconds = round(time.monotonic() - started, 1)
    print(json.dumps({"count": len(numbers), "seed": options.seed, "failures": len(failures), "seconds": seconds,
                      **{kind: dict(counter) for kind, counter in outcomes.items()}}))  # fmt: skip
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
