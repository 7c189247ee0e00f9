"""The device's subcommands: personalise, recommend and state; mounted by `pocketrec.cli`.

Each command prints a table, and as its last line one JSON document with the same content. Neither TensorFlow nor pandas
is imported, and no network connection is opened.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pocketrec.device.base.errors import DataError, StateError
from pocketrec.device.cli.command import Command
from pocketrec.device.cli.options import (
    common_options,
    events_options,
    key_of,
    named_time,
    print_json,
    print_rows,
    print_table,
    read,
    runtime_options,
    secret_option,
    state_path,
    store_options,
    store_path,
    warn_if_read_only,
)
from pocketrec.device.cli.places import remember

if TYPE_CHECKING:
    import argparse

    from pocketrec.device.recommender import Recommender


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
    parser.description = (
        "Rank the user's candidates (or the popular items) and the items of the user's history with the personal\n"
        "state, where there is one, else with the global model. Nothing is written. The last line of output is JSON."
    )
    common_options(parser)
    store_options(parser)
    events_options(parser, required=False, purpose="to add as context, without training")
    parser.add_argument("-k", type=int, default=10, metavar="N", help="items to show (default: 10)")
    parser.add_argument("--candidates", nargs="+", metavar="ITEM", help="item ids to rank, instead of the user's set")
    parser.add_argument("--now", metavar="T", help="time of the request, for a recipe that uses times: Unix seconds "
                        "or an ISO 8601 date (default: the clock)")  # fmt: skip
    parser.add_argument("--new-user", action="store_true", help="accept a user of whom nothing is known, and rank the "
                        "popular items")  # fmt: skip
    runtime_options(parser)


def add_state(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec state`."""
    parser.description = (
        "show: what a personal state holds. reset: delete it and its previous generation (a file that is not a\n"
        "personal state is left alone, unless it lies at the default place). restore: put the previous\n"
        "generation in its place. The last line of output is JSON."
    )
    parser.add_argument("action", choices=["show", "reset", "restore"], help="what to do")
    common_options(parser, required=False)
    secret_option(parser)


def run_personalise(args: argparse.Namespace) -> int:
    """`pocketrec personalise`; 0, or a `PocketRecError`."""
    from pocketrec.device.personal.budget import Budget, hottest
    from pocketrec.device.state.personalisation import NOTHING_NEW
    from pocketrec.device.store.events import Events

    if args.passes is not None and args.passes < 1:
        raise DataError("--passes must be at least 1: give a larger number")
    if args.events is None and store_path(args) is None:
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
    if args.candidates and not recommender.bundle.vocabulary.rows(args.candidates).any():
        raise DataError("none of the items of --candidates is known to the model: check the ids")
    best = recommender.recommend(args.k, args.candidates, now=now)
    choice = recommender.report.get("choice", "global")
    if recommender.outdated:
        print(f"the personal state was left aside: {recommender.outdated}")
    print_rows(("place", "item", "score"), [(i, item, f"{score:.4f}") for i, (item, score) in enumerate(best, 1)])
    print_json(
        {
            "user": args.user or "",
            "weights": choice,
            "history": len(recommender),
            "outdated": recommender.outdated,
            "items": [item for item, _ in best],
            "scores": [round(score, 6) for _, score in best],
        }
    )
    return 0


def run_state(args: argparse.Namespace) -> int:
    """`pocketrec state`; 0, or a `PocketRecError`."""
    from pocketrec.device.state import file as states
    from pocketrec.device.store.sealing import Seal

    if args.state is None and args.bundle is None:
        raise StateError("no state was named: give --bundle and --user, or --state")
    path = state_path(args)
    if args.action == "reset":
        deleted = [str(file) for file in states.reset_state(path, ours=args.state is None)]
        print("deleted " + ", ".join(deleted) if deleted else f"there was no state {path}")
        print_json({"state": str(path), "deleted": deleted})
        return 0
    manifest = None
    if args.bundle is not None:
        from pocketrec.device.delivery.bundle import open_bundle

        manifest = open_bundle(args.bundle).manifest
    key = key_of(args)
    act = states.restore_state if args.action == "restore" else states.load_state
    state = act(path, manifest, None if key is None else Seal(key))
    numbers = sum(int(value.size) for value in state.weights.values())
    table: dict[str, Any] = {
        "state": str(path),
        "user": state.user,
        "weights": state.report.get("choice", "global"),
        "generation": state.generation,
        "history": len(state.rows),
        "store": bool(state.store),
        "trained": state.trained,
        "steps": state.steps,
        "numbers": numbers,
        "bytes": path.stat().st_size,
        "previous": states.previous_of(path).exists(),
    }
    print_table([(key, str(value)) for key, value in table.items()])
    print_json({**table, "report": state.report})
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
    "state": Command("show, reset or restore a personal state", add_state, run_state),
}
