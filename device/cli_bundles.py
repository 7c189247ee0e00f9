"""The subcommands publish and pull; mounted by `pocketrec.cli`. pull is the only command that opens a connection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pocketrec.device.cli import print_json, print_table
from pocketrec.device.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


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


def add_pull(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec pull`."""
    parser.description = (
        "Fetch the latest published bundle into a folder of versions, and switch to it when all of it is here and\n"
        "sound. Name that folder wherever --bundle is asked for. What is here already is not fetched, and an\n"
        "interrupted download goes on. Address, users and key are remembered. The last line of output is JSON."
    )
    parser.add_argument("url", metavar="URL", nargs="?", default="", help="address of what `pocketrec publish` wrote")
    parser.add_argument("--to", metavar="DIR", required=True, help="folder of versions")
    parser.add_argument("--user", metavar="ID", nargs="+", default=[], help="users of this device: their candidates "
                        "are fetched, by the number of a shard that 256 users share on average")  # fmt: skip
    parser.add_argument("--key", metavar="PUBKEY", help="public key to pin, a file or 64 hexadecimal digits: what is "
                        "not signed with it is refused (needs the extra `secure`)")  # fmt: skip
    parser.add_argument("--rollback", action="store_true", help="go back to the version before, without a connection")
    parser.add_argument("--allow-older", action="store_true", help="take a release that is older than one that was "
                        "here, or was rolled back from")  # fmt: skip
    parser.add_argument("--max-bytes", type=int, metavar="N", help="refuse a larger bundle (default: 4 GiB)")
    parser.add_argument("--max-model-bytes", type=int, metavar="N", help="refuse a packed bundle whose model is "
                        "larger, for it is unpacked in memory (default: 512 MiB)")  # fmt: skip
    parser.add_argument("--timeout", type=float, default=30.0, metavar="S", help="seconds to wait (default: 30)")
    parser.add_argument("--attempts", type=int, default=6, metavar="N", help="failures in a row, at most (default: 6)")


def run_publish(args: argparse.Namespace) -> int:
    """`pocketrec publish`; 0, or a `PocketRecError`."""
    if args.make_key is not None:
        from pocketrec.device.signing import make_key

        public = make_key(args.make_key)
        print(f"wrote {args.make_key} (keep it secret) and {args.make_key}.pub, for `pocketrec pull --key`")
        print_json({"key": public})
        if args.bundle is None:
            return 0
    if args.bundle is None or args.to is None or args.keep < 1:
        raise ConfigError("give a bundle, --to with the folder to write, and a --keep of at least 1")
    from pocketrec.device.publish import publish

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


def run_pull(args: argparse.Namespace) -> int:
    """`pocketrec pull`; 0, or a `PocketRecError`."""
    from pocketrec.device.pull import Limits, pull, rollback

    if args.rollback:
        folder = rollback(args.to)
        print(f"back to {folder}")
        print_json({"bundle": str(Path(args.to)), "version": folder.name})
        return 0
    from pocketrec.device.fetch import Patience

    given = {"total": args.max_bytes, "model": args.max_model_bytes}
    given = {name: value for name, value in given.items() if value is not None}
    if not args.timeout > 0 or min([args.attempts, *given.values()]) < 1:
        raise ConfigError("--timeout must be above 0, --attempts, --max-bytes and --max-model-bytes at least 1: give "
                          "larger numbers")  # fmt: skip
    limits = Limits(**given)
    done = pull(
        args.url, args.to, users=args.user, key=args.key, limits=limits,
        patience=Patience(timeout=args.timeout, attempts=args.attempts), older=args.allow_older,
    )  # fmt: skip
    print_table(
        [
            ("bundle", f"{args.to}, version {done.folder.name}, release {done.serial}: {done.reason}"),
            ("received", f"{done.received} bytes"),
        ]
    )
    print_json(
        {
            "bundle": args.to, "version": done.folder.name, "serial": done.serial, "new": done.new,
            "bytes_received": done.received, "reason": done.reason,
        }
    )  # fmt: skip
    return 0


#: What adds the arguments of each subcommand to its parser, and what runs it.
ARGUMENTS: Final[dict[str, Callable[[argparse.ArgumentParser], None]]] = {"publish": add_publish, "pull": add_pull}
RUN: Final[dict[str, Callable[[argparse.Namespace], int]]] = {"publish": run_publish, "pull": run_pull}
