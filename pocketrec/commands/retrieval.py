# SPDX-License-Identifier: Apache-2.0
"""The command ``pocketrec retrieval``: what the first stage keeps, and lists at the cut-off, of finished runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.commands.options import add_quiet
from pocketrec.device.base import documents
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.cli.command import Command

if TYPE_CHECKING:
    from pocketrec.cloud.base.runs import Run
    from pocketrec.cloud.rankers.ranker import Ranker

_HELP = "what retrieval keeps of the ranker's order, and lists at the cut-off, beside simple systems"
_COUNTS = (100, 200, 500, 1000)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Measure one or several runs of one log (other seeds, say, whose figures are averaged) at the cut-off: one\n"
        "list a user, known positives removed; systems tuned on an earlier cut beside the model's; and for each\n"
        "source of candidates what it keeps of the ranker's best 100 of the whole catalogue, CPU time and bytes.\n"
        "Writes RUN/retrieval.json; prints tables, and one JSON document as the last line."
    )
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="run directory with a trained model")
    parser.add_argument("--candidates", metavar="C,C,..", default=",".join(map(str, _COUNTS)),
                        help="numbers of candidates (default: %(default)s)")  # fmt: skip
    parser.add_argument("--users", metavar="N", type=int, default=0, help="Old and New users each, drawn; 0 = all")
    add_quiet(parser)


def run(options: argparse.Namespace) -> None:
    """Measure and print."""
    from pocketrec.cloud.base.runs import write_json
    from pocketrec.cloud.retrieval.measure import measure
    from pocketrec.cloud.retrieval.report import summary, tables
    from pocketrec.stages.parts import use_threads

    counts = _counts(options.candidates)
    if options.users < 0:
        raise ConfigError(f"--users {options.users}: give a number of users, or 0 for all")
    found: list[Any] = []
    for folder in options.runs:
        work = _run(folder, options.quiet)
        use_threads(work)
        ranker = _ranker(work)
        chosen = found[0].options if found else None
        with work.progress() as progress:
            found.append(measure(work.config, folder, ranker, counts, options.users, chosen, progress))
    figures = summary(found)
    for folder in options.runs:
        write_json(folder / "retrieval.json", figures)
    print(tables(figures))
    print(documents.line(figures))


def _counts(text: str) -> tuple[int, ...]:
    try:
        found = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        found = ()
    if not found or found[0] < 1:
        raise ConfigError(f"--candidates {text}: give numbers such as 100,200")
    return found


def _run(folder: Path, quiet: bool) -> Run:
    from pocketrec.cloud.base.runs import CONFIG_FILE, Run, read_json
    from pocketrec.cloud.config.load import stored_config

    stored = read_json(folder / CONFIG_FILE)
    if not stored or not (folder / "train" / "model.keras").exists():
        raise ConfigError(f"{folder} is no run with a trained model: name one that `pocketrec train` has made")
    config = stored_config(stored)
    if not config.split.personal:
        raise ConfigError(f"{folder}: its users never come back, so nobody has a list at the cut-off")
    return Run(config, folder, label="retrieval", terminal=None if quiet else sys.stderr)


def _ranker(work: Run) -> Ranker:
    """The second stage's, shipped or not; the inner product where the run has none."""
    from pocketrec.cloud.rankers import make_ranker
    from pocketrec.stages.rank import TENSORS_FILE, trained_ranker
    from pocketrec.stages.ranker_way import ranks

    if not ranks(work.config):
        return make_ranker(work.config.ranker)
    if work.config.ranker.joint:
        from pocketrec.cloud.backbones import load_model

        return make_ranker(work.config.ranker, load_model(work.folder / "train" / "model.keras"))
    if not (work.folder / TENSORS_FILE).exists():
        raise ConfigError(f"{work.folder} has no ranker yet: run `pocketrec rank` first")
    found: Ranker = trained_ranker(work)
    return found


COMMANDS = {"retrieval": Command(_HELP, arguments, run)}
