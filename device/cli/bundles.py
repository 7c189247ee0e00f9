# SPDX-License-Identifier: Apache-2.0
"""The subcommand pull, the only one of the device's that opens a connection; mounted by `pocketrec.cli`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pocketrec.device.base.errors import ConfigError
from pocketrec.device.cli.command import Command
from pocketrec.device.cli.options import print_json, print_table

if TYPE_CHECKING:
    import argparse


def add_pull(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec pull`."""
    parser.description = (
        "Fetch the latest published bundle into a folder of versions, and switch to it when all of it is here and\n"
        "sound. Name that folder wherever --bundle is asked for. What is here already is not fetched, and an\n"
        "interrupted download continues. Address, users and key are remembered. The last line of output is JSON."
    )
    parser.add_argument("url", metavar="URL", nargs="?", default="", help="address of what `pocketrec publish` wrote")
    parser.add_argument("--to", metavar="DIR", required=True, help="folder of versions")
    parser.add_argument("--user", metavar="ID", nargs="+", default=[], help="users of this device: their candidates "
                        "are fetched, by the number of a shard that 256 users share on average")  # fmt: skip
    parser.add_argument("--task", metavar="NAME", nargs="+", default=[], help="tasks whose patches are fetched "
                        "too, from now on with every version")  # fmt: skip
    parser.add_argument("--key", metavar="PUBKEY", help="public key to pin, a file or 64 hexadecimal digits: what is "
                        "not signed with it, or with one that its publisher put in its place, is refused (needs the "
                        "extra `secure`); none = pin none from now on")  # fmt: skip
    parser.add_argument("--rollback", action="store_true", help="go back to the version before, without a connection")
    parser.add_argument("--allow-older", action="store_true", help="take a release that is older than one that was "
                        "here, was rolled back from, or has expired")  # fmt: skip
    parser.add_argument("--max-bytes", type=int, metavar="N", help="refuse a larger bundle (default: 4 GiB)")
    parser.add_argument("--max-model-bytes", type=int, metavar="N", help="refuse a packed bundle whose model is "
                        "larger, for it is unpacked in memory (default: 512 MiB)")  # fmt: skip
    parser.add_argument("--timeout", type=float, default=30.0, metavar="S", help="seconds to wait (default: 30)")
    parser.add_argument("--attempts", type=int, default=6, metavar="N", help="failures in a row, at most (default: 6)")


def run_pull(args: argparse.Namespace) -> int:
    """`pocketrec pull`; 0, or a `PocketRecError`."""
    from pocketrec.device.delivery.assemble import Limits
    from pocketrec.device.delivery.patches import tasks_of
    from pocketrec.device.delivery.pull import pull, rollback
    from pocketrec.device.delivery.tasks import pull_tasks

    if args.rollback:
        folder = rollback(args.to)
        print(f"back to {folder}")
        print_json({"bundle": str(Path(args.to)), "version": folder.name})
        return 0
    from pocketrec.device.delivery.fetch import Patience

    given = {"total": args.max_bytes, "model": args.max_model_bytes}
    given = {name: value for name, value in given.items() if value is not None}
    if not args.timeout > 0 or min([args.attempts, *given.values()]) < 1:
        raise ConfigError("--timeout must be above 0, --attempts, --max-bytes and --max-model-bytes at least 1: give "
                          "larger numbers")  # fmt: skip
    limits = Limits(**given)
    patience = Patience(timeout=args.timeout, attempts=args.attempts)
    done = pull(args.url, args.to, users=args.user, key=args.key, limits=limits, patience=patience,
                older=args.allow_older)  # fmt: skip
    held, changed = tasks_of(done.folder), list[str]()
    if args.task or held:
        changed = pull_tasks(args.to, args.task, patience=patience, older=args.allow_older)
        held = tasks_of(done.folder)
    for note in done.notes:
        print(f"note: {note}", file=sys.stderr)
    print_table(
        [
            ("bundle", f"{args.to}, version {done.folder.name}, release {done.serial}: {done.reason}"),
            ("received", f"{done.received} bytes"),
            *[("task", f"{name}" + (": a new patch" if name in changed else "")) for name in held],
        ]
    )
    print_json(
        {
            "bundle": args.to, "version": done.folder.name, "serial": done.serial, "new": done.new,
            "bytes_received": done.received, "reason": done.reason, "notes": list(done.notes),
            "tasks": held, "tasks_changed": changed,
        }
    )  # fmt: skip
    return 0


COMMANDS: Final[dict[str, Command]] = {
    "pull": Command("fetch a published bundle and switch to it", add_pull, run_pull),
}
