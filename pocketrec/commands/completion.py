# SPDX-License-Identifier: Apache-2.0
"""The command ``pocketrec completion``: what a shell needs to complete commands, options and file names."""

from __future__ import annotations

import argparse
from pathlib import Path

from pocketrec.device.base.errors import ConfigError
from pocketrec.device.cli.command import Command

_HELP = "print a script by which bash, zsh or tcsh complete commands"
_SHELLS = ("bash", "zsh", "tcsh")
#: What an argument is called that is a file or folder, though it is not read as a path.
_FILES = frozenset(("CONFIG", "BASE", "NAME|LOG|CONFIG", "RUN|BUNDLE", "RUN|CONFIG|PREFIX"))


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Print a completion script. It is made once, and no Python is started when a key is pressed:\n\n"
        "  bash  pocketrec completion bash > ~/.local/share/bash-completion/completions/pocketrec\n"
        "  zsh   pocketrec completion zsh > ~/.zsh/completions/_pocketrec   (a folder of $fpath)\n"
        "  tcsh  pocketrec completion tcsh > ~/.pocketrec.tcsh              (sourced by ~/.tcshrc)\n\n"
        "Needs the package shtab (pip install 'pocketrec[completion]')."
    )
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))


def run(options: argparse.Namespace) -> None:
    """Print the script."""
    try:
        import shtab
    except ImportError:
        raise ConfigError("completion needs the package shtab: pip install 'pocketrec[completion]'") from None
    parser = options.whole_parser()
    _prepare(parser, shtab.FILE)
    print(shtab.complete(parser, options.shell))


def _prepare(parser: argparse.ArgumentParser, file: object) -> None:
    """Mark arguments that are files or folders, and let commands be seen, which help lists in a way of its own."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            action.help = "command"
            for sub in action.choices.values():
                _prepare(sub, file)
        elif action.type is Path or action.metavar in _FILES:
            action.complete = file  # type: ignore[attr-defined]


COMMANDS = {"completion": Command(_HELP, arguments, run)}
