# SPDX-License-Identifier: Apache-2.0
"""A run: stages in order, each done once, in one folder that only one process works in.

Every stage leaves a marker with a hash of all that its outcome depends on: its part of the configuration, the
markers of the stages before it, and the version of PocketRec. A stage whose marker still fits is not done again; one
that was interrupted resumes where it was; one whose configuration has changed starts afresh, and so does everything
after it. This module knows nothing about what stages there are, and what they do (`pocketrec.stages`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Final, TextIO

from pocketrec import __version__
from pocketrec.cloud.base.fingerprint import fingerprint
from pocketrec.cloud.base.progress import Progress, TerminalProgress, no_progress
from pocketrec.cloud.config.moved import upgraded
from pocketrec.cloud.config.run import RunConfig
from pocketrec.device.base.errors import PocketRecError, StorageError
from pocketrec.device.base.files import write_atomic

CONFIG_FILE = "config.json"
VERSIONS_FILE = "versions.json"
HISTORY_FILE = "metrics.jsonl"
METRICS_FILE = "metrics.json"
MARKERS_FOLDER = "stages"

_BEGUN, _DONE = "begun", "done"
#: What a run does and measures, for handlers of an application: records have ``stage`` and ``run``, and those of
#: measurements ``entry``.
LOG: Final = logging.getLogger("pocketrec.run")
_PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "implicit", "faiss-cpu", "ai-edge-litert", "tflite-runtime")


@dataclass(frozen=True)
class Run:
    """What a stage works on."""

    config: RunConfig
    folder: Path
    """The run directory."""
    say: Callable[[str], None] = field(default=lambda line: None)
    """Takes lines for the person at the terminal."""
    label: str = ""
    """Name of the stage at work, for the progress bar and the history."""
    terminal: TextIO | None = None
    """Where progress is drawn; None = nowhere."""
    workers: Any = None
    """The `pocketrec.cloud.training.distributed.Workers` that train together; None = this process alone."""

    def path(self, *parts: str) -> Path:
        """A path inside the run directory; its folder is made."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def detail(self, line: str) -> None:
        """A line about what the stage found, under its title."""
        self.tell(f"{'':<11} {line}")

    def tell(self, line: str) -> None:
        """A line for the person at the terminal, which goes to the logger `LOG` too."""
        LOG.info("%s", " ".join(line.split()), extra={"stage": self.label, "run": str(self.folder)})
        self.say(line)

    @contextlib.contextmanager
    def progress(self, label: str = "", unit: str = "") -> Iterator[Progress]:
        """A progress callback ``(done, total, note)`` that draws under this stage's name; `unit` is what is counted."""
        if self.terminal is None:
            yield no_progress
            return
        with TerminalProgress(label or self.label, self.terminal, unit) as bar:
            yield bar

    def record(self, entries: Sequence[Mapping[str, Any]], *, replace: bool = False) -> None:
        """Add lines to metrics.jsonl under this stage's name; `replace` takes its earlier lines out.

        Each that is not there yet goes to the logger `LOG` too, with the entry itself as the record's ``entry``.
        """
        lines = [json.dumps({"stage": self.label, **entry}) + "\n" for entry in entries]
        path = self.folder / HISTORY_FILE
        old = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        for entry, line in zip(entries, lines, strict=True):
            if line not in old:
                about = {"stage": self.label, "run": str(self.folder), "entry": dict(entry)}
                LOG.info("%s %s", self.label, json.dumps(entry), extra=about)
        mine = f'{{"stage": "{self.label}",'
        kept = [line for line in old if not (replace and line.startswith(mine))]
        write_atomic(path, "".join([*kept, *lines]).encode("utf-8"))

    def for_stage(self, name: str) -> Run:
        """The same run under the name of a stage."""
        return dataclasses.replace(self, label=name)


