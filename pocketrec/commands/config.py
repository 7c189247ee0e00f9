# SPDX-License-Identifier: Apache-2.0
"""The command ``pocketrec config``: a configuration file from before a key got another address."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

from pocketrec.device.base import documents
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.cli.command import Command

_HELP = "bring a configuration file up to date"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write a configuration file with every key at the address that it has today: `upgrade OLD.toml` rewrites the\n"
        "file itself and keeps what it was as OLD.toml.old; with --out the new file is written there and the old one\n"
        "stays. Values, comments and order are kept; a key that has moved takes the comments right above it along.\n"
        "Prints each change, and one JSON document as the last line."
    )
    parser.add_argument("action", choices=["upgrade"], help="what to do")
    parser.add_argument("file", metavar="OLD.toml", type=Path, help="the configuration file")
    parser.add_argument("--out", metavar="NEW.toml", type=Path, help="write this file, and leave OLD.toml as it is")


def _config(options: argparse.Namespace) -> None:
    from pocketrec.cloud.config.rewrite import upgrade_text
    from pocketrec.device.base.files import write_atomic

    source: Path = options.file
    try:
        raw = source.read_bytes()
        text = raw.decode("utf-8-sig")
        new, moves, kept = upgrade_text(text.replace("\r\n", "\n"))
    except FileNotFoundError:
        raise ConfigError(f"no configuration file {source}: name the file to upgrade") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {source}: {error}: correct the TOML and try again") from None
    _check(new)
    target: Path = options.out or source
    if options.out is None and moves:
        saved = source.with_name(f"{source.name}.old")
        if saved.exists():
            raise ConfigError(f"{saved} exists: move it away, or name the new file with --out")
        write_atomic(saved, raw)
    if moves or options.out is not None:
        write_atomic(target, (new.replace("\n", "\r\n") if "\r\n" in text else new).encode("utf-8"))
    for old, today in moves:
        print(f"{old} -> {today}")
    if not kept:
        print(f"{source} is written in a way that comments could not be kept in: compare the two files")
    print(f"{target}: written, keys that have moved: {len(moves)}" if moves else f"{source} has no old key")
    print(documents.line({"file": str(target), "moved": dict(moves), "comments_kept": kept}))


def _check(text: str) -> None:
    """See that the new file can be used.

    Raises:
        ConfigError: it has another fault; the message names it, and nothing is written.
    """
    from pocketrec.cloud.config.load import build_config
    from pocketrec.cloud.config.run import RunConfig
    from pocketrec.cloud.federated.pfedrec.config import PFedRecRun

    tables = tomllib.loads(text)
    build_config(PFedRecRun if "pfedrec" in tables else RunConfig, tables)


COMMANDS = {"config": Command(_HELP, _arguments, _config)}
