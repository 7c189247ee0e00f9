"""A configuration as a TOML file that `pocketrec.cloud.config.load.load_config` reads back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pocketrec.cloud.config.run import RunConfig


def to_toml(config: RunConfig, without: tuple[str, ...] = ()) -> str:
    """Everything that differs from the defaults, but the tables in `without`."""
    defaults = RunConfig().to_dict()
    lines = [f"seed = {config.seed}"]
    for name, table in config.to_dict().items():
        if not isinstance(table, dict) or name in without:
            continue
        changed = {key: value for key, value in table.items() if value != defaults[name][key]}
        if name == "data":
            changed |= {key: table[key] for key in ("set", "path") if table[key]}
        if changed:
            lines += ["", f"[{name}]", *(f"{key} = {_text(value)}" for key, value in changed.items())]
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)} = {_text(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)