@dataclass(frozen=True)
class Stage:
    """One step of a run."""

    name: str
    title: str
    """What it does, a few words for the person at the terminal."""
    needs: tuple[str, ...]
    """Stages whose results it reads."""
    depends: Callable[[RunConfig], Any]
    """All in the configuration (and outside of it) that its outcome depends on, as plain values."""
    work: Callable[[Run], None]
    """Does it, continuing from what an interrupted call with the same configuration has left."""
    leaves: tuple[str, ...]
    """Paths that are there when it is done; a missing one means that it is to be done again."""
    clears: tuple[str, ...] = ()
    """Glob patterns of what is deleted before it starts afresh, besides `leaves`."""
    applies: Callable[[RunConfig], bool] = lambda config: True
    """Whether a run with this configuration has the stage at all; what an earlier one left is then removed."""
    help: str = ""
    """The subcommand that brings it up to date, one line for ``pocketrec --help``; "" = it has none of its own."""
    does: str = ""
    """The same for ``pocketrec NAME --help``: what is done, and what is left where."""
    keyed: bool = True
    """False: its key is not part of those of the stages that need it, which name in their own `depends` all that it
    depends on; and it is done only where one of them is to be done. For a stage that came after runs were made without
    it, so that these stay up to date."""
    outside: Callable[[RunConfig], Any] | None = None
    """What its outcome depends on outside of the run directory, as plain values; () = nothing. Where that is gone (a
    `PocketRecError`) and the stage is done, what it has left is used."""
    also_needs: Callable[[RunConfig], tuple[str, ...]] = lambda config: ()
    """Further stages whose results it reads with this configuration."""


