# SPDX-License-Identifier: Apache-2.0
"""Run parts of the tests, targets of make, two at a time: ``python tests/parts.py --results FOLDER PART[:SLOTS]...``.

A part is the target of that name. It takes one of two slots, or as many as stand behind its name: none (``:0``) for a
part that often waits, which runs beside the others. Where this process may use one core only, one part runs at a time.
Each part's output appears in one piece when it has ended, with its wall
time and the CPU time of its processes, and a part that fails stops no other. Counts come from the JUnit files that a
part leaves in FOLDER: PART.xml, or any in FOLDER/PART/. A part without such files counts as one test. A part that
cannot run here writes the reason to FOLDER/PART.skipped, which with CI=true is a failure.

With ``--again N``, where N tests or fewer failed in all, those are run once more, one part after the other, when all
parts have ended. A test that passes then counts as passed, and a line ``UNSTEADY PART: TEST`` names it. It needs a fix
as a failure does: as a rule there is a bug, in the test or in the product, but seldom one of the change under test.
The ids of those tests are read from FOLDER/PART.failed (see tests/conftest.py). A part is not run again where anything
but tests failed (a crash, a session that was stopped), and stays failed where not exactly those tests ran again.

The last line is ``N passed, N failed``, with ``, N skipped`` behind it where tests were skipped. Exit status 1 if
anything failed. Only the standard library is used.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Part:
    """One target and what became of it."""

    name: str
    slots: int = 1
    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    """Names of failed tests, or what is wrong with the part itself."""
    broken: bool = False
    """Something else failed than tests."""
    unsteady: list[str] = field(default_factory=list)
    """Names of tests that failed, and passed when they were run again."""
    wall: float = 0.0
    cpu: float = 0.0

    @classmethod
    def parse(cls, word: str) -> Part:
        name, _, slots = word.partition(":")
        return cls(name, int(slots) if slots else 1)


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def in_ci() -> bool:
    """Whether the tests run where everything they need has to be there."""
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", action="store_true", help="print how many cores may be used, and end")
    parser.add_argument("parts", nargs="*", type=Part.parse, metavar="PART[:SLOTS]")
    parser.add_argument("--results", type=Path, default=Path("build/results"), help="where parts leave JUnit files")
    parser.add_argument("--again", type=int, default=0, metavar="N", help="run up to N failed tests once more (0)")
    parser.add_argument("--make", default="make", help="the make to call")
    options = parser.parse_args(arguments)
    if options.cores:
        print(cores())
        return 0
    options.results.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        run(options.parts, options.results, options.make)
        if sum(len(part.failed) for part in options.parts) <= options.again:
            run_again([part for part in options.parts if part.failed], options.results, options.make)
    except KeyboardInterrupt:
        print("interrupted: no part is left running", file=sys.stderr)
        return 130
    for line in summary(options.parts, time.monotonic() - started):
        print(line, flush=True)
    return int(any(part.failed for part in options.parts))


def run(parts: list[Part], results: Path, make: str, only: dict[str, str] | None = None) -> None:
    """Run all parts, in their order as far as free slots allow; `only`: variables of their environment."""
    free = total = min(2, cores())
    waiting = list(parts)
    running: dict[int, tuple[Part, subprocess.Popen[bytes], float]] = {}

    def slots(part: Part) -> int:
        return min(part.slots, total) if total > 1 else 1

    try:
        while waiting or running:
            ready = next((part for part in waiting if slots(part) <= free), None)
            if ready is not None:
                waiting.remove(ready)
                free -= slots(ready)
                print(f"--- {ready.name} begins", flush=True)
                process = begin(ready, results, make, only or {})
                running[process.pid] = (ready, process, time.monotonic())
                continue
            pid, status, usage = os.wait4(-1, 0)
            if pid not in running:
                continue
            part, process, began = running.pop(pid)
            process.returncode = os.waitstatus_to_exitcode(status)
            part.wall, part.cpu = time.monotonic() - began, usage.ru_utime + usage.ru_stime
            free += slots(part)
            finish(part, process.returncode, results)
    finally:
        for _, process, _ in running.values():  # interrupted
            process.terminate()
            process.wait()


def run_again(failed: list[Part], results: Path, make: str) -> None:
    """Run the tests that failed once more, alone."""
    for part in failed:
        names = results / f"{part.name}.failed"
        ids = set(names.read_text(encoding="utf-8").splitlines()) if names.is_file() else set()
        if part.broken or len(ids) != len(part.failed):
            continue
        print(f"--- again: {', '.join(part.failed)}", flush=True)
        for ending in (".xml", ".log"):
            if (first := results / f"{part.name}{ending}").is_file():
                first.replace(results / f"{part.name}.first{ending}")
        again = Part(part.name)
        run([again], results, make, {"POCKETREC_ONLY": str(names.absolute())})
        part.wall, part.cpu = part.wall + again.wall, part.cpu + again.cpu
        wrong = set(again.failed)
        if not again.broken and wrong <= set(part.failed) and again.passed + len(wrong) == len(ids):
            part.unsteady = [name for name in part.failed if name not in wrong]
            part.failed = [name for name in part.failed if name in wrong]
            part.passed += len(part.unsteady)


def begin(part: Part, results: Path, make: str, only: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a part, without what an earlier run of it has left."""
    shutil.rmtree(results / part.name, ignore_errors=True)
    names = results / f"{part.name}.failed"
    for file in (results / f"{part.name}.xml", results / f"{part.name}.skipped", *([] if only else [names])):
        file.unlink(missing_ok=True)
    # The flags of the make that called us name its own job server; its variables are in the environment too.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")} | only
    if not only:
        environment.setdefault("POCKETREC_FAILED", str(names.absolute()))  # one file where a part has parts itself
    with (results / f"{part.name}.log").open("wb") as log:
        return subprocess.Popen(
            [make, "--no-print-directory", part.name], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )


