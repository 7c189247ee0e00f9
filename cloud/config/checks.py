# SPDX-License-Identifier: Apache-2.0
"""Checks of configuration values. Each failure is a `ConfigError` that names the table and the key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from pocketrec.device.base.choices import Table
from pocketrec.device.base.errors import ConfigError

#: Metadata of a field that was added after runs were made without it; its default has to mean what they did.
LATER: Final[dict[str, Any]] = {"later": True}


def require(holds: bool, table: str, message: str) -> None:
    """Raise `ConfigError` with the message where the condition does not hold."""
    if not holds:
        raise ConfigError(f"[{table}] {message}")


def one_of(value: str, known: Sequence[str], table: str, name: str) -> None:
    """Raise `ConfigError` where `value` is not one of the known names, which the message lists."""
    require(value in known, table, f"{name} {value!r} is not one of {', '.join(known)}")


def known(value: str, table: Table, section: str, name: str) -> None:
    """Raise `ConfigError` where `value` is not a name of the seam's table, whose names the message lists."""
    if value not in table:  # the names are listed only then: looking for installed packages takes 10 ms a table
        raise ConfigError(f"[{section}] {name} {value!r} is not one of {', '.join(table)}")


def at_least(least: int, config: object, table: str, *names: str) -> None:
    """Raise `ConfigError` where a field of `config` is below `least` or not finite."""
    for name in names:
        value = getattr(config, name)
        require(least <= value < math.inf, table, f"{name} must be at least {least}, and is {value}")


def rate(value: float) -> bool:
    """Whether a learning rate is above 0 and finite."""
    return 0 < value < math.inf
