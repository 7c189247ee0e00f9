# SPDX-License-Identifier: Apache-2.0
"""A seam's table: each name that a configuration may hold, with what it stands for.

Targets are strings, imported when asked for: help texts and the check of a configuration stay light. An installed
package adds lines by entry points of the table's group, without a change here; the entry point loads a `Choice`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pocketrec.device.base.errors import ConfigError


@dataclass(frozen=True)
class Choice:
    """One line of a table."""

    target: str
    """``package.module:attribute`` of the implementation."""
    says: str
    """One line for help, the documentation's table and the report."""
    options: str = ""
    """``package.module:Class`` of its section's frozen dataclass; "" = it has no options."""

    def load(self) -> Any:
        """The implementation, imported now."""
        return imported(self.target)

    def options_class(self) -> type | None:
        """The class of its options, or None."""
        return imported(self.options) if self.options else None


@dataclass(frozen=True)
class Table:
    """All choices of one seam: our own, and those of installed packages."""

    key: str
    """Where a configuration names one, such as ``model.backbone``."""
    own: dict[str, Choice]
    """Our own lines, by name."""
    group: str = ""
    """Group of the entry points that add lines, such as ``pocketrec.backbones``; "" = none may."""

    def choices(self) -> dict[str, Choice]:
        """Every line by its name, our own first.

        Raises:
            ConfigError: an installed package names a choice that exists, or one that does not load.
        """
        return {**self.own, **(_installed(self.group, frozenset(self.own)) if self.group else {})}

    def names(self) -> tuple[str, ...]:
        """Every name that a configuration may hold."""
        return tuple(self.choices())

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self.names()

    def __getitem__(self, name: str) -> Choice:
        """The line of this name.

        Raises:
            ConfigError: it does not exist; the message lists the known names.
        """
        if name in self.own:
            return self.own[name]
        known = self.choices()
        if name not in known:
            raise ConfigError(f"{self.key} {name!r} is not known: it is one of {', '.join(known)}")
        return known[name]

    def load(self, name: str) -> Any:
        """The implementation of this name, imported now.

        Raises:
            ConfigError: it does not exist, or an installed package's does not load.
        """
        if name in self.own:
            return self.own[name].load()
        choice = self[name]
        try:
            return choice.load()
        except Exception as error:  # a stranger's module may raise anything
            raise ConfigError(
                f"{self.key} {name} does not load ({choice.target}): {error}: repair its package"
            ) from None


def imported(address: str) -> Any:
    """What stands at ``package.module:attribute``, imported now."""
    module, _, name = address.partition(":")
    return getattr(importlib.import_module(module), name)


def _installed(group: str, taken: frozenset[str]) -> dict[str, Choice]:
    """Lines that installed packages add to a group, by name."""
    from importlib import metadata  # only here: it takes 20 ms, and most commands have no need of it

    found: dict[str, Choice] = {}
    for point in sorted(metadata.entry_points(group=group), key=lambda point: point.name):
        by = f" (package {point.dist.name})" if point.dist else ""
        try:
            choice = point.load()
        except Exception as error:  # a stranger's module may raise anything
            raise ConfigError(
                f"{group} {point.name!r}{by} does not load: {error}: repair or remove the package"
            ) from None
        if not isinstance(choice, Choice):
            raise ConfigError(
                f"{group} {point.name!r}{by} is not a pocketrec.device.base.choices.Choice: its package is wrong"
            )
        if point.name in taken or point.name in found:
            raise ConfigError(f"{group} {point.name!r}{by} exists already: remove one of the two packages")
        found[point.name] = choice
    return found
