# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments: ``python tests/kills.py BUNDLE --count 1000``. Every restart has to find a valid state.

Five kinds, a fifth of the count each: events appended to a store, states written, personalise with store and state,
forget, and pull from a server on loopback. Three more, the whole count each, where ``--kind`` names them
(``kills_together.py``): an application, its threads and a timer; forks in the middle; three containers. A child does
one of them again and again and tells through a pipe what has returned; it is killed at a random moment; then what it
left is opened. Checked: nothing is lost that had returned, nothing is there in part, no file is damaged. The last line
is JSON. Needs fork. A killed process is not a power cut: against that stand the flushes, and no test here shows it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pocketrec.device import Recommender
from pocketrec.device.base.files import sha256_file
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.delivery.fetch import Patience
from pocketrec.device.delivery.pull import pull
from pocketrec.device.delivery.versions import read_current
from pocketrec.device.personal.guard import finite
from pocketrec.device.state.file import load_state, previous_of, save_state
from pocketrec.device.state.personal_state import PersonalState
from pocketrec.device.store.database import EventStore
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.release import publish
from pocketrec.export.bundle.write import write_bundle_files

sys.path.insert(0, str(Path(__file__).parent))  # Python leaves it out where PYTHONSAFEPATH is set
from kills_together import contained, forked, together
from server import serving

BATCH = 7  # events of one append: all or none


