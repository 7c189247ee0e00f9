# SPDX-License-Identifier: Apache-2.0
"""The command ``pocketrec audit``: leaks and other faults of an evaluation, in our runs and in anybody's."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pocketrec.device.base import documents
from pocketrec.device.base.errors import ConfigError, DataError
from pocketrec.device.cli.command import Command

if TYPE_CHECKING:
    from pocketrec.cloud.audit.case import Parts
    from pocketrec.cloud.audit.finding import Verdict
    from pocketrec.cloud.audit.tables import Columns

_HELP = "find leaks and other faults of an evaluation, in a run or in anybody's files"

_FILES = {
    "train": "training events: CSV, TSV, Parquet, RecBole .inter, MovieLens, NCF, or lines of `user item item ...`",
    "test": "events to be predicted, in any of these forms",
    "valid": "events that configurations are chosen by",
    "negatives": "negatives of training (columns user, item), or of the evaluation (NCF's .negative)",
    "candidates": "candidate sets (columns user, item)",
    "predictions": "scores (columns user, item, score), best of all items for every user",
    "items": "items that the model knows: a list, the most popular first, or a table with a column item (and count)",
    "results": "reported figures: one JSON object; or a table with a row for each trial (and user)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.usage = (
        "pocketrec audit RUN | CONFIG | PREFIX [options]\n"
        "       pocketrec audit --train F --test F [--valid F] [--negatives F] [--candidates F] [--predictions F]"
        " [--items F] [--results F]\n"
        "       pocketrec audit --replay CMD --log F --cut T"
    )
    parser.description = (
        "Look for leaks and other faults of an evaluation: RUN is a run directory, CONFIG a .toml file (its log and\n"
        "split, before any training), PREFIX the beginning of x.train.inter, x.valid.inter, x.test.inter, or a folder\n"
        "with files train, valid and test. All counts are made by pandas alone. Prints a table, and one JSON document\n"
        "as the last line. Exit status 0: no check failed; 1: at least one failed; 2: unusable input."
    )
    parser.add_argument("target", metavar="RUN|CONFIG|PREFIX", nargs="?", help="what to audit, where no file is named")
    files = parser.add_argument_group("anybody's split")
    for name, text in _FILES.items():
        files.add_argument(f"--{name}", metavar="F", type=Path, help=text)
    for name in ("user", "item", "time"):
        files.add_argument(f"--{name}-column", metavar="NAME", default="", help=f"column of the {name}, in every file")
    files.add_argument("--new-items-only", action="store_true", help="the protocol promises that no target is an item "
                       "that its user had in training")  # fmt: skip
    files.add_argument("--cold-users", action="store_true", help="the protocol promises test users without training")
    again = parser.add_argument_group("replay: any program, on two logs with one past and two futures")
    again.add_argument("--replay", metavar="CMD", help='such as "python prepare.py {log} {out}"; {log} is the log\'s '
                       "file, {out} an empty folder")  # fmt: skip
    again.add_argument("--log", metavar="F", type=Path, help="the log; beside --train, the whole log that was split")
    again.add_argument("--cut", metavar="T", help="first time that the program must not see: a number, a date, or a "
                       "share of the events such as 80%%")  # fmt: skip
    again.add_argument("--compare", metavar="PATTERN", action="append", default=[],
                       help="files in {out} to compare (default: all); may be repeated")  # fmt: skip
    again.add_argument("--ignore", metavar="PATTERN", action="append", default=[], help="files to leave out")
    again.add_argument("--alter", metavar="COLUMN", action="append", default=[],
                       help="a further column, such as rating, whose later values are changed, too")  # fmt: skip
    again.add_argument("--timeout", metavar="S", type=float, default=3600.0,
                       help="time limit of each of the three runs, in seconds (default: 3600)")  # fmt: skip
    parser.add_argument("--set", metavar="KEY=VALUE", dest="overrides", action="append", default=[],
                        help="change a value of CONFIG; may be repeated")  # fmt: skip
    parser.add_argument("--session-gap", metavar="S", type=float,
                        help="pause that ends a session, in the unit of the times (default: 30 minutes)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="leave out checks that read the log again or train ALS")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write a page, too")
    parser.add_argument("--quiet", action="store_true", help="no progress, only results and errors")
    parser.epilog = "What each check finds, why, and what to do: docs/audit.md"


def run(options: argparse.Namespace) -> int:
    """Audit, print, and give the exit status.

    Raises:
        PocketRecError: the input cannot be used.
    """
    try:
        import numpy
        import pandas
    except ImportError as error:
        raise ConfigError(f"audit needs pandas ({error}): pip install 'pocketrec[audit]'") from None
    del numpy, pandas
    from pocketrec.cloud.audit.finding import as_text

    try:
        verdict = _verdict(options)
    except ModuleNotFoundError as error:
        raise ConfigError(f"this audit needs {error.name}: pip install 'pocketrec[audit]'") from None
    document = verdict.to_dict()
    print(as_text(verdict))
    if options.html is not None:
        from pocketrec.cloud.audit.html import write_page

        write_page(verdict, options.html)
        document["page"] = str(options.html)
        print(f"\npage    {options.html}")
    print(documents.line(document))
    return verdict.status


def _verdict(options: argparse.Namespace) -> Verdict:
    from pocketrec.cloud.audit.table import audit
    from pocketrec.cloud.audit.tables import Columns
    from pocketrec.cloud.base.progress import TerminalProgress, no_progress

    columns = Columns(options.user_column, options.item_column, options.time_column)
    _one_target(options)
    with contextlib.ExitStack() as stack:
        bar = no_progress if options.quiet else stack.enter_context(TerminalProgress("audit", sys.stderr))
        if options.replay is not None:
            from pocketrec.cloud.audit.replay import Replay, replay

            return replay(Replay(
                options.replay, options.log, options.cut, columns, tuple(options.alter), tuple(options.compare),
                tuple(options.ignore), options.timeout,
            ), bar)  # fmt: skip
        return audit(_parts(options, columns), quick=options.quick, progress=bar)


def _parts(options: argparse.Namespace, columns: Columns) -> Parts:
    from pocketrec.cloud.audit.files import Files, benchmark_files, parts_of_files, with_files

    target = None if options.target is None else Path(options.target)
    own: Parts | None = None
    if target is not None and target.is_dir() and (target / "config.json").exists():
        from pocketrec.cloud.audit.own import parts_of_run

        own = parts_of_run(target, recounted=not options.quick)
    elif target is not None and target.suffix == ".toml":
        from pocketrec.cloud.audit.own import parts_of_config
        from pocketrec.cloud.config.load import load_config

        own = parts_of_config(load_config(target, options.overrides), str(target))
    elif target is not None:
        found = benchmark_files(target)
        if not {"train", "test"} <= found.keys():
            raise DataError(f"{target} is not a run directory and no .toml file, and there are no files "
                            f"{target}.train.inter and {target}.test.inter: name one of these, or --train and "
                            "--test")  # fmt: skip
        for part, path in found.items():
            setattr(options, part, getattr(options, part) or path)
    files = Files(
        options.train, options.test, options.valid, options.negatives, options.candidates, options.predictions,
        options.items, options.results, options.log, columns, options.new_items_only, options.cold_users,
        options.session_gap, 1 if own is None else own.seed,
    )  # fmt: skip
    return parts_of_files(files) if own is None else with_files(own, files)


def _one_target(options: argparse.Namespace) -> None:
    """See that exactly one thing to audit is named, whole.

    Raises:
        ConfigError: it is not.
    """
    named = [name for name in _FILES if getattr(options, name) is not None]
    if options.replay is not None:
        missing = [name for name in ("log", "cut") if getattr(options, name) is None]
        if missing:
            raise ConfigError(f"--replay needs {' and '.join(f'--{name}' for name in missing)} too")
        if options.target or named:
            raise ConfigError("--replay takes --log and --cut, and no other target: audit that separately")
    elif options.target is None and not {"train", "test"} <= set(named):
        raise ConfigError("name what to audit: a run directory, a .toml file, the prefix of split files, --train and "
                          "--test, or --replay")  # fmt: skip
    elif options.target is not None and {"train", "test"} & set(named):
        raise ConfigError("name a target or --train and --test, not both")
    if options.replay is None:
        for name in ("cut", "compare", "ignore", "alter"):
            if getattr(options, name):
                raise ConfigError(f"--{name} belongs to --replay: add that, or leave it out")
    if options.overrides and not str(options.target).endswith(".toml"):
        raise ConfigError("--set changes a configuration: name a .toml file, or leave it out")
    if options.html is not None and (not options.html.name or options.html.is_dir()):
        raise ConfigError(f"--html {options.html} is a folder: name a file, such as audit.html")
    if options.session_gap is not None and not options.session_gap >= 0:
        raise ConfigError(f"--session-gap must not be negative, and is {options.session_gap:g}")


COMMANDS = {"audit": Command(_HELP, add_arguments, run)}
