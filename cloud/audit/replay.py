# SPDX-License-Identifier: Apache-2.0
"""Replay: run a program on two logs with one past and two futures, and compare all that it writes.

What is made of the past must not depend on the future (non-interference). This finds what no list of checks knows, in
any program. First the program runs twice on the same log: a file that differs then says nothing, and is named as
irreproducible. What it cannot see: choices that a person made after looking at the test, and files that are made of
the future on purpose, such as test sets and figures: name what is to be compared.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pocketrec.cloud.audit.altered import Altered, altered_log
from pocketrec.cloud.audit.finding import CANNOT_TELL, FAIL, OK, Finding, Row, Verdict
from pocketrec.cloud.audit.tables import USUAL, Columns
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.device.base.errors import ConfigError, DataError
from pocketrec.device.base.files import storage_error

TIMEOUT: Final = 3600.0
_SHOWN: Final = 3  # files that are named
_CHUNK: Final = 1 << 20
_ADVICE: Final = (
    "Find what reads events at or after the cut: counts, filters, vocabularies and scalers of the whole log."
)
_REPRODUCE: Final = "Fix seeds, threads and time stamps, or leave such files out with --ignore."
_FAILED: Final = "See why; where it reads the future on purpose, stop it before that."


@dataclass(frozen=True)
class Replay:
    """What is replayed."""

    command: str
    """The program with its arguments; ``{log}`` and ``{out}`` stand for the log's file and an empty folder."""
    log: Path
    cut: str
    """A number in the unit of the log's times, a date, or a share of the events such as ``80%``."""
    columns: Columns = USUAL
    alter: tuple[str, ...] = ()
    """Further columns whose later values are changed, such as a rating."""
    compare: tuple[str, ...] = ()
    """Patterns of files in ``{out}`` that are compared; () = all."""
    ignore: tuple[str, ...] = ()
    """Patterns of files that are not."""
    timeout: float = TIMEOUT
    """Most seconds of one run."""


@dataclass(frozen=True)
class Outcome:
    """How one run of the program ended."""

    folder: Path
    """What it wrote."""
    status: int
    errors: str
    """The end of what it wrote to standard error, on one line."""


def replay(job: Replay, progress: Progress = no_progress) -> Verdict:
    """Run the program three times and compare.

    Args:
        job: program, log and cut.
        progress: called with the runs done.

    Raises:
        ConfigError: the command cannot be started or has no ``{log}`` and ``{out}``.
        DataError: the log cannot be read or cut, or the program fails, is too slow or writes nothing.
        StorageError: there is no room for two copies of the log and three outputs.
    """
    words = _words(job)
    try:
        with tempfile.TemporaryDirectory(prefix="pocketrec-replay-") as folder:
            return _replay(job, words, Path(folder), progress)
    except OSError as error:
        raise storage_error(tempfile.gettempdir(), error) from None


def _replay(job: Replay, words: Sequence[str], folder: Path, progress: Progress) -> Verdict:
    logs = altered_log(job.log, job.cut, job.columns, job.alter, folder / "logs")
    outcomes = []
    for number, (log, what) in enumerate(((logs.same, "the log"), (logs.same, "the log again"),
                                          (logs.other, "another future"))):  # fmt: skip
        progress(number, 3, what)
        outcomes.append(_run(job, words, log, folder, number))
        if number < 2 and outcomes[-1].status:
            raise DataError(f"the program ended with status {outcomes[-1].status} on {what}: "
                            f"{outcomes[-1].errors or 'nothing on standard error'}: correct it first")  # fmt: skip
    progress(3, 3)
    return Verdict(f"replay of {job.command}", (_row(job, logs, outcomes),), {}, ())


def _row(job: Replay, logs: Altered, outcomes: Sequence[Outcome]) -> Row:
    first, again, other = outcomes
    names = sorted(name for name in {*_files(first.folder), *_files(again.folder)} if _wanted(name, job))
    if not names:
        raise DataError("the program wrote no file into {out} that is to be compared: let it write there, or change "
                        "--compare and --ignore")  # fmt: skip
    irreproducible = differing(first.folder, again.folder, names)
    everything = sorted({*names, *(name for name in _files(other.folder) if _wanted(name, job))})
    leaking = [name for name in differing(first.folder, other.folder, everything) if name not in irreproducible]
    figures = {"files": len(names), "leaking": leaking, "irreproducible": irreproducible, "altered": logs.altered,
               "events": logs.events, "status": other.status, "stderr": other.errors}  # fmt: skip
    changed = f"{logs.altered:,} of {logs.events:,} events lie at or after the cut and were changed"
    ended = ""
    if other.status:
        ended = f"; on the other future it ended with status {other.status}: {other.errors}"
        leaking = [name for name in leaking if not _cut_short(first.folder / name, other.folder / name)]
    if leaking:
        where = "; ".join(_where(first.folder, other.folder, name, logs) for name in leaking[:_SHOWN])
        more = f" and {len(leaking) - _SHOWN} more" if len(leaking) > _SHOWN else ""
        sentence = f"{len(leaking)} of {len(names)} files depend on the future: {where}{more} ({changed}){ended}."
        return Row("replay", Finding(FAIL, sentence, len(leaking), len(leaking) / len(names), figures), _ADVICE)
    if irreproducible:
        shown = ", ".join(irreproducible[:_SHOWN]) + (" and more" if len(irreproducible) > _SHOWN else "")
        same = len(names) - len(irreproducible)
        sentence = (f"Cannot tell: two equal runs differ in {shown}; the other {same} files "
                    f"do not depend on the future ({changed}){ended}.")  # fmt: skip
        return Row("replay", Finding(CANNOT_TELL, sentence, len(irreproducible), None, figures), _REPRODUCE)
    if other.status:
        sentence = f"Cannot tell: the program works on the log{ended}."
        return Row("replay", Finding(CANNOT_TELL, sentence, other.status, None, figures), _FAILED)
    sentence = f"None of {len(names)} files depends on the future: {changed}."
    return Row("replay", Finding(OK, sentence, 0, 0.0, figures), "")


