# SPDX-License-Identifier: Apache-2.0
"""The subcommand events: what a user's device would hold, from a run."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

from pocketrec.device.base.errors import DataError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.cli.command import Command


def _events_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write the events that one device of a run would hold (all before the cut-off, and those after it that it\n"
        "learns from) as CSV, and print the user's id. For trying out personalise and recommend."
    )
    parser.add_argument("folder", metavar="RUN", type=Path, help="run directory")
    parser.add_argument("--user", help="id of the user (default: one with a median number of events)")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the CSV to write: item,timestamp")


def _events(options: argparse.Namespace) -> None:
    print(write_events(options.folder, options.user, options.out))


def write_events(folder: Path, user: str | None, path: Path) -> str:
    """Write the events that a user's device would hold when it learns, as CSV with user, item and timestamp.

    Args:
        folder: the run directory.
        user: id; None = one with a median number of events to learn from, of those whose device kept what it
            learned where the fleet has run.
        path: the file.

    Returns:
        The user's id.

    Raises:
        DataError: the run has no such user, or none that could learn.
        StorageError: the file cannot be written.
    """
    from pocketrec.cloud.data.prepared import load_cloud, load_devices

    data, devices = load_cloud(folder), load_devices(folder)
    if user is None:
        counts = zip(devices.after.users, devices.learn.tolist(), strict=True)
        learners = {str(name): count for name, count in counts if count}
        if not learners:
            raise DataError(f"no user of {folder} has later events to learn from: name one with --user")
        kept = _kept_personal(folder) & learners.keys() or learners.keys()
        user = sorted(kept, key=lambda name: (learners[name], name))[len(kept) // 2]
    earlier, later = data.before.find(user), devices.after.find(user)
    if earlier is None and later is None:
        raise DataError(f"no user {user!r} in {folder}: correct --user")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("user", "item", "timestamp"))
    for sequences, place, count in ((data.before, earlier, None), (devices.after, later, devices.learn)):
        if place is not None:
            items, times = (column[: None if count is None else count[place]] for column in sequences.of(place))
            for item, moment in zip(items.tolist(), times.tolist(), strict=True):
                writer.writerow((user, data.vocabulary.ids[item - 1], moment))
    write_atomic(path, text.getvalue().encode("utf-8"))
    return user


def _kept_personal(folder: Path) -> set[str]:
    """Ids of the users whose device kept what it learned; none where the fleet has not run."""
    from pocketrec.cloud.evaluation.evaluate import read_users

    try:
        users = read_users(folder / "fleet")
    except DataError:
        return set()
    return {user["user"] for user in users if user["decision"].get("personal", {}).get("kept") == "personal"}


COMMANDS = {
    "events": Command("write one user's events of a run as a device would hold them", _events_arguments, _events),
}
