# SPDX-License-Identifier: Apache-2.0
"""The subcommand state: what a personal state holds, how well it has recommended; mounted by `pocketrec.cli`.

It prints a table, and as its last line one JSON document with the same content. Only ``watch`` loads a runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pocketrec.device.base.errors import DataError, StateError
from pocketrec.device.cli.command import Command
from pocketrec.device.cli.options import (
    common_options,
    key_of,
    print_json,
    print_table,
    state_path,
    store_options,
    store_path,
)

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from pocketrec.device.state.quality import QualityReport
    from pocketrec.device.store.sealing import Seal


def add_state(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec state`."""
    parser.description = (
        "show: what a personal state holds, how well it has recommended (each new event was ranked before it was\n"
        "learned), and what the guard decided. watch: rank the events that are new, without training, and go back to\n"
        "the global weights where the personal ones have been worse for long; `pocketrec personalise` does so too.\n"
        "reset: delete it and its previous generation (a file that is not a personal state is left alone, unless it\n"
        "lies at the default place). restore: put the previous generation in its place. The last line of output is\n"
        "JSON. Nothing is sent."
    )
    parser.add_argument("action", choices=["show", "watch", "reset", "restore"], help="what to do")
    common_options(parser, required=False)
    store_options(parser)
    parser.add_argument("-k", type=int, default=10, metavar="N", help="show, watch: length of the lists that Recall "
                        "and MRR are about, 1 to 100 (default: 10)")  # fmt: skip
    parser.add_argument("--last", type=int, default=1000, metavar="N", help="show, watch: ranked events that they are "
                        "about, the latest ones of at most 1,000 that are kept (default: 1000)")  # fmt: skip


def run_state(args: argparse.Namespace) -> int:
    """`pocketrec state`; 0, or a `PocketRecError`."""
    from pocketrec.device.state import file as states
    from pocketrec.device.state.quality import DEEPEST
    from pocketrec.device.state.task_state import wipe_tasks
    from pocketrec.device.store.sealing import Seal

    if args.state is None and args.bundle is None:
        raise StateError("no state was named: give --bundle and --user, or --state")
    if not 1 <= args.k <= DEEPEST or args.last < 1:
        raise DataError(f"-k must be 1 to {DEEPEST} and --last at least 1: give another number")
    path = state_path(args)
    if args.action == "reset":
        deleted = [str(file) for file in (*states.reset_state(path, ours=args.state is None), *wipe_tasks(path))]
        print("deleted " + ", ".join(deleted) if deleted else f"there was no state {path}")
        print_json({"state": str(path), "deleted": deleted})
        return 0
    if args.action == "watch":
        return _watch(args)
    manifest = None
    if args.bundle is not None:
        from pocketrec.device.delivery.bundle import open_bundle

        manifest = open_bundle(args.bundle).manifest
    key = key_of(args)
    seal = None if key is None else Seal(key)
    act = states.restore_state if args.action == "restore" else states.load_state
    state = act(path, manifest, seal)
    numbers = sum(int(value.size) for value in state.weights.values())
    quality = _kept(path, seal, args)
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
    print_table([*((key, str(value)) for key, value in table.items()), *_told(quality)])
    print_json({**table, "report": state.report, "quality": None if quality is None else quality.to_dict()})
    return 0


def _watch(args: argparse.Namespace) -> int:
    """`pocketrec state watch`; 0, or a `PocketRecError`."""
    from pocketrec.device.recommender import Recommender
    from pocketrec.device.state.file import exists

    if args.bundle is None:
        raise StateError("no bundle was named, whose model ranks the events: give --bundle")
    state, store = state_path(args), store_path(args)
    if store is None and not exists(state):
        raise StateError(f"nothing is kept of this user, neither an event store nor {state}: check --user")
    with Recommender(args.bundle, user=args.user, state=state, store=store, key=key_of(args)) as own:
        before = own.report.get("choice", "global")
        quality = own.quality(args.k, args.last)
        path, choice = own.save(), own.report.get("choice", "global")
    back = f"{choice}: {own.report['reason']}" if choice != before else choice
    print_table([("weights", back), *_told(quality), ("state", str(path))])
    print_json({"user": args.user or "", "weights": choice, "before": before, "quality": quality.to_dict(),
                "state": str(path)})  # fmt: skip
    return 0


def _kept(path: Path, seal: Seal | None, args: argparse.Namespace) -> QualityReport | None:
    """What was ranked so far, as the file beside the state says."""
    from pocketrec.device.state.quality import load_quality

    found = load_quality(path, seal)
    return None if found is None else found.report(args.k, args.last)


def _told(quality: QualityReport | None) -> list[tuple[str, str]]:
    """The quality in lines for people."""
    from pocketrec.device.personal.watch import AVERAGE_RUN

    if quality is None or not quality.ranked:
        return [("quality", "no event was ranked yet")]
    lines = [
        (name, f"global {values['global']:.4f}, personal {values['personal']:.4f}")
        for name, values in ((f"recall@{quality.k}", quality.recall), (f"mrr@{quality.k}", quality.mrr))
    ]
    decided = [
        ("decided", f"{one['choice']} after {one['history']} events: {one['reason']}") for one in quality.decisions[-5:]
    ]
    ranked = f"{quality.events} events of {quality.ranked} ranked before they were learned"
    evidence = f"{quality.evidence:.1f} against the weights in use; from {AVERAGE_RUN} on the global ones are used"
    return [("quality of", ranked), *lines, ("evidence", evidence), *decided]


COMMANDS: Final[dict[str, Command]] = {
    "state": Command("show, watch, reset or restore a personal state", add_state, run_state),
}
