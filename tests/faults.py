# SPDX-License-Identifier: Apache-2.0
"""Faults at the n-th system call that changes a file of a device: ``python tests/faults.py BUNDLE``. Needs strace.

Five commands: a first pull, an update, one that resumes a part, a rollback, and an update by which two changes of
keys are followed. Each is traced once, which shows the system calls that change something in the device's folder. Then
it is run again for every n-th of them (``--every``), and at that call it is killed, or finds a full disk (ENOSPC) or a
failing one (EIO). Checked each time: a fault that is no kill is one line and status 2, or does not matter; the pinned
keys and the serial are there; a version can be opened, every file of it with its SHA-256; a release that is not signed
and one that is older are refused; the same command, given again, comes to its end. The last line is JSON.
Exit status 1 where something was not as it has to be, 77 where nothing can be traced.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pocketrec.cli import main as command
from pocketrec.device.base.errors import BundleError, FetchError
from pocketrec.device.base.files import sha256_file
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.fetch import Patience
from pocketrec.device.delivery.pins import read_pin
from pocketrec.device.delivery.pull import pull, rollback
from pocketrec.device.delivery.signing import make_key
from pocketrec.device.delivery.versions import read_current
from pocketrec.export.bundle.release import publish
from pocketrec.export.bundle.terms import Terms

sys.path.insert(0, str(Path(__file__).parent))  # Python leaves it out where PYTHONSAFEPATH is set
from server import serving

#: System calls that change files, those of opening too; their arguments say which of them do.
CALLS = (
    "openat", "write", "pwrite64", "writev", "sendfile", "copy_file_range", "fsync", "fdatasync", "ftruncate", "rename",
    "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "link", "linkat", "chmod", "fchmod",
    "utimensat", "fallocate",
)  # fmt: skip
READING = re.compile(r"openat\(.*O_RDONLY(?!.*O_CREAT)")
LINE = re.compile(r"(\d+) +(\w+)\(")
KINDS = {"kill": "signal=KILL", "ENOSPC": "error=ENOSPC", "EIO": "error=EIO"}
PATIENCE = Patience(timeout=5, attempts=2, pause=0)


class FaultError(Exception):
    """Something was not as it has to be; the message says what."""


class TracerError(Exception):
    """There is no strace, or none that may trace."""


@dataclass
class Scenario:
    """One command, and what may be there afterwards."""

    name: str
    words: list[str]  # of pocketrec pull, without --to
    before: Path  # the device's folder before the command; need not exist
    keys: list[tuple[str, ...]]  # sets of keys that may be pinned afterwards
    versions: list[str]  # versions that may be in use afterwards
    serial: int  # at least this one is known afterwards
    again: Callable[[Path], object]  # the same command without a fault; raises nothing
    calls: list[tuple[str, int]] = field(default_factory=list)  # name, and its how-manieth call


@dataclass
class Sites:
    """Publisher's folders on one server."""

    url: str
    keys: list[str]
    names: dict[str, str] = field(default_factory=dict)  # of versions, by site


