# SPDX-License-Identifier: Apache-2.0
"""Reading a configuration: TOML and ``key=value`` overrides become a checked `RunConfig`."""

from __future__ import annotations

import dataclasses
import datetime
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pocketrec.cloud.config.fit import check_training
from pocketrec.cloud.config.layers import check_backbone, check_ranker
from pocketrec.cloud.config.moved import refuse_old_keys, upgraded
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.section import Section, field_names, options_class
from pocketrec.device.base.errors import ConfigError

_Config = typing.TypeVar("_Config")


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a TOML file and apply ``key=value`` overrides such as ``train.epochs=3``.

    Args:
        path: the file.
        overrides: ``table.key=value`` (or ``seed=value``); the value is TOML, bare words are taken as strings.

    Raises:
        ConfigError: the file is missing or not TOML, a key is unknown, or a value has the wrong type or range.
    """
    return config_from_dict(read_tables(path, overrides))


def stored_config(tables: Mapping[str, Any]) -> RunConfig:
    """The configuration that a run has stored (``RUN/config.json``), also where its keys had other addresses.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type or range.
    """
    return config_from_dict(upgraded(tables))


def read_tables(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The tables of a TOML file after the overrides, not yet checked.

    Raises:
        ConfigError: the file is missing or not TOML, an override is not of the form ``table.key=value``, or a key has
            another address today.
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        what = "configuration file" if Path(path).suffix == ".toml" else "log or configuration"
        raise ConfigError(f"no {what} {path}: name a file that is there, such as configs/demo.toml") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}: correct the TOML and try again") from None
    refuse_old_keys(tables, lambda *_: f"`pocketrec config upgrade {path}` writes the file with the new keys")
    for override in overrides:
        _apply(tables, override)
        refuse_old_keys(tables, _with_value(override.partition("=")[2]))
    return tables


def tables_of(overrides: Sequence[str]) -> dict[str, Any]:
    """The tables of ``key=value`` overrides alone, not yet checked.

    Raises:
        ConfigError: an override is not of the form ``table.key=value``, or a key has another address today.
    """
    tables: dict[str, Any] = {}
    for override in overrides:
        _apply(tables, override)
        refuse_old_keys(tables, _with_value(override.partition("=")[2]))
    return tables


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Plain tables with the keys of other tables laid over them, table by table."""
    both = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], Mapping) and isinstance(above[key], Mapping):
            both[key] = merged(below[key], above[key])
    return both


def config_from_dict(tables: dict[str, Any]) -> RunConfig:
    """Make a checked `RunConfig` from plain tables (the inverse of `RunConfig.to_dict`).

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type or range.
    """
    config = build_config(RunConfig, tables)
    check_training(config)
    check_backbone(config)
    check_ranker(config)
    return config


def build_config(cls: type[_Config], tables: dict[str, Any]) -> _Config:
    """Make a checked configuration of the dataclass `cls` from plain tables.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type or range.
    """
    refuse_old_keys(tables, lambda _, new: f"write {new}")
    return typing.cast(_Config, _build(cls, tables, ""))


def _apply(tables: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise ConfigError(f"--set {override}: write it as table.key=value, such as train.epochs=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, name = key.strip().split(".")
    for parent in parents:
        tables = tables.setdefault(parent, {})
        if not isinstance(tables, dict):
            raise ConfigError(f"--set {override}: {parent} is not a table; see docs/configuration.md for the keys")
    tables[name] = value


def _with_value(text: str) -> Callable[[str, str], str]:
    return lambda _, new: f"write --set {new}={text}"


def _build(cls: type, tables: dict[str, Any], prefix: str) -> Any:
    types_of = typing.get_type_hints(cls)
    known = field_names(cls)
    values: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for key, value in tables.items():
        if key in known:
            values[key] = _convert(types_of[key], value, prefix + key)
        elif isinstance(value, dict) and issubclass(cls, Section):
            options[key] = _options(cls, key, value, prefix + key)
        else:
            raise ConfigError(f"unknown key {prefix}{key}: the keys here are {', '.join(sorted(known))}")
    return cls(**values, **({"tables": options} if options else {}))


def _options(section: type[Section], name: str, tables: dict[str, Any], address: str) -> Any:
    kind = options_class(section.choice(name), address)
    if kind is None:
        raise ConfigError(f"[{address}] has no keys: {name} has no options, remove the table")
    return _build(kind, tables, f"{address}.")


def _convert(expected: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(expected):
        if not isinstance(value, dict):
            raise ConfigError(f"{name} must be a table, [{name}]")
        return _build(typing.cast(type, expected), value, name + ".")
    origin = typing.get_origin(expected)
    if origin is list:
        (inner,) = typing.get_args(expected)
        if not isinstance(value, list):
            raise ConfigError(f"{name} must be a list, not {value!r}")
        return [_convert(inner, entry, name) for entry in value]
    if origin is dict:
        inner = typing.get_args(expected)[1]
        if not isinstance(value, dict):
            raise ConfigError(f"{name} must be a table, not {value!r}")
        return {key: entry if inner is Any else _convert(inner, entry, f"{name}.{key}") for key, entry in value.items()}
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if expected is str and isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    if expected is str and isinstance(value, datetime.date | datetime.time):  # a date that TOML has without quotes
        return value.isoformat()
    if not isinstance(value, expected if not isinstance(expected, types.UnionType) else object) or (
        expected is not bool and isinstance(value, bool)
    ):
        raise ConfigError(f"{name} must be of type {expected.__name__}, not {value!r}")
    return value