def _cut_short(whole: Path, part: Path) -> bool:
    """Whether a file is missing or ends early, as those of a program that failed do."""
    return not part.is_file() or first_difference(whole, part) == part.stat().st_size < whole.stat().st_size


def differing(one: Path, other: Path, names: Sequence[str]) -> list[str]:
    """Names of the files that differ in a byte or are in one folder alone."""
    return [name for name in names if first_difference(one / name, other / name) is not None]


def first_difference(one: Path, other: Path) -> int | None:
    """Place of the first byte that differs, from 0; None where the files are equal. A missing file is an empty one
    that differs at byte 0."""  # fmt: skip
    if one.is_file() != other.is_file():
        return 0
    if not one.is_file():
        return None
    place = 0
    with one.open("rb") as left, other.open("rb") as right:
        while True:
            parts = left.read(_CHUNK), right.read(_CHUNK)
            if parts[0] != parts[1]:
                size = min(map(len, parts))
                return place + next((at for at in range(size) if parts[0][at] != parts[1][at]), size)
            if not parts[0]:
                return None
            place += len(parts[0])


def _where(one: Path, other: Path, name: str, logs: Altered) -> str:
    place = first_difference(one / name, other / name)
    if not (other / name).exists():
        return f"{name} is missing on the other future"
    canary = logs.canary_item.encode()
    held = len(canary) >= 6 and canary in (other / name).read_bytes()
    return f"{name} from byte {place}{' (it holds the canary item)' if held else ''}"


def _run(job: Replay, words: Sequence[str], log: Path, folder: Path, number: int) -> Outcome:
    """One run. Log and output lie at the same paths every time, so that a path in a file is not a difference."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    out = work / "out"
    out.mkdir(parents=True)
    place = work / job.log.name
    os.replace(shutil.copyfile(log, work / ".log"), place)
    os.utime(place, (0, 0))
    command = [word.replace("{log}", str(place)).replace("{out}", str(out)) for word in words]
    errors = folder / "stderr"
    with errors.open("wb") as file:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file,
                                       start_new_session=True)  # fmt: skip
        except OSError as error:
            raise ConfigError(f"cannot start {command[0]!r} ({error.strerror}): correct --replay") from None
        try:
            status = process.wait(job.timeout)
        except subprocess.TimeoutExpired:
            said = _tail(errors) or "nothing on standard error"
            raise DataError(f"the program did not end in {job.timeout:g} s ({said}): raise --timeout") from None
        finally:
            _end(process)
    kept = folder / f"out{number}"
    os.replace(out, kept)
    return Outcome(kept, status, _tail(errors))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and all that it started (they share a session of their own)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(path: Path) -> str:
    """The last words on standard error, on one line."""
    with contextlib.suppress(OSError):
        lines = path.read_bytes()[-2000:].decode("utf-8", "replace").split("\n")
        return " ".join(" ".join(line for line in lines if line.strip()).split())[-300:]
    return ""


def _words(job: Replay) -> list[str]:
    try:
        words = shlex.split(job.command)
    except ValueError as error:
        raise ConfigError(f"cannot read the command of --replay ({error}): correct its quotes") from None
    if not all(any(mark in word for word in words) for mark in ("{log}", "{out}")):
        raise ConfigError('--replay needs {log} and {out} in the command, such as "python prepare.py {log} {out}"')
    if not job.timeout > 0:
        raise ConfigError(f"--timeout must be above 0, and is {job.timeout:g}")
    return words


def _files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _wanted(name: str, job: Replay) -> bool:
    def among(patterns: Sequence[str]) -> bool:
        return any(fnmatch.fnmatch(name, pattern) or name.startswith(pattern.rstrip("/") + "/") for pattern in patterns)

    return (not job.compare or among(job.compare)) and not among(job.ignore)
