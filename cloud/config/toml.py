# SPDX-License-Identifier: Apache-2.0
"""A configuration as a TOML file that `pocketrec.cloud.config.load.load_config` reads back."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.section import Section, field_names


def to_toml(config: RunConfig, without: tuple[str, ...] = ()) -> str:
    """Everything that differs from the defaults, but the tables in `without`."""
    lines = [f"seed = {config.seed}"]
    for name, section in vars(config).items():
        if dataclasses.is_dataclass(section) and name not in without:
            lines += _table(name, section, ("set", "path") if name == "data" else ())
    return "\n".join(lines) + "\n"


def tables_to_toml(tables: Mapping[str, Any]) -> str:
    """Plain tables as TOML: keys of a table first, then the tables below it."""
    return "\n".join(_plain_table("", tables)).lstrip("\n") + "\n"


def _plain_table(name: str, table: Mapping[str, Any]) -> list[str]:
    below = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    own = [f"{_key(key)} = {_text(value)}" for key, value in table.items() if key not in below]
    lines = ["", f"[{name}]", *own] if name and (own or not below) else own
    for key, value in below.items():
        lines += _plain_table(f"{name}.{_key(key)}" if name else _key(key), value)
    return lines


def _table(name: str, section: Any, always: tuple[str, ...] = ()) -> list[str]:
    """A section's changed keys, then the tables of its options."""
    default = _defaults(section)
    keys = {key: getattr(section, key) for key in field_names(section)}
    below = {key: value for key, value in keys.items() if dataclasses.is_dataclass(value)}
    changed = {key: value for key, value in keys.items() if key not in below
               and (value != getattr(default, key) or (key in always and value))}  # fmt: skip
    lines = ["", f"[{name}]", *(f"{key} = {_text(value)}" for key, value in changed.items())] if changed else []
    for key, options in {**below, **(section.tables if isinstance(section, Section) else {})}.items():
        lines += _table(f"{name}.{_key(key)}", options)
    return lines


def _defaults(section: Any) -> Any:
    """The section with all defaults; of `DataConfig`, which has none, those of a run."""
    return RunConfig().data if isinstance(section, DataConfig) else type(section)()


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)} = {_text(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)
