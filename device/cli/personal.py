# SPDX-License-Identifier: Apache-2.0
"""The device's subcommands: personalise and recommend; mounted by `pocketrec.cli`.

Each command prints a table, and as its last line one JSON document with the same content. Neither TensorFlow nor pandas
is imported, and no network connection is opened.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pocketrec.device.base.errors import ConfigError, DataError
from pocketrec.device.cli.command import Command
from pocketrec.device.cli.options import (
    common_options,
    events_options,
    key_of,
    listed,
    named_time,
    print_json,
    print_rows,
    print_table,
    read,
    runtime_options,
    state_path,
    store_options,
    store_path,
    task_option,
    warn_if_read_only,
)
from pocketrec.device.cli.places import remember

if TYPE_CHECKING:
    import argparse

    from pocketrec.device.personal.budget import Budget
    from pocketrec.device.recommender import Recommender
    from pocketrec.device.store.events import Events
    from pocketrec.device.task import Task


def add_personalise(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec personalise`."""
    parser.description = (
        "Fine-tune a bundle's model on one user's events, as the bundle's recipe and guard say, and write the\n"
        "personal state. Events come from the user's event store, where there is one (see `pocketrec record`),\n"
        "and those of --events are recorded in it first; without a store the file is taken as the user's whole\n"
        "history. Training starts from the global model; see --append and --resume. The last line is JSON."
    )
    common_options(parser)
    store_options(parser)
    events_options(parser, required=False, purpose="to learn from")
    task_option(parser, "make this task's patch personal: --events are what the user did in it, and the history is "
                "that of the store or state")  # fmt: skip
    parser.add_argument("--append", action="store_true", help="add the events to the history that the state holds; "
                        "with times, events that it already has are left out")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="continue from the state's weights and optimiser slots, "
                        "with the new events only; implies --append")  # fmt: skip
    parser.add_argument("--passes", type=int, metavar="N", help="passes over the events (default: the recipe's)")
    parser.add_argument("--max-seconds", type=float, metavar="S", help="stop this many seconds after the "
                        "start of the command; the same command continues later")  # fmt: skip
    parser.add_argument("--max-celsius", type=float, metavar="C", help="stop the training, or do not begin it, at this "
                        "temperature of the hottest thermal zone")  # fmt: skip
    parser.add_argument("--if-idle", type=float, nargs="?", const=0.5, metavar="LOAD", help="train only below this "
                        "load a core (default: 0.5), below --max-celsius (here: 60) and not on battery; else nothing "
                        "is read or written, one line says why, and the exit status is 75; where no temperature can be "
                        "read, there is no limit of it")  # fmt: skip
    parser.add_argument("--if-new", action="store_true", help="train only where the events, the recipe or these "
                        "options differ from those of the last completed training; else nothing is "
                        "written, one line says so, and the exit status is 0")  # fmt: skip
    runtime_options(parser)


