# SPDX-License-Identifier: Apache-2.0
"""Sections of the configuration that name choices of seams, each with a table of options of its own.

A section names its choice (``[model] backbone = "gru"``), and the options of that choice stand in a table below it
(``[model.gru]``), so that a key lies beside what it configures. Options of choices that are not chosen may stay in the
file; they are checked like the others.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from pocketrec.cloud.config.checks import LATER, known, require
from pocketrec.device.base.choices import Choice, Table
from pocketrec.device.base.errors import ConfigError


@dataclass(frozen=True)
class Section:
    """A table of the configuration that names one choice or several, each of a seam of its own."""

    tables: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    """Options by the name of their choice: those of every chosen one, and of others where the file has them."""

    SECTION: ClassVar[str] = ""
    """Name of the table."""
    CHOICES: ClassVar[Mapping[str, Table]] = {}
    """Key that names a choice -> the table of its seam."""
    MOVED: ClassVar[Mapping[str, str]] = {}
    """Keys that once stood in the section itself, each with its address in it today, such as ``gru.hidden``."""
    SOLE: ClassVar[frozenset[str]] = frozenset()
    """Choices that had no other beside them then: what was moved to them counts only where they are chosen."""

    def __post_init__(self) -> None:
        tables = dict(self.tables)
        for key, seam in self.CHOICES.items():
            name = getattr(self, key)
            known(name, seam, self.SECTION, key)
            if name not in tables and seam[name].options:
                tables[name] = default_options(seam[name], f"{self.SECTION}.{name}")
        for name, options in tables.items():
            kind = options_class(self.choice(name), f"{self.SECTION}.{name}")
            require(kind is not None and isinstance(options, kind), self.SECTION, f"{name} has no such options")
        object.__setattr__(self, "tables", dict(sorted(tables.items())))

    @classmethod
    def choice(cls, name: str) -> Choice:
        """The choice of this name, of whichever of the section's seams.

        Raises:
            ConfigError: it does not exist.
        """
        for seam in cls.CHOICES.values():
            if name in seam:
                return seam[name]
        having = ", ".join(name for seam in cls.CHOICES.values() for name, found in seam.choices().items()
                           if found.options)  # fmt: skip
        raise ConfigError(f"[{cls.SECTION}.{name}] belongs to no choice: options have {having}")

    def chosen(self) -> tuple[str, ...]:
        """The names that are chosen, one for each seam."""
        return tuple(getattr(self, key) for key in self.CHOICES)

    def options_of(self, name: str) -> Any:
        """The options of a choice, chosen or not: those of the file, else its defaults; None where it has none."""
        if name in self.tables:
            return self.tables[name]
        return default_options(self.choice(name), f"{self.SECTION}.{name}")

    def with_options(self, name: str, **changes: Any) -> Self:
        """The same section with some options of a choice changed."""
        changed = dataclasses.replace(self.options_of(name), **changes)
        return dataclasses.replace(self, tables={**self.tables, name: changed})


def options_class(choice: Choice, address: str) -> type | None:
    """The class of a choice's options, None where it has none.

    Raises:
        ConfigError: the package that brings it has no such class.
    """
    try:
        return choice.options_class()
    except Exception as error:  # an installed package's module may raise anything
        raise ConfigError(f"the options of {address} do not load ({choice.options}): {error}") from None


def default_options(choice: Choice, address: str) -> Any:
    """The options of a choice with all defaults; None where it has none."""
    kind = options_class(choice, address)
    return None if kind is None else kind()


def to_plain(config: Any) -> dict[str, Any]:
    """A section as plain tables, its options below it, as a TOML file has them."""
    plain = {name: _plain(getattr(config, name)) for name in field_names(config)}
    if isinstance(config, Section):
        plain |= {name: to_plain(options) for name, options in config.tables.items()}
    return plain


def key_values(config: Any) -> dict[str, Any]:
    """What shapes an outcome, as plain values for keys and fingerprints.

    Without options that are not chosen, without fields that came later (`pocketrec.cloud.config.checks.LATER`) while
    they have their default, and with each moved key at its old address: runs that were made before stay up to date.
    """
    fields = [field for field in dataclasses.fields(config) if field.metadata == LATER]
    later = {field.name for field in fields if getattr(config, field.name) == _default(field)}
    values = {name: _keyed(getattr(config, name)) for name in field_names(config) if name not in later}
    if isinstance(config, Section):
        chosen = config.chosen()
        moved = {name for name, _ in map(_parts, config.MOVED.values())}
        for old, (name, key) in ((old, _parts(new)) for old, new in config.MOVED.items()):
            if name in chosen or name not in config.SOLE:
                values[old] = getattr(config.options_of(name), key)
        values |= {name: key_values(config.tables[name]) for name in chosen
                   if name in config.tables and name not in moved}  # fmt: skip
    return values


def field_names(config: Any) -> list[str]:
    """Names of a section's own keys."""
    return [f.name for f in dataclasses.fields(config) if not (f.name == "tables" and is_section(config))]


def is_section(config: Any) -> bool:
    """Whether this is a section that names choices, or the class of one."""
    return issubclass(config if isinstance(config, type) else type(config), Section)


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _parts(address: str) -> tuple[str, str]:
    name, _, key = address.partition(".")
    return name, key


def _plain(value: Any) -> Any:
    return to_plain(value) if dataclasses.is_dataclass(value) else copy.deepcopy(value)


def _keyed(value: Any) -> Any:
    return key_values(value) if dataclasses.is_dataclass(value) else copy.deepcopy(value)
