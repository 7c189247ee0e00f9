"""The subcommand publish: a bundle for a static server."""

from __future__ import annotations

import argparse
from typing import Any

from pocketrec.device.base.errors import ConfigError
from pocketrec.device.cli.command import Command
from pocketrec.device.cli.options import print_json, print_table


def add_publish(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec publish`."""
    parser.description = (
        "Write a bundle to a folder that any static file server or CDN can serve, for `pocketrec pull`. Files lie\n"
        "under their hashes and never change; latest.json alone does. Copy it last. The last line of output is JSON."
    )
    parser.add_argument("bundle", metavar="RUN|BUNDLE", nargs="?", help="run directory, or folder or .zip of a bundle")
    parser.add_argument("--to", metavar="DIR", help="folder that the server serves")
    parser.add_argument("--sign", metavar="KEY", help="file of the private key to sign with (needs the extra `secure`)")
    parser.add_argument("--keep", type=int, default=3, metavar="N", help="releases whose files stay (default: 3)")
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

    done = publish(args.bundle, args.to, sign=args.sign, keep=args.keep)
    table: dict[str, Any] = {
        "serial": done.release.serial, "new": done.new, "manifest": done.release.manifest, "files": done.files,
        "bytes_written": done.written, "files_removed": done.removed, "key": done.key,
    }  # fmt: skip
    print_table(
        [
            ("release", f"{done.release.serial}" + ("" if done.new else ", as before")),
            ("written", f"{done.written} bytes; {done.removed} files of old releases removed"),
            ("signed with", done.key or "-"),
        ]
    )
    print_json(table)
    return 0


COMMANDS = {"publish": Command("write a bundle for a static server", add_publish, run_publish)}
