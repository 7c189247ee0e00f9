# SPDX-License-Identifier: Apache-2.0
"""What a subcommand is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


@dataclass(frozen=True)
class Command:
    """A subcommand; every module of commands ends with its table, name -> `Command`."""

    help: str
    """One line for ``pocketrec --help``."""
    arguments: Callable[[argparse.ArgumentParser], None]
    """Adds its arguments; called only where the subcommand is the one wanted."""
    run: Callable[[argparse.Namespace], int | None]
    """Does it; the exit status, None = 0."""
