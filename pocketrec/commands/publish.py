# SPDX-License-Identifier: Apache-2.0
"""The subcommand publish: a bundle for a static server."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from pocketrec.device.base.errors import ConfigError
from pocketrec.device.cli.command import Command
from pocketrec.device.cli.options import print_json, print_table

if TYPE_CHECKING:
    from pocketrec.export.bundle.terms import Terms

_DAY = 86_400


def add_publish(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec publish`."""
    parser.description = (
        "Write a bundle to a folder that any static file server or CDN can serve, for `pocketrec pull`. Files lie\n"
        "under their hashes and never change; latest.json alone does. Copy it last. The last line of output is JSON."
    )
    parser.add_argument("bundle", metavar="RUN|BUNDLE", nargs="?", help="run directory, of which the packed form is "
                        "sent, or folder or .zip of a bundle")  # fmt: skip
    parser.add_argument("--plain", action="store_true", help="of a run directory, send the plain bundle")
    parser.add_argument("--to", metavar="DIR", help="folder that the server serves")
    parser.add_argument("--sign", metavar="KEY", action="append", help="file of a private key to sign with; may be "
                        "given again (needs the extra `secure`)")  # fmt: skip
    parser.add_argument("--keep", type=int, default=3, metavar="N", help="releases whose files stay (default: 3)")
    parser.add_argument("--serial", metavar="N|time", help="number of the release, or time = Unix seconds, where one "
                        "starts from an empty folder (default: one more than the latest in the folder)")  # fmt: skip
    parser.add_argument("--expires", type=float, metavar="DAYS", help="days after which devices do not install it")
    parser.add_argument("--trust", metavar="PUBKEY", action="append", default=[], help="public key that devices are to "
                        "trust from this release on, and no other; may be given again: both, for a time")  # fmt: skip
    parser.add_argument("--share", type=float, metavar="X", help="share of the candidate shards whose devices take it; "
                        "the others stay with the release before")  # fmt: skip
    parser.add_argument("--patches", action="store_true", help="publish the patches of tasks that lie in the bundle's "
                        "folder too, for `pocketrec pull --task`")  # fmt: skip
    parser.add_argument("--note", default="", metavar="TEXT", help="a line for changelog.jsonl")
    parser.add_argument("--make-key", metavar="FILE", help="write a new private key, and its public one to FILE.pub")


def run_publish(args: argparse.Namespace) -> int:
    """`pocketrec publish`; 0, or a `PocketRecError`."""
    if args.make_key is not None:
        from pocketrec.device.delivery.signing import make_key

        public = make_key(args.make_key)
        print(f"wrote {args.make_key} (keep it secret) and {args.make_key}.pub, for `pocketrec pull --key`")
        print_json({"key": public})
        if args.bundle is None:
            return 0
    if args.bundle is None or args.to is None or args.keep < 1:
        raise ConfigError("give a bundle, --to with the folder to write, and a --keep of at least 1")
    from pocketrec.export.bundle.release import publish

    done = publish(args.bundle, args.to, sign=args.sign, keep=args.keep, terms=_terms(args), patches=args.patches)
    table: dict[str, Any] = {
        "serial": done.release.serial, "new": done.new, "manifest": done.release.manifest, "files": done.files,
        "bytes_written": done.written, "files_removed": done.removed, "key": done.key, "source": str(done.source),
        "expires": done.release.expires, "keys": list(done.release.keys),
        "patches": {name: {"serial": serial, "new": new} for name, (serial, new) in done.patches.items()},
        "shards": done.release.staged and [done.release.staged.first, done.release.staged.shards],
    }  # fmt: skip
    print_table(
        [
            ("release", f"{done.release.serial}, of {done.source}" + ("" if done.new else ", as before")),
            ("written", f"{done.written} bytes; {done.removed} files of old releases removed"),
            ("signed with", done.key or "-"),
            *[(f"task {name}", f"patch number {serial}" + ("" if new else ", as before"))
              for name, (serial, new) in done.patches.items()],
        ]
    )
    print_json(table)
    return 0


def _terms(args: argparse.Namespace) -> Terms:
    """The options that are terms of the release."""
    from pocketrec.device.delivery.signing import read_public
    from pocketrec.export.bundle.terms import TIME, Terms

    serial: int | str | None = args.serial
    if serial is not None and serial != TIME:
        if not (args.serial.isascii() and args.serial.isdecimal()) or len(args.serial) > 20:
            raise ConfigError(f"--serial {args.serial} is not a number: give one, or {TIME}")
        serial = int(args.serial)
    if args.expires is not None and not 0 < args.expires < 1e6:
        raise ConfigError("--expires is a number of days above 0: give one, or leave it out")
    expires = 0 if args.expires is None else int(time.time() + args.expires * _DAY)
    keys = tuple(read_public(key) for key in args.trust)
    return Terms(serial, expires, keys, args.share, args.note, args.plain)


COMMANDS = {"publish": Command("write a bundle for a static server", add_publish, run_publish)}
