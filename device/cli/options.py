# SPDX-License-Identifier: Apache-2.0
"""Arguments that several of the device's commands have, what they mean, and how results are printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.device.base import documents
from pocketrec.device.cli.places import file_name, personal_folder
from pocketrec.device.engine.runtimes import AUTO, RUNTIMES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from pocketrec.device.store.database import EventStore
    from pocketrec.device.store.events import Events


def default_state(bundle: str | Path, user: str | None) -> Path:
    """Where a user's state is kept if nobody says: in ``<bundle>.states/``, under a hash of the user id."""
    return personal_folder(bundle, user) / f"{file_name(user)}.state"


def default_store(bundle: str | Path, user: str | None) -> Path:
    """Where a user's event store is kept if nobody says: beside the state."""
    return default_state(bundle, user).with_suffix(".events")


def state_path(args: argparse.Namespace) -> Path:
    """The state that is named, else the default one."""
    return default_state(args.bundle, args.user) if args.state is None else Path(args.state)


def store_path(args: argparse.Namespace) -> Path | None:
    """The event store that is named, else the default one where it exists."""
    if args.store is not None:
        return Path(args.store)
    path = default_store(args.bundle, args.user)
    return path if path.exists() else None


def key_of(args: argparse.Namespace) -> bytes | None:
    """The key of the files at rest, if one is named."""
    if args.secret is None:
        return None
    from pocketrec.device.store.sealing import read_key

    return read_key(args.secret)


def warn_if_read_only(store: EventStore | None) -> None:
    """Say in one line on standard error why a store can only be read."""
    if store is not None and store.read_only:
        print(f"warning: {store.path} can only be read ({store.read_only}): nothing can be recorded", file=sys.stderr)


def read(args: argparse.Namespace) -> Events:
    """The events of --events."""
    from pocketrec.device.store.events import read_events

    return read_events(
        args.events,
        args.user,
        user_column=args.user_column,
        item_column=args.item_column,
        time_column=args.timestamp_column,
        category_column=args.category_column,
    )


def listed(path: str) -> list[str]:
    """The item ids of a file that has one a line; empty lines count as none.

    Raises:
        DataError: the file cannot be read, or is not UTF-8.
    """
    from pocketrec.device.base.errors import DataError

    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(f"{path} cannot be read ({told}): name a file with one item id a line") from None
    return [item for line in lines if (item := line.removesuffix("\r"))]


def named_time(option: str, text: str | None) -> float | None:
    """The time after an option: a number or an ISO 8601 date.

    Raises:
        DataError: it is neither.
    """
    from pocketrec.device.base.errors import DataError
    from pocketrec.device.base.times import seconds_of

    try:
        return seconds_of(text)
    except DataError as error:
        raise DataError(f"{option}: {error}") from None


def _bundle(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument("--bundle", metavar="PATH", required=required, help="folder or .zip of a bundle"
                        + ("" if required else "; may be left out where --state is given"))  # fmt: skip


def store_options(parser: argparse.ArgumentParser) -> None:
    """--store and --secret."""
    parser.add_argument("--store", metavar="FILE", help="event store (default: a file for each user in BUNDLE.states, "
                        "where there is one)")  # fmt: skip
    secret_option(parser)


def secret_option(parser: argparse.ArgumentParser) -> None:
    """--secret."""
    parser.add_argument("--secret", metavar="FILE", help="32 bytes, or 64 hexadecimal digits, that encrypt the state "
                        "and the event store (needs the extra `secure`)")  # fmt: skip


def common_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """--bundle, --user and --state."""
    _bundle(parser, required=required)
    parser.add_argument("--user", metavar="ID", help="user id")
    parser.add_argument("--state", metavar="FILE", help="personal state (default: a file for each user in "
                        "BUNDLE.states beside the bundle)")  # fmt: skip


def task_option(parser: argparse.ArgumentParser, purpose: str) -> None:
    """--task."""
    parser.add_argument("--task", metavar="NAME", help=f"{purpose} (see `pocketrec pull --task`)")


def events_options(parser: argparse.ArgumentParser, *, required: bool, purpose: str) -> None:
    """--events and the names of its columns."""
    parser.add_argument("--events", metavar="FILE", required=required, help=f"CSV or TSV file of events {purpose}, "
                        "with a header line such as user,item,timestamp; may be gzipped")  # fmt: skip
    parser.add_argument("--user-column", metavar="NAME", help="column of the user id (default: user, where there is "
                        "one)")  # fmt: skip
    parser.add_argument("--item-column", metavar="NAME", default="item", help="column of the item id (default: item)")
    parser.add_argument("--category-column", metavar="NAME", help="column of the item's category, which a lean bundle "
                        "uses (default: category, where there is one)")  # fmt: skip
    parser.add_argument("--timestamp-column", metavar="NAME", help="column of the time, a number or an ISO 8601 date "
                        "(default: timestamp, where there is one)")  # fmt: skip


def runtime_options(parser: argparse.ArgumentParser) -> None:
    """--runtime and --threads."""
    parser.add_argument("--runtime", default=AUTO, choices=[AUTO, *RUNTIMES],
                        help="TensorFlow Lite runtime (default: the one in $POCKETREC_RUNTIME, else the first "
                        "found)")  # fmt: skip
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of the runtime (default: 1)")


def print_table(pairs: Iterable[tuple[str, str]]) -> None:
    """Lines for people."""
    for key, value in pairs:
        print(f"{key:<14} {value}")


def print_rows(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people, flush right."""
    texts = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in texts) for column in range(len(header))]
    for row in texts:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def print_json(value: dict[str, Any]) -> None:
    """The last line of a command's output."""
    print(documents.line(value))