def killed(work: Callable[[Callable[[int], None]], None], seconds: float, once: bool = False) -> int:
    """Run `work` in a child, kill it after `seconds`, and give the largest number that it told; 0 = none.

    With `once` the time runs from the first number that it tells, so that the kill falls into its work on any machine.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            work(lambda number: os.write(writing, struct.pack("<q", number)) and None)
        except BaseException as error:
            print(f"child: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    os.close(writing)
    told = os.read(reading, 8) if once else b""
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    while piece := os.read(reading, 1 << 16):
        told += piece
    os.close(reading)
    assert os.WIFSIGNALED(status), "the child ended on its own"
    return max((number for (number,) in struct.iter_unpack("<q", told)), default=0)


def appends(folder: Path, bundle: Path, rounds: int, rng: random.Random) -> int:
    """Kills while events were appended, of `rounds`."""
    path, done, inside = folder / "events", 0, 0

    def work(tell: Callable[[int], None]) -> None:
        store, number = EventStore(path), done
        while True:
            store.append([(f"item {number * BATCH + n}", number * BATCH + n) for n in range(BATCH)])
            number += 1
            tell(number)

    for _ in range(rounds):
        returned = killed(work, rng.uniform(0, 0.15), rng.random() < 0.5)
        told = max(returned, done)
        if not path.exists():
            assert told == 0
            continue
        with EventStore(path) as store:
            items = store.replay().events.items
        assert len(items) % BATCH == 0, "a batch is there in part"
        assert told * BATCH <= len(items) <= (told + 1) * BATCH, f"{told} appends returned, {len(items)} events"
        assert items == [f"item {n}" for n in range(len(items))]
        inside += returned > 0
        done = len(items) // BATCH
    return inside


def states(folder: Path, bundle: Path, rounds: int, rng: random.Random) -> int:
    """Kills inside the writing of a state."""
    path, manifest, done, inside = folder / "state", open_bundle(bundle).manifest, 0, 0
    left, items = 0, int(manifest.vocabulary["items"])

    def row(number: int) -> int:
        return 1 + number % items

    def of(number: int) -> PersonalState:
        weights = {"w": np.full(20_000, number, np.float32)}
        return PersonalState("u", np.full(9, row(number), np.int32), np.full(9, 1.0), weights, generation=number)

    def work(tell: Callable[[int], None]) -> None:
        number = done
        while True:
            number += 1
            save_state(path, of(number), manifest)
            tell(number)

    for _ in range(rounds):
        told = max(killed(work, rng.uniform(0, 0.05), rng.random() < 0.5), done)
        for file, least in ((path, told), (previous_of(path), told - 1)):
            if least > 0 or file.exists():
                state = load_state(file, manifest)
                assert least <= state.generation <= told + 1
                assert (state.weights["w"] == state.generation).all()
                assert (state.rows == row(state.generation)).all()
        aside = len(list(folder.glob(".state*")))  # what killed writers left, one file each
        done = load_state(path, manifest).generation if path.exists() else 0
        inside += aside > left or done > told
        left = aside
    return inside


def unguarded(folder: Path) -> Bundle:
    """The bundle with a recipe that always takes what was trained."""
    bundle = open_bundle(folder)
    bundle.recipe = dataclasses.replace(bundle.recipe, guard=dataclasses.replace(bundle.recipe.guard, enabled=False))
    return bundle


def personalises(folder: Path, bundle: Path, rounds: int, rng: random.Random) -> int:
    """Kills between the recording of new events and the saved state that has learned them."""
    opened, paths, done, inside = unguarded(bundle), {"state": folder / "s", "store": folder / "e"}, 0, 0

    def work(tell: Callable[[int], None]) -> None:
        recommender, number = Recommender(opened, user="u1", **paths), done
        while True:
            recommender.add([(f"item {1 + (number + n) % 9}", 2000 + 10 * number + n) for n in range(10)])
            number += 10
            recommender.personalise(resume=number % 20 == 0)
            recommender.save()
            tell(number)

    for _ in range(rounds):
        saved = killed(work, rng.uniform(0, 0.12), rng.random() < 0.5)
        told = max(saved, done)
        recommender = Recommender(opened, user="u1", **paths)
        assert not recommender.outdated
        assert told <= len(recommender) <= told + 10
        assert recommender.state.trained <= len(recommender)
        assert recommender.state.trained >= saved
        assert finite(recommender.model.export_weights())
        assert len(recommender.recommend(5)) == 5
        inside += len(recommender) > recommender.state.trained
        done = len(recommender)
        if done > 300:  # keep the training short
            recommender.wipe()
            done = 0
    return inside


def forgets(folder: Path, bundle: Path, rounds: int, rng: random.Random) -> int:
    """Kills while items were forgotten: what is gone is in no file, and in no weights that are still used."""
    opened, paths, done, inside = unguarded(bundle), {"state": folder / "s", "store": folder / "e"}, 0, 0

    def work(tell: Callable[[int], None]) -> None:
        recommender, number = Recommender(opened, user="u1", **paths), done
        while True:
            number += 1
            start = 2000 + 10 * number
            secrets = [(f"secret {number}.", start), ("item 50", start + 1), ("item 50", start + 2)]
            recommender.personalise([(f"item {1 + (number + n) % 9}", start + n) for n in range(8)] + secrets)
            recommender.save()
            recommender.forget([f"secret {number}.", "item 50"])
            tell(number)

    for _ in range(rounds):
        told = max(killed(work, rng.uniform(0, 0.15), rng.random() < 0.5), done)
        with EventStore(folder / "e") as store:
            items = store.replay().events.items
        recommender = Recommender(opened, user="u1", **paths)
        if recommender.state.weights:
            afresh = Recommender(opened, user="u1", store=paths["store"])
            afresh.personalise()
            trained = recommender.state.weights
            assert all(np.array_equal(trained[name], value) for name, value in afresh.state.weights.items())
        inside += any(item.startswith("secret") for item in items) or bool(recommender.outdated)
        content = b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
        there = [number for number in range(told + 1) if b"secret %d." % number in content]
        assert not there, "what was forgotten is in a file"
        recommender.forget([*{item for item in items if item.startswith("secret")}, "item 50"])
        done = told + 1
        if len(recommender) > 150:  # keep the training short
            recommender.wipe()
    return inside


def pulls(folder: Path, bundle: Path, rounds: int, rng: random.Random) -> int:
    """Kills before a new release was in use."""
    source, here, www = open_bundle(bundle), folder / "here", folder / "www"
    model = source.model_path.read_bytes()
    for name in "ab":  # two bundles with nothing large in common
        write_bundle_files(
            folder / name, BundleContent(
                model_file=model + name.encode() * 100_000, items=[f"{name}{n}" for n in range(60)],
            recipe={}, card=name, model=source.manifest.model, tensors=source.manifest.tensors,
            candidates=(["u1"], np.ones((1, 5), np.int32)), shards=1,
        ))  # fmt: skip
    publish(folder / "a", www)
    reading, writing = os.pipe()
    server = os.fork()
    if server == 0:  # a process of its own, as children are forked from this one, which must have no threads
        with serving(www) as site:
            os.write(writing, site.url.encode())
            signal.pause()
    url = os.read(reading, 100).decode()
    patience, inside = Patience(timeout=10, pause=0.01), 0

    def work(tell: Callable[[int], None]) -> None:
        while True:
            tell(pull(url, here, users=["u1"], patience=patience).serial)

    try:
        for number in range(rounds):
            serial = publish(folder / "ab"[number % 2], www, keep=1).release.serial
            told = killed(work, rng.uniform(0, 0.12))
            current = read_current(here)
            if current is not None and current.current:
                opened = open_bundle(here)
                for name, entry in opened.manifest.files.items():
                    assert sha256_file(opened.folder / name) == entry.sha256, f"{name} is in use in part"
                assert opened.manifest.model_id in (sha256_file(folder / name / "model.tflite") for name in "ab")
                assert current.serial >= told
            inside += current is None or current.serial < serial
            if number % 10 == 9:
                pull(url, here, users=["u1"], patience=patience)
                assert open_bundle(here).folder.name == sha256_file(folder / "ab"[number % 2] / "manifest.json")[:16]
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
    return inside


ALONE = (appends, states, personalises, forgets, pulls)
TOGETHER = (together, forked, contained)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", nargs="+", choices=[kind.__name__ for kind in (*ALONE, *TOGETHER)],
                        help="these alone, the whole count each")  # fmt: skip
    options = parser.parse_args()
    result: dict[str, object] = {"kills": options.count, "seed": options.seed}
    kinds = [kind for kind in (*ALONE, *TOGETHER) if kind.__name__ in options.kind] if options.kind else ALONE
    for number, kind in enumerate(kinds):
        folder = Path(tempfile.mkdtemp())
        try:
            rounds = options.count if options.kind else (options.count + number) // 5
            started = time.monotonic()
            inside = kind(folder, options.bundle, rounds, random.Random(options.seed))
            result[kind.__name__] = {"kills": rounds, "inside": inside, "seconds": round(time.monotonic() - started, 1)}
            print(kind.__name__, result[kind.__name__], file=sys.stderr, flush=True)
        finally:
            shutil.rmtree(folder)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