def add_recommend(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec recommend`."""
    from argparse import BooleanOptionalAction

    parser.description = (
        "Rank the user's candidates (or the popular items) and the items of the user's history with the personal\n"
        "state, where there is one, else with the global model; of a bundle that can search its whole catalogue, what\n"
        "that search finds in place of the candidates. Nothing is written. The last line of output is JSON."
    )
    common_options(parser)
    store_options(parser)
    events_options(parser, required=False, purpose="to add as context, without training")
    task_option(parser, "rank what belongs to this task, by its patch: its items, or the classes of a profile with "
                "their probabilities")  # fmt: skip
    parser.add_argument("-k", type=int, default=10, metavar="N", help="items to show (default: 10)")
    parser.add_argument("--candidates", nargs="+", metavar="ITEM", help="item ids to rank, instead of the user's set")
    parser.add_argument("--filter", metavar="FILE", help="only items whose ids stand in this file, one a line, may be "
                        "recommended, such as those in stock")  # fmt: skip
    parser.add_argument("--retrieve", action=BooleanOptionalAction, default=None, help="search the whole catalogue, or "
                        "rank the bundle's candidates (default: search it where the bundle can)")  # fmt: skip
    parser.add_argument("--now", metavar="T", help="time of the request, for a recipe that uses times: Unix seconds "
                        "or an ISO 8601 date (default: the clock)")  # fmt: skip
    parser.add_argument("--new-user", action="store_true", help="accept a user of whom nothing is known, and rank the "
                        "popular items")  # fmt: skip
    runtime_options(parser)


def run_personalise(args: argparse.Namespace) -> int:
    """`pocketrec personalise`; 0, or a `PocketRecError`."""
    from pocketrec.device.personal.budget import Budget, hottest
    from pocketrec.device.state.personalisation import NOTHING_NEW
    from pocketrec.device.store.events import Events

    if args.passes is not None and args.passes < 1:
        raise DataError("--passes must be at least 1: give a larger number")
    if args.events is None and args.task is None and store_path(args) is None:
        raise DataError("there are no events to learn from: give --events, or record some with `pocketrec record`")
    budget = Budget(args.max_seconds, args.max_celsius, started=time.monotonic())
    if args.if_idle is not None:
        from pocketrec.device.personal.idle import BUSY, Idle

        if busy := Idle(args.if_idle, 60.0 if args.max_celsius is None else args.max_celsius).reason():
            print(f"not trained: {busy}")
            return BUSY
        if budget.celsius is not None and hottest() is None:
            budget = replace(budget, celsius=None)
    recommender = _recommender(args)
    events = read(args) if args.events is not None else Events()
    if args.task is not None:
        return _personalise_task(args, recommender.task(args.task), events, budget)
    if not (args.append or args.resume or recommender.store):
        recommender.clear_history()
    report = recommender.personalise(
        events, resume=args.resume, passes=args.passes, budget=budget, if_new=args.if_new
    )
    if args.if_new and report.reason == NOTHING_NEW:
        print(f"not trained: {report.reason}")
        return 0
    path = recommender.save()
    remember(args.bundle, args.user)
    table: dict[str, Any] = {
        "user": args.user or "",
        **report.to_dict(),
        "rows": events.rows,
        "bad_rows": events.bad,
        "bad_lines": events.bad_lines,
        "outdated": recommender.outdated,
        "max_celsius": budget.celsius,
        "state": str(path),
    }
    gains = ", ".join(f"{choice} {gain:+.4f}" for choice, gain in report.expected_gain.items())
    paused = "the training is not at its end, the same command resumes: " if report.paused else ""
    losses = f"{report.losses[0]:.4f} to {report.losses[-1]:.4f}" if report.losses else "-"
    print_table(
        [
            ("weights", f"{report.choice}: {paused}{report.reason}"),
            ("history", f"{report.history} events; {report.unknown} left out, whose items the model does not know"),
            ("learned from", f"{report.events} events, {report.heldback} of them held back for the guard"),
            ("not learned", f"{report.before} events before the cut-off of the log (context only), {report.older} that "
                            f"are too old, {report.future} in the future (left aside until then)"),
            ("expected gain", f"{gains} in reciprocal rank" if gains else "-"),
            ("loss", f"{losses} in {len(report.losses)} passes"),
            ("bad rows", f"{events.bad}" + (f", the first in line {events.bad_lines[0]}" if events.bad else "")),
            *([("temperature", "cannot be read here: no limit")] if args.max_celsius != budget.celsius else []),
            *([("old state", f"left aside: {recommender.outdated}")] if recommender.outdated else []),
            ("state", str(path)),
        ]
    )
    print_json(table)
    return 0


def _personalise_task(args: argparse.Namespace, task: Task, events: Events, budget: Budget) -> int:
    """`pocketrec personalise --task`; 0, or a `PocketRecError`."""
    if args.append or args.resume or args.if_new:
        raise DataError("--append, --resume and --if-new are of the whole model: leave them out with --task, whose "
                        "events are kept, and whose training begins at the patch")  # fmt: skip
    report = task.personalise(events, passes=args.passes, budget=budget)
    path = task.save()
    remember(args.bundle, args.user)
    gains = ", ".join(f"{choice} {gain:+.4f}" for choice, gain in report.expected_gain.items())
    print_table(
        [
            ("task", f"{task.name}, patch number {task.patch.serial}"),
            ("weights", f"{report.choice}: {report.reason}"),
            ("events", f"{report.history} of the task; {report.unknown} left out, whose items it does not know"),
            ("learned from", f"{report.events} with a history before them, {report.heldback} held back for the guard"),
            ("expected gain", f"{gains} in reciprocal rank" if gains else "-"),
            *([("old state", f"left aside: {task.outdated}")] if task.outdated else []),
            ("state", str(path)),
        ]
    )
    print_json({"user": args.user or "", "task": task.name, **report.to_dict(), "rows": events.rows,
                "bad_rows": events.bad, "bad_lines": events.bad_lines, "outdated": task.outdated, "state": str(path)})
    return 0


def run_recommend(args: argparse.Namespace) -> int:
    """`pocketrec recommend`; 0, or a `PocketRecError`."""
    if args.k < 1:
        raise DataError("-k must be at least 1: give a larger number")
    now = named_time("--now", args.now)
    recommender = _recommender(args)
    warn_if_read_only(recommender.store)
    if args.events is not None:
        recommender.add(read(args))
    if not args.new_user and not recommender.is_known():
        who = f"user {args.user!r} is unknown" if args.user else "no user was named"
        raise DataError(f"{who}, with neither candidates in the bundle nor a state: check --user, give --events, or "
                        "pass --new-user for the popular items")  # fmt: skip
    if args.task is not None and (args.filter is not None or args.retrieve):
        raise ConfigError("--task ranks what belongs to the task: leave out --filter and --retrieve")
    if args.task is None and args.candidates and not recommender.bundle.vocabulary.rows(args.candidates).any():
        raise DataError("none of the items of --candidates is known to the model: check the ids")
    choice = recommender.report.get("choice", "global")
    if args.task is not None:
        task = recommender.task(args.task)
        best, choice = task.recommend(args.k, args.candidates, now=now), task.choice
    else:
        allowed = None if args.filter is None else listed(args.filter)
        best = recommender.recommend(args.k, args.candidates, now=now, filter=allowed, retrieve=args.retrieve)
    if recommender.bundle.lists_problem:
        print(f"warning: {recommender.bundle.lists_problem}", file=sys.stderr)
    if recommender.outdated:
        print(f"the personal state was left aside: {recommender.outdated}")
    titles = recommender.titles(item for item, _ in best) if args.task is None else []
    rows = [(i, item, f"{score:.4f}") for i, (item, score) in enumerate(best, 1)]
    if any(titles):
        width = max(map(len, titles))
        named = [(*row, title.ljust(width)) for row, title in zip(rows, titles, strict=True)]
        print_rows(("place", "item", "score", "title".ljust(width)), named)
    else:
        print_rows(("place", "item", "score"), rows)
    print_json(
        {
            "user": args.user or "",
            "weights": choice,
            **({} if args.task is None else {"task": args.task}),
            "history": len(recommender),
            "outdated": recommender.outdated,
            "items": [item for item, _ in best],
            "scores": [round(score, 6) for _, score in best],
            **({"titles": titles} if any(titles) else {}),
        }
    )
    return 0


def _recommender(args: argparse.Namespace) -> Recommender:
    from pocketrec.device.engine.runtime import check_threads
    from pocketrec.device.recommender import Recommender

    check_threads(args.threads)
    return Recommender(
        args.bundle, user=args.user, state=state_path(args), store=store_path(args), key=key_of(args),
        runtime=args.runtime, threads=args.threads,
    )  # fmt: skip


COMMANDS: Final[dict[str, Command]] = {
    "personalise": Command("make a bundle's model personal with a user's events", add_personalise, run_personalise),
    "recommend": Command("print the items to recommend", add_recommend, run_recommend),
}
