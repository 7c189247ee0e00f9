# SPDX-License-Identifier: Apache-2.0
"""The subcommands about a user's own events: record, forget, wipe, export-data and store; mounted by `pocketrec.cli`.

Each prints a table, and as its last line one JSON document. None opens a network connection or loads a runtime, except
forget where there is a state: that needs the bundle.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pocketrec.device.base.errors import DataError, StoreError
from pocketrec.device.cli.command import Command
from pocketrec.device.cli.options import (
    common_options,
    default_store,
    events_options,
    key_of,
    named_time,
    print_json,
    print_table,
    read,
    state_path,
    store_options,
    store_path,
    warn_if_read_only,
)
from pocketrec.device.cli.places import file_name, holding, remember, tidy

if TYPE_CHECKING:
    import argparse

    from pocketrec.device.store.database import EventStore

_DAY = 86400.0


def add_record(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec record`."""
    parser.description = (
        "Append events to the user's event store, which is made where there is none. When the command returns\n"
        "they are on the disk. Events that the store has already are left out, so that recording twice is safe.\n"
        "From then on personalise and recommend take the user's history from the store. The last line is JSON."
    )
    common_options(parser, required=False)
    store_options(parser)
    parser.add_argument("--item", metavar="ITEM", nargs="+", help="item ids, without a file")
    parser.add_argument("--time", metavar="T", help="time of --item, in the log's unit, or an ISO 8601 date (default: "
                        "none)")  # fmt: skip
    events_options(parser, required=False, purpose="to record")