def changed(source: Path, target: Path) -> Path:
    """A copy of a bundle with another card, of 20,000 bytes, and another recipe."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*", "model.tflite", "model.0*"))
    table = json.loads((target / "manifest.json").read_bytes())
    recipe = {**json.loads((target / "recipe.json").read_bytes()), "passes": 5}
    (target / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    (target / "MODEL_CARD.md").write_text(f"# {target.name}\n".ljust(20_000, "-"), encoding="utf-8")
    for name in ("recipe.json", "MODEL_CARD.md"):
        content = (target / name).read_bytes()
        table["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (target / "manifest.json").write_text(json.dumps(table), encoding="utf-8")
    return target


def make_sites(bundle: Path, work: Path, url: str) -> Sites:
    """``one`` (release 1), ``two`` (and 2), ``rotated`` (and two changes of keys), ``unsigned`` (release 9)."""
    www, keys = work / "www", [work / f"key{number}" for number in range(3)]
    sites = Sites(url, [make_key(key) for key in keys])
    packed = bundle.with_name(bundle.name + ".packed")
    first = packed if packed.is_dir() else bundle
    second, third = changed(first, work / "second"), changed(first, work / "third")
    for name in ("one", "two", "rotated"):
        sites.names[name] = publish(first, www / name, sign=keys[0]).release.manifest[:16]
    sites.names["two"] = publish(second, www / "two", sign=keys[0]).release.manifest[:16]
    one, two, three = sites.keys
    publish(second, www / "rotated", sign=keys[0], terms=Terms(keys=(one, two)))
    publish(second, www / "rotated", sign=keys[1], terms=Terms(keys=(two,)))
    publish(second, www / "rotated", sign=keys[1], terms=Terms(keys=(three,)))
    sites.names["rotated"] = publish(third, www / "rotated", sign=keys[2]).release.manifest[:16]
    publish(third, www / "unsigned", terms=Terms(serial=9))
    return sites


def make_scenarios(sites: Sites, work: Path) -> list[Scenario]:
    """The five commands, each with its folder of before."""
    url, (one, _, three), names = sites.url, sites.keys, sites.names

    def pulled(site: str, name: str) -> Path:
        pull(f"{url}/{site}", work / name, users=["u1"], key=one, patience=PATIENCE)
        return work / name

    def again(site: str, *, key: str | None = None) -> Callable[[Path], object]:
        return lambda here: pull(f"{url}/{site}", here, users=["u1"], key=key, patience=PATIENCE)

    def words(site: str) -> list[str]:
        return [f"{url}/{site}", "--user", "u1", "--attempts", "2"]

    def back(here: Path) -> None:
        current = read_current(here)
        if current is not None and current.current == names["two"]:
            rollback(here)

    updated = pulled("one", "updated")
    resumed = Path(shutil.copytree(updated, work / "resumed"))
    card = (work / "second" / "MODEL_CARD.md").read_bytes()
    digest = hashlib.sha256(card).hexdigest()
    (resumed / "partial").mkdir(exist_ok=True)
    (resumed / "partial" / digest).write_bytes(card[:9_000])
    (resumed / "partial" / f"{digest}.etag").write_text(f'"{hashlib.sha1(card).hexdigest()}"', encoding="ascii")
    rolled = pulled("one", "rolled")
    pull(f"{url}/two", rolled, patience=PATIENCE)
    versions = [names["one"], names["two"]]
    return [
        Scenario("first", [*words("one"), "--key", one], work / "nothing", [(), (one,)], [names["one"]], 0,
                 again("one", key=one)),
        Scenario("update", words("two"), updated, [(one,)], versions, 1, again("two")),
        Scenario("resumed", words("two"), resumed, [(one,)], versions, 1, again("two")),
        Scenario("rollback", ["--rollback"], rolled, [(one,)], versions, 2, back),
        Scenario("rotation", words("rotated"), updated, [(one,), (three,)], [names["one"], names["rotated"]], 1,
                 again("rotated")),
    ]  # fmt: skip


@contextlib.contextmanager
def copied(scenario: Scenario, work: Path) -> Iterator[Path]:
    """The device's folder as it is before the command."""
    here = work / "device" / "here"
    here.parent.mkdir()
    if scenario.before.exists():
        shutil.copytree(scenario.before, here)
    try:
        yield here
    finally:
        shutil.rmtree(here.parent)