def finish(part: Part, status: int, results: Path) -> None:
    """Count what a part that has ended did, and print its output."""
    folder = results / part.name
    files = [file for file in (results / f"{part.name}.xml", *sorted(folder.rglob("*.xml"))) if file.is_file()]
    for file in files:
        count(part, file)
    reason = results / f"{part.name}.skipped"
    if reason.is_file():
        text = f"skipped: {reason.read_text(encoding='utf-8').strip()}"
        if in_ci():
            fail(part, f"in CI nothing may be missing, and this part was {text}")
        else:
            part.skipped += 1
    elif status and not part.failed:
        fail(part, f"ended with status {status}: see its output above")
    elif not files and not status:
        part.passed += 1
    print(f"=== {part.name}: {'FAILED' if part.failed else 'passed'}, {clock(part.wall)}, CPU {clock(part.cpu)}")
    print((results / f"{part.name}.log").read_text(encoding="utf-8", errors="replace"), flush=True)


def fail(part: Part, reason: str) -> None:
    """Count a failure that is not a test's; where these parts are a part themselves, that one is told too."""
    part.failed.append(reason)
    part.broken = True
    if outer := os.environ.get("POCKETREC_FAILED"):
        with open(outer, "a", encoding="utf-8") as file:
            file.write(f"{part.name}: {reason}\n")


def count(part: Part, file: Path) -> None:
    """Add the tests of one JUnit file."""
    try:
        cases = list(ElementTree.parse(file).getroot().iter("testcase"))
    except ElementTree.ParseError as error:
        fail(part, f"{file} cannot be read: {error}")
        return
    for case in cases:
        if case.find("failure") is not None or case.find("error") is not None:
            part.failed.append(f"{case.get('classname', '')}::{case.get('name', '')}")
        elif case.find("skipped") is not None:
            part.skipped += 1
        else:
            part.passed += 1


def summary(parts: list[Part], wall: float) -> list[str]:
    """The table of all parts, what failed, and the line of counts."""
    lines = [f"{'part':<22} {'passed':>7} {'failed':>7} {'skipped':>8} {'wall':>7} {'CPU':>7}"]
    for part in parts:
        lines.append(f"{part.name:<22} {part.passed:>7} {len(part.failed):>7} {part.skipped:>8} "
                     f"{clock(part.wall):>7} {clock(part.cpu):>7}")  # fmt: skip
    lines.append(f"{'all':<22} {'':>7} {'':>7} {'':>8} {clock(wall):>7} {clock(sum(part.cpu for part in parts)):>7}")
    for part in parts:
        lines += [f"UNSTEADY {part.name}: {name}" for name in part.unsteady]
        lines += [f"FAILED {part.name}: {name}" for name in part.failed]
    passed, failed = sum(part.passed for part in parts), sum(len(part.failed) for part in parts)
    skipped = sum(part.skipped for part in parts)
    return [*lines, f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")]


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


if __name__ == "__main__":
    sys.exit(main())
