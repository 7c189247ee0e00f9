# SPDX-License-Identifier: Apache-2.0
"""The command ``pocketrec items``: a bundle with other items, without training."""

from __future__ import annotations

import argparse
from pathlib import Path

from pocketrec.commands.options import add_quiet
from pocketrec.device.base import documents
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.cli.command import Command

_HELP = "a bundle with new items, from their content, or without old ones; nothing is trained"
_SHOWN = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Give a finished run's model other items: new ones get an embedding from their content, the table of [items];\n"
        "old ones are left out. Nothing is trained, and all other tensors keep their bytes. Writes OUT/bundle and\n"
        "OUT/bundle.zip; prints what was done, and one JSON document as the last line."
    )
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="run directory of a model with content")
    parser.add_argument("--add", metavar="FILE", type=Path, help="new items, with the columns that [items] names")
    parser.add_argument("--remove", metavar="FILE", type=Path, help="items to leave out, with the column of the id")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where the bundle goes (default: RUN/items)")
    add_quiet(parser)


def run(options: argparse.Namespace) -> None:
    """Change the catalogue and print what was done."""
    from pocketrec.cloud.base.runs import CONFIG_FILE, Run, read_json
    from pocketrec.cloud.config.load import stored_config
    from pocketrec.stages.catalogue import change_catalogue

    folder, out = options.run_folder, options.out or options.run_folder / "items"
    if not options.add and not options.remove:
        raise ConfigError("nothing to do: name a file of items with --add or --remove")
    stored = read_json(folder / CONFIG_FILE)
    if not stored or not (folder / "bundle").is_dir():
        raise ConfigError(f"{folder} is no finished run: name one that `pocketrec run` or `pocketrec export` has made")
    found = change_catalogue(Run(stored_config(stored), folder, label="items"), options.add, options.remove, out)
    if not options.quiet:
        print(f"added {found.added} items, removed {found.removed}: {len(found.ids)} items in {out / 'bundle'}")
        if found.strangers:
            print(f"{found.strangers} items to remove were not in the catalogue")
        if found.without_content:
            named = ", ".join(found.without_content[:_SHOWN]) + (", .." if len(found.without_content) > _SHOWN else "")
            print(f"{len(found.without_content)} new items have no content that the model knows, and take the mean of "
                  f"their category, or of all items: {named}")  # fmt: skip
    print(documents.line({"added": found.added, "removed": found.removed, "items": len(found.ids),
                          "without_content": len(found.without_content), "not_there": found.strangers,
                          "bundle": str(out / "bundle")}))  # fmt: skip


COMMANDS = {"items": Command(_HELP, arguments, run)}
