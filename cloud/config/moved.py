# SPDX-License-Identifier: Apache-2.0
"""Keys that have another address today: stored values are read at either, a file with an old one is refused.

Since options stand beside their choice (`pocketrec.cloud.config.section`), a configuration written before has some keys
elsewhere. `upgraded` is the one function that knows how: for what runs have stored, and for
``pocketrec config upgrade``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pocketrec.cloud.config.candidates import CandidatesConfig
from pocketrec.cloud.config.knn import KnnConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.section import Section, field_names, key_values, to_plain
from pocketrec.cloud.config.training import TrainConfig
from pocketrec.device.base.errors import ConfigError

_SECTIONS: Final[tuple[type[Section], ...]] = (ModelConfig, TrainConfig, CandidatesConfig)
_KNN: Final = "knn"
_LATER: Final = ("baselines", "items", "ranker")  # sections that runs of before did not have

#: Old address -> today's.
MOVED: Final[Mapping[str, str]] = {
    **{f"{kind.SECTION}.{old}": f"{kind.SECTION}.{new}" for kind in _SECTIONS for old, new in kind.MOVED.items()},
    **{f"{_KNN}.{key}": f"baselines.{_KNN}.{key}" for key in field_names(KnnConfig)},
}
#: Tables of which every key has moved.
MOVED_TABLES: Final[Mapping[str, str]] = {_KNN: f"baselines.{_KNN}"}


def old_keys(tables: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each old address that occurs, with today's; the keys of ``[search.space]`` are addresses, too."""
    for old, new in MOVED_TABLES.items():
        table = tables.get(old)
        if isinstance(table, Mapping) and not any(f"{old}.{key}" in MOVED for key in table):
            yield old, new
    for old, new in MOVED.items():
        section, _, key = old.partition(".")
        table = tables.get(section)
        if isinstance(table, Mapping) and key in table:
            yield old, new
    for key in _space(tables):
        if key in MOVED:
            yield f"search.space.{key}", f"search.space.{MOVED[key]}"


def refuse_old_keys(tables: Mapping[str, Any], advice: Callable[[str, str], str]) -> None:
    """See that every key stands where it does today.

    Args:
        tables: of a configuration, not yet checked.
        advice: old and new address -> what to do.

    Raises:
        ConfigError: one does not; the message names both addresses.
    """
    for old, new in old_keys(tables):
        raise ConfigError(f"{old} is now {new}: {advice(old, new)}")


def upgraded(tables: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the tables with every key at the address that it has today; what stands right stays as it is.

    Raises:
        ConfigError: a key stands at both addresses.
    """
    new_tables: dict[str, Any] = copy.deepcopy(dict(tables))
    for old, new in list(old_keys(tables)):
        if old in MOVED_TABLES:
            continue
        if old.startswith("search.space."):
            continue
        section, _, key = old.partition(".")
        value = new_tables[section].pop(key)
        *parents, name = new.split(".")
        table = new_tables
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{parent} is not a table, and {old} is now {new}: repair the file")
        if name in table:
            raise ConfigError(f"{old} is now {new}, and both are there: remove one of them")
        table[name] = value
    for old in MOVED_TABLES:
        if isinstance(new_tables.get(old), dict) and not new_tables[old]:
            del new_tables[old]
    space = _space(tables)
    if space:
        new_tables["search"]["space"] = {MOVED.get(key, key): copy.deepcopy(entry) for key, entry in space.items()}
    return new_tables


def values_of_run(config: Any) -> dict[str, Any]:
    """All that shapes a run as plain values for a fingerprint, each key at its old address; see `key_values`."""
    values = {name: key_values(getattr(config, name)) for name in to_plain(config) if name not in ("seed", *_LATER)}
    later = {"baselines": config.baselines.beside_knn, "ranker": config.ranker}
    values |= {name: key_values(section) for name, section in later.items() if section != type(section)()}
    back = {new: old for old, new in MOVED.items()}
    space = values["search"]["space"]
    values["search"]["space"] = {back.get(key, key): entry for key, entry in space.items()}
    return {"seed": config.seed, **values, _KNN: key_values(config.baselines.knn)}


def _space(tables: Mapping[str, Any]) -> Mapping[str, Any]:
    search = tables.get("search")
    space = search.get("space") if isinstance(search, Mapping) else None
    return space if isinstance(space, Mapping) else {}
