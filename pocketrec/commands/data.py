# SPDX-License-Identifier: Apache-2.0
"""The command ``pocketrec data``: logs before a run. `check` looks at them, `make` writes a made-up one."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.commands.options import add_quiet
from pocketrec.device.base import documents
from pocketrec.device.base.errors import ConfigError, DataError, PocketRecError
from pocketrec.device.cli.command import Command
from pocketrec.device.cli.options import print_rows

if TYPE_CHECKING:
    from pocketrec.cloud.base.progress import Progress

_HELP = "check a log before a run, or write a made-up one"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = "Logs, before anything is trained."
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser(
        "check", help="are the public logs here as published? what would a run read off this log?",
        formatter_class=parser.formatter_class,
        description="Without a name: which public logs of docs/data.md lie in $POCKETREC_DATA, and have they the\n"
        "events, users and items that were published? With names: those. With a log or a configuration\n"
        "(*.toml): read and split it as a run would, and say what is found; nothing is written.\n"
        "The last line is JSON. Exit status 1 where a public log differs or cannot be read.",
    )  # fmt: skip
    check.add_argument("names", metavar="NAME|LOG|CONFIG", nargs="*", help="a public log, a file, a folder or a *.toml")
    check.add_argument("--set", metavar="KEY=VALUE", dest="overrides", action="append", default=[],
                       help="of the configuration, such as data.user=visitor; may be repeated")  # fmt: skip
    add_quiet(check)
    make = actions.add_parser(
        "make", help="write a made-up log as CSV", formatter_class=parser.formatter_class,
        description="Write the made-up log of the demo as CSV: user,item,timestamp,category. People follow habits,\n"
        "everybody's and their own, and change them twice. The last line is JSON.",
    )  # fmt: skip
    make.add_argument("file", metavar="FILE", type=Path, help="the CSV to write")
    make.add_argument("--users", metavar="N", type=int, default=280, help="default: %(default)s")
    make.add_argument("--items", metavar="N", type=int, default=400, help="default: %(default)s")
    make.add_argument("--events", metavar="N", type=int, default=130, help="of a user, about (default: %(default)s)")
    make.add_argument("--seed", metavar="N", type=int, default=1, help="default: %(default)s")


def run(options: argparse.Namespace) -> int:
    """Check or make."""
    return _make(options) if options.action == "make" else _check(options)


def _check(options: argparse.Namespace) -> int:
    from pocketrec.cloud.data.published import PUBLISHED

    known = {log.name: log for log in PUBLISHED}
    logs = [name for name in options.names if name not in known]
    if len(logs) > 1 or (logs and len(options.names) > 1):
        raise ConfigError("name public logs, or one log or configuration of your own: one at a time")
    if logs:
        print(documents.line(_check_own(options, logs[0], known)))
        return 0
    if options.overrides:
        raise ConfigError("--set is for a log or a configuration of your own: name it, or leave out --set")
    return _check_published(options, [known[name] for name in options.names])


def _check_own(options: argparse.Namespace, name: str, known: dict[str, Any]) -> dict[str, Any]:
    """Read and split a log as a run would, and say what is found."""
    from pocketrec.cloud.config.load import config_from_dict, load_config, merged, tables_of
    from pocketrec.cloud.data.detect import detect
    from pocketrec.cloud.data.prepared import look_at
    from pocketrec.stages.prepare import reading_lines

    path = Path(name).expanduser()
    if not path.exists():
        raise DataError(f"no log {name}: name a file, a folder, a configuration, or one of {', '.join(known)}")
    with _progress(options.quiet, "read") as progress:
        if path.suffix.lower() == ".toml":
            config = load_config(path, options.overrides)
            lines = []
        else:
            given = tables_of(options.overrides)
            found = detect(path.resolve(), given.get("data", {}), progress)
            config, lines = config_from_dict(merged(found.tables, given)), found.lines
        prepared, report, _ = look_at(config, progress)
    for line in (*lines, *reading_lines(config, prepared, report)):
        print(line)
    return {"log": str(path), "reading": report.to_dict(), "split": prepared.summary}


def _check_published(options: argparse.Namespace, named: list[Any]) -> int:
    """Count public logs, and show those that are here beside what was published."""
    from pocketrec.cloud.data.location import ENVIRONMENT, data_root
    from pocketrec.cloud.data.published import PUBLISHED, check_published

    found: list[dict[str, Any]] = []
    for log in named or PUBLISHED:
        with _progress(options.quiet, log.name) as progress:
            try:
                found.append(check_published(log, progress))
            except PocketRecError as error:
                found.append({"name": log.name, "state": "unreadable", "why": str(error), "lacks": []})
    print(f"data sets are looked for in {data_root()} (${ENVIRONMENT})")
    rows = []
    for log, one in zip(named or PUBLISHED, found, strict=True):
        counts = [f"{one[key]:,}" if one.get(key) is not None else "" for key in ("events", "users", "items")]
        rows.append((one["name"], *counts, _verdict(log, one)))
    print_rows(("log", "events", "users", "items", ""), rows)
    missing = [log for log, one in zip(named or PUBLISHED, found, strict=True) if one["state"] == "missing"]
    for log in missing:
        print(f"{log.name}: {log.title}; {log.where}: docs/data.md says what the file must be called")
    print(documents.line({"root": str(data_root()), "logs": found}))
    if named and missing:
        raise DataError(f"no {missing[0].name} in {data_root()}: fetch it from {missing[0].where}, or set "
                        f"${ENVIRONMENT} to the folder that has {missing[0].name}/")  # fmt: skip
    return int(any(one["state"] in ("differs", "unreadable") for one in found))


def _verdict(log: Any, found: dict[str, Any]) -> str:
    lacks = f"; without {' and '.join(found['lacks'])}" if found["lacks"] else ""
    verdicts: dict[str, str] = {
        "here": f"as published{lacks}",
        "missing": "not here",
        "differs": f"differs: published are {log.events:,} events, {log.users:,} users, {log.items:,} items{lacks}",
        "unreadable": found.get("why", ""),
    }
    return verdicts[found["state"]]


def _make(options: argparse.Namespace) -> int:
    from pocketrec.cloud.data.synthetic import Shape, simulate
    from pocketrec.cloud.data.synthetic_files import write_csv

    shape = Shape(seed=options.seed, users=options.users, items=options.items, events=options.events)
    made = simulate(shape)
    write_csv(made, options.file)
    print(f"{options.file}: {len(made.log):,} events of {options.users:,} users, {options.items:,} items")
    print(documents.line({"file": str(options.file), "events": len(made.log), "users": options.users,
                          "items": options.items, "seed": options.seed}))  # fmt: skip
    return 0


@contextlib.contextmanager
def _progress(quiet: bool, label: str) -> Iterator[Progress]:
    from pocketrec.cloud.base.progress import TerminalProgress, no_progress

    if quiet:
        yield no_progress
        return
    with TerminalProgress(label) as progress:
        yield progress


COMMANDS = {"data": Command(_HELP, arguments, run)}