class Pipeline:
    """Stages over one run directory."""

    def __init__(self, stages: Sequence[Stage], run: Run) -> None:
        """Use `stages` in this order on `run`."""
        self.stages, self.run = stages, run
        self._keys: dict[str, str] = {}
        self._outside: dict[str, Any] = {}
        self._gone: dict[str, PocketRecError] = {}

    def execute(self, targets: Sequence[str] | None = None, *, force: bool = False) -> list[str]:
        """Bring the target stages, and all that they need, up to date.

        Args:
            targets: names of stages; None = all.
            force: do the targets again even where they are up to date.

        Returns:
            Names of the stages that were done (not skipped), in order.

        Raises:
            StorageError: the folder cannot be written, or another process works in it.
            PocketRecError: what a stage raises.
        """
        wanted = self._closure([stage.name for stage in self.stages] if targets is None else targets)
        done: list[str] = []
        with _locked(self.run.folder):
            self._note_changes()
            write_json(self.run.folder / CONFIG_FILE, self.run.config.to_dict())
            machine = {"system": platform.platform(), "machine": platform.machine(), "cores": os.cpu_count()}
            write_json(self.run.folder / VERSIONS_FILE, {**versions(), **machine})
            for stage in self.stages:
                if stage.name not in wanted:
                    continue
                if not stage.applies(self.run.config):
                    self._forget(stage)
                    continue
                asked = targets is not None and stage.name in targets
                forced = set(targets or ()) if force else set()
                if not stage.keyed and not asked and not self._is_awaited(stage, wanted, forced):
                    continue
                if self._step(stage, force and asked):
                    done.append(stage.name)
        return done

    def _is_awaited(self, stage: Stage, wanted: set[str], forced: set[str]) -> bool:
        """Whether a stage that needs this one is to be done, or this one is done already."""
        needing = [other for other in self.stages if stage.name in self._needs(other) and other.name in wanted]
        return self._is_done(stage) or any(
            other.name in forced or not self._is_done(other) for other in needing if other.applies(self.run.config)
        )

    def _is_done(self, stage: Stage) -> bool:
        """Whether a stage is up to date."""
        marker = read_json(self._marker(stage))
        whole = all((self.run.folder / path).exists() for path in stage.leaves)
        return marker.get("key") == self.key(stage) and marker.get("state") == _DONE and whole

    def _step(self, stage: Stage, again: bool) -> bool:
        """Do one stage unless it is up to date; whether it was done."""
        run = self.run.for_stage(stage.name)
        key = self.key(stage)
        marker = read_json(self._marker(stage))
        if self._is_done(stage) and not again:
            run.tell(f"{stage.name:<11} up to date")
            return False
        if stage.name in self._gone:
            raise self._gone[stage.name]
        resumes = marker.get("key") == key and marker.get("state") == _BEGUN and not again
        run.tell(f"{stage.name:<11} {'resumes: ' if resumes else ''}{stage.title}")
        if not resumes:
            self._forget(stage)
        begun = marker.get("seconds", 0.0) if resumes else 0.0
        started = time.monotonic()

        def mark(state: str) -> None:
            seconds = round(begun + time.monotonic() - started, 3)
            marker = {"key": key, "state": state, "seconds": seconds}
            if stage.outside is not None:
                marker["outside"] = self._outside[stage.name]
            write_json(self._marker(stage), marker)

        mark(_BEGUN)
        try:
            stage.work(run)
        except BaseException:
            with contextlib.suppress(PocketRecError, OSError):
                mark(_BEGUN)
            raise
        mark(_DONE)
        return True

    def _forget(self, stage: Stage) -> None:
        """Remove all that the stage has left, its marker first."""
        self._marker(stage).unlink(missing_ok=True)
        for pattern in (*stage.leaves, *stage.clears):
            for path in self.run.folder.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.run.for_stage(stage.name).record([], replace=True)

    def key(self, stage: Stage) -> str:
        """Hash of all that the outcome of a stage depends on."""
        if stage.name not in self._keys:
            needs = self._needs(stage)
            needed = [s for s in self.stages if s.name in needs and s.keyed and s.applies(self.run.config)]
            before = [self.key(s) for s in needed]
            depends = stage.depends(self.run.config)
            if stage.outside is not None:
                found = self._outside_of(stage, stage.outside)
                depends = depends if found in ((), []) else [*depends, found]
            plain = [stage.name, __version__, depends, before]
            self._keys[stage.name] = fingerprint(plain)
        return self._keys[stage.name]

    def _outside_of(self, stage: Stage, outside: Callable[[RunConfig], Any]) -> Any:
        """`Stage.outside`; where that is gone, what it was when the stage was done."""
        try:
            found = outside(self.run.config)
        except PocketRecError as error:
            marker = read_json(self._marker(stage))
            found = marker.get("outside")
            self._gone[stage.name] = error
            if marker.get("state") != _DONE or found is None:
                raise
            self.run.tell(f"{stage.name:<11} {error}")
            self.run.tell(f"{'':<11} continuing with what it has left in {self.run.folder}")
        self._outside[stage.name] = found
        return found

    def _closure(self, targets: Sequence[str]) -> set[str]:
        """The targets and all that they need; a stage that the run does not have needs nothing."""
        by_name = {stage.name: stage for stage in self.stages}
        wanted, queue = set(targets), list(targets)
        while queue:
            stage = by_name[queue.pop()]
            for need in self._needs(stage) if stage.applies(self.run.config) else ():
                if need not in wanted:
                    wanted.add(need)
                    queue.append(need)
        return wanted

    def _needs(self, stage: Stage) -> tuple[str, ...]:
        return (*stage.needs, *stage.also_needs(self.run.config))

    def _marker(self, stage: Stage) -> Path:
        return self.run.folder / MARKERS_FOLDER / f"{stage.name}.json"

    def _note_changes(self) -> None:
        """Say what the configuration has that the last run in this folder had not."""
        old = read_json(self.run.folder / CONFIG_FILE)
        if not old:
            return
        changes = [
            f"{name} {before!r} -> {after!r}"
            for name, before, after in _differences(_flat(upgraded(old)), _flat(self.run.config.to_dict()))
            if not name.startswith("resources.")
        ]
        if changes:
            self.run.tell(f"changed since the last run in {self.run.folder}: {'; '.join(changes)}")
            self.run.tell("stages that depend on it are done again")


def versions() -> dict[str, Any]:
    """Versions of all that shapes a run, without importing any of it."""
    found: dict[str, Any] = {"pocketrec": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def stage_seconds(folder: Path) -> dict[str, float]:
    """Seconds of work of each finished stage of a run directory, over all the calls that it took."""
    markers = {path.stem: read_json(path) for path in sorted((folder / MARKERS_FOLDER).glob("*.json"))}
    return {name: float(marker["seconds"]) for name, marker in markers.items() if marker.get("state") == _DONE}


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the run directory for this process; the system releases it when the process ends, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot use {folder} ({error.strerror}): name another folder with --out") from None
    with file:
        _lock(file, folder)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _lock(file: IO[str], folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # no such lock on this system: two runs in one folder are the user's own care
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        process = file.read().strip()
        raise StorageError(
            f"{folder} is in use by process {process}: wait until it ends, or name another folder with --out"
        ) from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write one JSON document, atomically."""
    write_atomic(path, (json.dumps(content, indent=1) + "\n").encode("utf-8"))


def read_json(path: Path) -> dict[str, Any]:
    """The content, or nothing where there is no whole file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    names = sorted(old.keys() | new.keys())
    return [(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]
