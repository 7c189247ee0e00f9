# SPDX-License-Identifier: Apache-2.0
"""``pocketrec run LOG``: a configuration is made of what the log is, and of a short search before the cut-off.

It is written beside the run, ``RUN.toml``, where it can be edited; from then on it is what the same command runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.commands.options import named_resources
from pocketrec.commands.terminal import LOG_FILE, native_noise_into
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.base.files import write_atomic

if TYPE_CHECKING:
    from typing import TextIO

    from pocketrec.cloud.data.detect import Detected
    from pocketrec.cloud.search.presets import Choice


def is_log(path: str) -> bool:
    """Whether what `run` was given is a log: anything that is there and is not called ``*.toml``."""
    return Path(path).suffix.lower() != ".toml" and Path(path).expanduser().exists()


def configure(options: argparse.Namespace) -> Path:
    """Make ``RUN.toml`` for the log ``options.config``, unless it is there; a search that was interrupted resumes.

    Sets ``options.out`` where it is not given.

    Returns:
        The configuration's file.

    Raises:
        PocketRecError: the log cannot be read, its columns leave a choice, or the folder cannot be written.
    """
    log = Path(options.config).expanduser()
    options.out = options.out or Path("runs", _name(log))
    out: Path = options.out if options.out.name else options.out.resolve()
    file = out.with_name(f"{out.name}.toml")
    with native_noise_into(options.out / LOG_FILE) as terminal:

        def say(line: str) -> None:
            if not options.quiet:
                print(line, file=terminal, flush=True)

        if file.exists():
            _check_same(file, log)
            say(f"{'log':<11} {file} is what is run; without it the log is looked at again")
            return file
        if options.warm_start is not None:
            _as_before(options, log, file)
            say(f"{'log':<11} {file}: the configuration of {options.warm_start}, from whose models the trainings go on")
            return file
        _make(options, log, file, say, None if options.quiet else terminal)
    return file


def _as_before(options: argparse.Namespace, log: Path, file: Path) -> None:
    """The configuration of the run to go on from, for this log: its models decide what the new ones are."""
    from pocketrec.cloud.base.runs import CONFIG_FILE, read_json
    from pocketrec.cloud.config.load import merged, tables_of
    from pocketrec.cloud.config.moved import upgraded

    folder: Path = options.warm_start.expanduser().resolve()
    if not (folder / CONFIG_FILE).exists():
        raise ConfigError(f"--warm-start: {options.warm_start} is no run directory: name one that `pocketrec run` has "
                          "left")  # fmt: skip
    given = tables_of([*options.overrides, *named_resources(options)])
    here = {"data": {"path": str(log.resolve())}, "train": {"warm_start": str(folder)}}
    tables = merged(merged(merged(upgraded(read_json(folder / CONFIG_FILE)), {"data": {"set": ""}}), given), here)
    made = f"Made by `pocketrec run --warm-start {options.warm_start}`, of that run's configuration."
    _write_lines(file, tables, [made, "Edit it and run it again."])


def _make(options: argparse.Namespace, log: Path, file: Path, say: Callable[[str], None],
          terminal: TextIO | None) -> None:
    from pocketrec.cloud.base.runs import CONFIG_FILE, Pipeline, Run
    from pocketrec.cloud.config.load import config_from_dict, merged, tables_of
    from pocketrec.cloud.config.presets import around, presets_for
    from pocketrec.cloud.data.detect import detect
    from pocketrec.stages import STAGES
    from pocketrec.stages.parts import use_threads

    given = tables_of([*options.overrides, *named_resources(options)])
    data = given.get("data", {})
    if not isinstance(data, Mapping):
        raise ConfigError("data is a table: write --set data.user=COLUMN")
    looking = Run(config_from_dict({}), options.out, say, label="log", terminal=terminal)
    with looking.progress() as progress:
        found = detect(log.resolve(), data, progress)
    say(f"{'log':<11} {found.lines[0]}")
    for line in found.lines[1:]:
        looking.detail(line)
    presets = {name: merged(tables, {key: given[key] for key in ("model", "train") if key in given})
               for name, tables in presets_for(found.kind, found.items, found.events).items()}  # fmt: skip
    first = next(iter(presets.values()))
    known = merged(found.tables, given)
    base = merged(merged(around(known.get("split", {}).get("kind", "")), known), first)
    run = Run(config_from_dict(base), options.out, say, label="presets", terminal=terminal)
    Pipeline(STAGES, run).execute(("prepare",))
    use_threads(run)
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.search.presets import choose_preset

    say(f"{'presets':<11} try {len(presets)} presets before the cut-off")
    started = time.monotonic()
    with run.progress() as progress:
        choice = choose_preset(run.config, presets, load_cloud(run.folder), run.folder, say=run.detail,
                               progress=progress)  # fmt: skip
    run.detail(f"taken: {choice.name}, {choice.tables['train']['epochs']} epochs; {time.monotonic() - started:.1f} s")
    _write(file, merged(base, choice.tables), found, choice)
    (run.folder / CONFIG_FILE).unlink(missing_ok=True)  # of the first preset: nobody has changed anything
    run.detail(f"written: {file}, which can be edited; the same command continues with it")


def _write(file: Path, tables: dict[str, Any], found: Detected, choice: Choice) -> None:
    tried = ", ".join(f"{name} {figure:.4f}" for name, figure in choice.figures.items()) or "none could be judged"
    lines = ["Made by `pocketrec run` from what the log is; edit it and run it again.", *found.lines,
             f"Presets for such logs, MRR@20 on the latest part before the cut-off: {tried}.",
             f"Taken: {choice.name}."]  # fmt: skip
    _write_lines(file, tables, lines)


def _write_lines(file: Path, tables: dict[str, Any], lines: Sequence[str]) -> None:
    """Write a configuration behind comments."""
    from pocketrec.cloud.config.load import config_from_dict
    from pocketrec.cloud.config.toml import to_toml

    head = "".join(f"# {' '.join(line.split())}\n" for line in lines)
    text = to_toml(config_from_dict(tables), ("search", "resources"))
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, f"{head}\n{text}".encode())


def _check_same(file: Path, log: Path) -> None:
    """Refuse a configuration of another log."""
    from pocketrec.cloud.config.load import read_tables

    named = str(read_tables(file).get("data", {}).get("path", ""))
    if not named or Path(named).expanduser().resolve() != log.resolve():
        raise ConfigError(f"{file} is the configuration of another log ({named or 'a data set'}): name another folder "
                          "with --out, or delete it")  # fmt: skip


def _name(log: Path) -> str:
    """The name of the run: of the file without its endings, of a data set's usual file that of its folder."""
    name = log.name.split(".")[0] or log.name
    return log.resolve().parent.name if name in ("interactions", "ratings", "u", "UserBehavior") else name
