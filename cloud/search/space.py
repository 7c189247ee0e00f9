# SPDX-License-Identifier: Apache-2.0
"""What a random search may change, and how values are drawn.

A space maps keys of the configuration, such as ``train.batch``, to a list of choices or to a range
``{low = .., high = .., log = true}`` (uniform, or uniform in the logarithm). This module knows nothing about trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pocketrec.cloud.config.baselines import BASELINES
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.search import SECTIONS
from pocketrec.cloud.config.section import Section
from pocketrec.device.base.errors import ConfigError


def spaces(config: RunConfig, system: str) -> dict[str, Any]:
    """The space that comes with a system: what its sections, and the choices that they name, say of their keys."""
    found: dict[str, Any] = {}
    for address in sections_of(system):
        section: Any = config
        for name in address.split("."):
            section = section.get(name) if isinstance(section, Mapping) else getattr(section, name)
        parts = {address: section}
        if isinstance(section, Section):
            parts |= {f"{address}.{name}": section.tables[name] for name in section.chosen() if name in section.tables}
        for where, part in parts.items():
            found |= {f"{where}.{key}": entry for key, entry in getattr(part, "SPACE", {}).items()}
    return found


def sections_of(system: str) -> tuple[str, ...]:
    """Sections of the configuration that shape a system."""
    own = "baselines." if system in BASELINES.own else "baselines.options."
    return SECTIONS.get(system, (f"{own}{system}",))


def space_of(config: RunConfig, system: str) -> dict[str, Any]:
    """What ``[search.space]`` says of a system's tables; where that is nothing, the space that comes with it.

    Raises:
        ConfigError: the space names a key that does not exist or shapes no system, or an entry cannot be drawn from.
    """
    check_space(config, config.search.space)
    for key in config.search.space:
        if not any(_shapes(key, name) for name in ("global", *BASELINES)):
            known = ", ".join(f"[{section}]" for name in ("global", *BASELINES) for section in sections_of(name))
            raise ConfigError(f"search.space.{key} changes no system: name a key of one of {known}")
    own = {key: entry for key, entry in config.search.space.items() if _shapes(key, system)} or spaces(config, system)
    if not own:
        raise ConfigError(f"there is no space for {system}: name keys of {sections_of(system)[0]} in [search.space]")
    return own


def _shapes(key: str, system: str) -> bool:
    return any(key.startswith(f"{table}.") for table in sections_of(system))


def check_space(config: RunConfig, space: Mapping[str, Any]) -> None:
    """See that every key exists and every entry can be drawn from.

    Raises:
        ConfigError: it is not so.
    """
    for key, entry in space.items():
        draws = entry if isinstance(entry, list) else _ends(key, entry)
        if not draws:
            raise ConfigError(f"search.space.{key} is an empty list: give it choices or take it out")
        for value in draws:
            with_values(config, {key: value})


def draw(space: Mapping[str, Any], seed: int, trial: int) -> dict[str, Any]:
    """The values of one trial; equal arguments give equal values. Trial 0 changes nothing."""
    if not trial:
        return {}
    generator = np.random.default_rng([seed, trial])
    values: dict[str, Any] = {}
    for key, entry in space.items():
        place = float(generator.random())
        if isinstance(entry, list):
            values[key] = entry[int(place * len(entry))]
            continue
        low, high = _ends(key, entry)
        log = entry.get("log", False)
        value = math.exp(math.log(low) + place * math.log(high / low)) if log else low + place * (high - low)
        whole = isinstance(entry["low"], int) and isinstance(entry["high"], int)
        values[key] = round(value) if whole else float(f"{value:.3g}")
    return values


def with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The configuration with some keys changed.

    Raises:
        ConfigError: a key is unknown, or a value is not allowed.
    """
    tables = config.to_dict()
    for key, value in values.items():
        *path, name = key.split(".")
        table: Any = tables if path and path[0] in tables else None
        for part in path:
            table = table.setdefault(part, {}) if isinstance(table, dict) else None
        if not isinstance(table, dict) or not name:
            raise ConfigError(f"search.space.{key}: write the key as table.key, such as train.batch")
        table[name] = value
    return config_from_dict(tables)


def _ends(key: str, entry: Any) -> tuple[float, float]:
    """Lowest and highest value of a range."""
    known = isinstance(entry, Mapping) and {"low", "high"} <= set(entry) <= {"low", "high", "log"}
    numbers = known and all(isinstance(entry[k], int | float) for k in ("low", "high"))
    if not numbers or not entry["low"] < entry["high"] or (entry.get("log") and entry["low"] <= 0):
        raise ConfigError(
            f"search.space.{key}: write a list of choices, or a range such as {{low = 0.1, high = 0.7}} "
            "(log = true needs low above 0)"
        )
    return entry["low"], entry["high"]