def add_forget(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec forget`."""
    parser.description = (
        "Delete every event of the named items from the event store and the personal state, so that nothing of them\n"
        "stays in a file. What was trained on them goes too: the global model is used until the next\n"
        "`pocketrec personalise`. The last line of output is JSON."
    )
    common_options(parser)
    store_options(parser)
    parser.add_argument("--item", metavar="ITEM", nargs="+", required=True, help="item ids to forget")
    parser.add_argument("--time", metavar="T", help="forget only the events of --item at this time, a number in the "
                        "log's unit or an ISO 8601 date")  # fmt: skip


def add_wipe(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec wipe`."""
    parser.description = (
        "Delete everything personal of a user: event store, state, its previous generation, and what interrupted\n"
        "commands left of them. The bundle stays, and with it the candidate set that the cloud made for the user.\n"
        "The last line of output is JSON."
    )
    common_options(parser, required=False)
    store_options(parser)


def add_export_data(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec export-data`."""
    parser.description = (
        "Write all events that are kept of the user to a CSV file, item,timestamp, which `pocketrec record`\n"
        "reads again. The last line of output is JSON."
    )
    common_options(parser, required=False)
    store_options(parser)
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the CSV to write")


def add_store(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec store`."""
    parser.description = (
        "show: what an event store holds, with every checksum read. retain: remove old events, by number (from\n"
        "now on, too) or by age (times are unix seconds). repair: copy what can be read of a damaged store to a\n"
        "new one, and keep the damaged file as FILE.damaged. The last line of output is JSON."
    )
    parser.add_argument("action", choices=["show", "retain", "repair"], help="what to do")
    common_options(parser, required=False)
    store_options(parser)
    parser.add_argument("--keep-events", metavar="N", type=int, help="retain: most events kept")
    parser.add_argument("--keep-days", metavar="D", type=float, help="retain: age of the oldest event kept")


def run_record(args: argparse.Namespace) -> int:
    """`pocketrec record`; 0, or a `PocketRecError`."""
    from pocketrec.device.store.database import EventStore
    from pocketrec.device.store.events import gather

    if (args.events is None) == (args.item is None):
        raise DataError("there is nothing to record: give either --events or --item")
    when = named_time("--time", args.time)
    events = read(args) if args.events is not None else gather((item, when) for item in args.item)
    with EventStore(_named(args), key=key_of(args)) as store:
        new, held = store.append(events), len(store)
    if args.store is None:
        remember(args.bundle, args.user)
    table: dict[str, Any] = {
        "given": len(events), "new": new, "held": held, "bad_rows": events.bad, "bad_lines": events.bad_lines,
        "store": str(store.path),
    }  # fmt: skip
    print_table(
        [
            ("recorded", f"{new} new events of {len(events)} given; the store holds {held}"),
            ("bad rows", f"{events.bad}" + (f", the first in line {events.bad_lines[0]}" if events.bad else "")),
            ("store", str(store.path)),
        ]
    )
    print_json(table)
    return 0


def run_forget(args: argparse.Namespace) -> int:
    """`pocketrec forget`; 0, or a `PocketRecError`."""
    from pocketrec.device.recommender import Recommender

    when = named_time("--time", args.time)
    store = None if store_path(args) is None else _opened(args)
    recommender = Recommender(args.bundle, user=args.user, state=state_path(args), store=store, key=key_of(args))
    gone = recommender.forget(args.item if when is None else [(item, when) for item in args.item])
    print(f"{gone} events are forgotten, {len(recommender)} are left"
          + (": global weights are used until `pocketrec personalise` trains on them" if gone else ""))  # fmt: skip
    print_json({"forgotten": gone, "history": len(recommender)})
    return 0


def run_wipe(args: argparse.Namespace) -> int:
    """`pocketrec wipe`; 0, or a `PocketRecError`."""
    from pocketrec.device.delivery.versions import forget_user
    from pocketrec.device.state.file import reset_state
    from pocketrec.device.state.task_state import wipe_tasks
    from pocketrec.device.store.wipe import wipe_store

    _somebody(args)
    deleted = []
    folders = [] if args.bundle is None else holding(args.bundle, args.user)  # by any of the bundle's names
    name = file_name(args.user)
    for path in [folder / f"{name}.events" for folder in folders] if args.store is None else [Path(args.store)]:
        deleted += wipe_store(path, ours=args.store is None)
    for path in [folder / f"{name}.state" for folder in folders] if args.state is None else [Path(args.state)]:
        deleted += [*reset_state(path, ours=args.state is None), *wipe_tasks(path)]
    for folder in folders:
        tidy(folder)
    if args.bundle is not None and args.user is not None:
        forget_user(Path(args.bundle), args.user)
    names = [str(file) for file in deleted]
    print("deleted " + ", ".join(names) if names else "there was nothing to delete")
    print_json({"deleted": names})
    return 0


def run_export_data(args: argparse.Namespace) -> int:
    """`pocketrec export-data`; 0, or a `PocketRecError`."""
    _somebody(args)
    path = None if args.store is None and args.bundle is None else store_path(args)
    if path is not None:
        with _opened(args) as store:
            count = store.export(args.out)
            warn_if_read_only(store)
    else:
        count = _export_of_state(args)
    print(f"wrote {count} events to {args.out}")
    print_json({"events": count, "out": str(args.out)})
    return 0


def run_store(args: argparse.Namespace) -> int:
    """`pocketrec store`; 0, or a `PocketRecError`."""
    path = _named(args)
    if args.action == "repair":
        from pocketrec.device.store.repair import repair_store

        repaired = repair_store(path, key_of(args), ours=args.store is None)
        print(f"{repaired.saved} events are saved, {repaired.lost} are lost; the damaged file is {repaired.kept}")
        print_json({"saved": repaired.saved, "lost": repaired.lost, "damaged": str(repaired.kept)})
        return 0
    if args.action == "retain" and args.keep_events is None and args.keep_days is None:
        raise DataError("no limit was given: give --keep-events or --keep-days")
    if (args.keep_events is not None and args.keep_events < 1) or not (args.keep_days or 0) >= 0:
        raise DataError("--keep-events must be at least 1 and --keep-days at least 0: give a larger number")
    with _opened(args) as store:
        gone = 0
        if args.action == "retain":
            before = None if args.keep_days is None else time.time() - args.keep_days * _DAY
            gone = store.retain(events=args.keep_events, before=before)
        held = store.replay().events
        times = [value for value in held.times if value is not None]
        table: dict[str, Any] = {
            "store": str(path), "events": len(held), "items": len(set(held.items)),
            "first": min(times, default=None), "last": max(times, default=None), "keep": store.keep,
            "encrypted": store.sealed, "bytes": path.stat().st_size, "read_only": store.read_only,
        }  # fmt: skip
        warn_if_read_only(store)
    if args.action == "retain":
        table["gone"] = gone
    print_table([(key, str(value)) for key, value in table.items()])
    print_json(table)
    return 0


def _somebody(args: argparse.Namespace) -> None:
    if args.bundle is None and args.store is None and args.state is None:
        raise StoreError("no event store or state was named: give --bundle and --user, or --store, or --state")


def _named(args: argparse.Namespace) -> Path:
    """The store that is named, else the default one, whether it exists or not."""
    if args.store is None and args.bundle is None:
        raise StoreError("no event store was named: give --bundle and --user, or --store")
    return default_store(args.bundle, args.user) if args.store is None else Path(args.store)


def _opened(args: argparse.Namespace) -> EventStore:
    from pocketrec.device.store.database import EventStore

    return EventStore(_named(args), key=key_of(args), create=False)


def _export_of_state(args: argparse.Namespace) -> int:
    """The history of a state that has no store; the bundle has its items' names."""
    if args.bundle is None:
        raise StoreError("the item ids of a state are in its bundle: give --bundle")
    from pocketrec.device.recommender import Recommender
    from pocketrec.device.state.file import exists

    if not exists(state_path(args)):
        raise StoreError(f"nothing is kept of this user, neither an event store nor {state_path(args)}: check --user")
    return Recommender(args.bundle, user=args.user, state=state_path(args), key=key_of(args)).export(args.out)


COMMANDS: Final[dict[str, Command]] = {
    "record": Command("append events to a user's event store", add_record, run_record),
    "forget": Command("delete a user's events of some items, and what was trained on them", add_forget, run_forget),
    "wipe": Command("delete everything personal of a user", add_wipe, run_wipe),
    "export-data": Command("write a user's own events to a CSV file", add_export_data, run_export_data),
    "store": Command("show, trim or repair an event store", add_store, run_store),
}