def traced(scenario: Scenario, here: Path, log: Path, *options: str) -> tuple[int, list[str]]:
    """Run the command in a child that strace attaches to; gives its status and its lines on standard error.

    The child is forked, so that it need not import anything; it waits until strace is there.
    """
    words, told = ["pull", *scenario.words, "--to", str(here)], log.with_name("stderr")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ctypes.CDLL(None).prctl(0x59616D61, -1)  # PR_SET_PTRACER: strace is not an ancestor of this process
            for number, place in ((1, os.devnull), (2, str(told))):
                os.dup2(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
            os.close(writing)
            os.read(reading, 1)
            os._exit(command(words))
        finally:
            os._exit(3)
    os.close(reading)
    strace = ["strace", "-f", "-qq", "-y", "-s", "0", "-o", str(log), *options, "-p", str(child)]
    with subprocess.Popen(strace, stderr=subprocess.PIPE, text=True) as tracer:
        while not re.search(r"TracerPid:\t[1-9]", Path(f"/proc/{child}/status").read_text(encoding="ascii")):
            if tracer.poll() is not None:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise TracerError(" ".join(tracer.communicate()[1].split()))
            time.sleep(0.005)
        os.write(writing, b"x")
        os.close(writing)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, told.read_text(encoding="utf-8").splitlines()


def list_calls(scenario: Scenario, work: Path) -> None:
    """Find the calls of the command that change something in the device's folder."""
    log, counts = work / "trace", Counter[str]()
    with copied(scenario, work) as here:
        status, told = traced(scenario, here, log, "-e", f"trace={','.join(CALLS)}")
        if status:
            raise FaultError(f"{scenario.name} fails without a fault: {told}")
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        first = lines[0].split()[0]
        for line in lines:
            found = LINE.match(line)
            if found and found[1] == first:
                counts[found[2]] += 1
                if str(here) in line and not READING.search(line):
                    scenario.calls.append((found[2], counts[found[2]]))


def attempt(scenario: Scenario, kind: str, call: tuple[str, int], sites: Sites, work: Path) -> str:
    """Run the command with one fault, and check what is left; gives "killed", "refused" or "done".

    An answer may come in other pieces than when the calls were listed; where the fault has met no call of these, the
    command is run again.
    """
    log, (name, number) = work / "fault", call
    for _ in range(5):
        with copied(scenario, work) as here:
            inject = f"inject={name}:{KINDS[kind]}:when={number}"
            status, lines = traced(scenario, here, log, "-e", f"trace={name}", "-e", inject)
            hit = log.read_text(encoding="utf-8", errors="replace").splitlines()
            if kind != "kill" and not any("(INJECTED)" in line and str(here) in line for line in hit):
                continue
            if kind == "kill" and status == 0:
                continue
            outcome = {-9: "killed", 0: "done", 2: "refused"}.get(status, "")
            if not outcome or (outcome == "refused" and (len(lines) != 1 or not lines[0].startswith("error: "))):
                raise FaultError(f"status {status}, and on standard error {lines[-30:]}")
            check(scenario, here, sites)
            return outcome
    raise FaultError("five times the fault met no call of those that were listed")


def check(scenario: Scenario, here: Path, sites: Sites) -> None:
    """Pin, serial and version are there, and the command comes to its end when it is given again."""
    pin = read_pin(here, read_current(here))
    if pin.keys not in scenario.keys:
        raise FaultError(f"pinned are {pin.keys}")
    if pin.serial < scenario.serial:
        raise FaultError(f"the serial is {pin.serial}")
    first = scenario.name == "first"
    if not first or read_current(here) is not None:
        whole(here, scenario.versions)
    if pin.keys:
        refused(f"{sites.url}/unsigned", here, "is not signed")
    scenario.again(here)
    whole(here, scenario.versions if scenario.name == "rollback" else scenario.versions[-1:])
    refused(f"{sites.url}/unsigned", here, "is not signed")
    if not first:
        refused(f"{sites.url}/one", here, "was installed before|is not signed with the pinned key")
        whole(here, scenario.versions)


def whole(here: Path, versions: list[str]) -> None:
    """The version in use is one of these, and all its files are what they should be."""
    try:
        bundle = open_bundle(here)
        if bundle.candidates_of("u1") is None:
            raise FaultError("the user has no candidates")
    except BundleError as error:
        raise FaultError(f"no version can be used: {error}") from None
    if bundle.folder.name not in versions:
        raise FaultError(f"in use is {bundle.folder.name}")
    if sha256_file(bundle.folder / "model.tflite") != bundle.manifest.model_id:
        raise FaultError("the model file is another one")
    for name, entry in bundle.manifest.files.items():
        if (bundle.folder / name).exists() and sha256_file(bundle.folder / name) != entry.sha256:
            raise FaultError(f"{name} is in use in part")


def refused(url: str, here: Path, match: str) -> None:
    """What is offered there is not taken."""
    try:
        pull(url, here, patience=PATIENCE)
    except FetchError as error:
        if not re.search(match, str(error)):
            raise FaultError(f"refused for another reason: {error}") from None
        return
    raise FaultError(f"what {url} offers was taken")


def main() -> int:
    try:
        if shutil.which("strace") is None:
            raise TracerError("no strace here")
        return run()
    except TracerError as error:
        print(f"error: system calls cannot be traced ({error}): install strace, and let it trace", file=sys.stderr)
        return 77


def run() -> int:
    """Try all faults that are asked for, and print the result of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th call (default: 1)")
    parser.add_argument("--scenario", nargs="+", help="only these: first, update, resumed, rollback, rotation")
    parser.add_argument("--kind", nargs="+", choices=list(KINDS), default=list(KINDS), help="only these faults")
    options = parser.parse_args()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    failures, started = 0, time.monotonic()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch).resolve()
        (work / "www").mkdir()
        with serving(work / "www") as server:
            sites = make_sites(options.bundle, work, server.url)
            scenarios = make_scenarios(sites, work)
            if options.scenario:
                scenarios = [one for one in scenarios if one.name in options.scenario]
            for scenario in scenarios:
                list_calls(scenario, work)
            total = sum(len(one.calls[:: options.every]) for one in scenarios) * len(options.kind)
            finished = 0
            for scenario in scenarios:
                for kind in options.kind:
                    outcomes = Counter[str]()
                    for place in range(0, len(scenario.calls), options.every):
                        call = scenario.calls[place]
                        try:
                            outcomes[attempt(scenario, kind, call, sites, work)] += 1
                        except Exception as error:
                            failures += 1
                            outcomes["FAILED"] += 1
                            told = " ".join(f"{type(error).__name__}: {error}".split())
                            print(f"FAILED {scenario.name} {kind} {place} {call}: {told}", file=sys.stderr, flush=True)
                        finished += 1
                    rows.append({"scenario": scenario.name, "fault": kind, "calls": len(scenario.calls), **outcomes})
                    left = (time.monotonic() - started) / finished * (total - finished)
                    print(f"{finished} of {total}, {left / 60:.0f} min left: {rows[-1]}", file=sys.stderr, flush=True)
    print(f"{'command':<10} {'fault':<8} {'calls':>6} {'killed':>7} {'one line':>9} {'no matter':>10} {'failed':>7}")
    for row in rows:
        print(f"{row['scenario']!s:<10} {row['fault']!s:<8} {row['calls']!s:>6} {row.get('killed', 0)!s:>7} "
              f"{row.get('refused', 0)!s:>9} {row.get('done', 0)!s:>10} {row.get('FAILED', 0)!s:>7}")  # fmt: skip
    seconds = round(time.monotonic() - started, 1)
    print(json.dumps({"every": options.every, "faults": total, "failures": failures, "seconds": seconds, "rows": rows}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
