# SPDX-License-Identifier: Apache-2.0
"""Models that a benchmark measures beside each other, as its command line names them.

    NAME                        a backbone with its defaults, such as `gru`
    NAME:KEY=VALUE,KEY=VALUE    the same with options of `[model.NAME]`, such as `mingru:feed_forward=0,layers=2`
    NAME@WAY, NAME@WAY:...      the same, made personal in this way (where a benchmark looks at that)

A name stands for itself in the tables that a benchmark prints, so one backbone may be there several times.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from pocketrec.cloud.config.load import build_config
from pocketrec.cloud.config.model import BACKBONES, ModelConfig
from pocketrec.device.base.errors import ConfigError


def read_models(
    names: Sequence[str], options: Sequence[str], defaults: Mapping[str, Any], **model: Any
) -> dict[str, ModelConfig]:
    """The configuration of each model by its name.

    Args:
        names: as above.
        options: ``BACKBONE.KEY=VALUE`` for every model of a backbone; what a name says itself counts more.
        defaults: options for every backbone that has them, which count least; None = the backbone's own default.
        model: keys of `[model]`, the same for all.

    Raises:
        ConfigError: a name is there twice, or a backbone or an option is not known.
    """
    if len(set(names)) < len(names):
        raise ConfigError(f"one model is named twice in {', '.join(names)}: leave one out")
    common: dict[str, dict[str, Any]] = {}
    for option in options:
        backbone, dot, rest = option.partition(".")
        if not dot:
            raise ConfigError(f"{option!r} is no option: write BACKBONE.KEY=VALUE, such as gru.hidden=64")
        common.setdefault(backbone, {}).update([_option(rest)])
    unused = sorted(set(common) - set(map(_backbone, names)))
    if unused:
        raise ConfigError(f"{unused[0]} has options and is not measured: name it, or leave its options out")
    found = {}
    for name in names:
        own = name.partition(":")[2]
        backbone = _backbone(name)
        if backbone not in BACKBONES:
            raise ConfigError(f"there is no backbone {backbone}: choose of {', '.join(BACKBONES)}")
        kind = BACKBONES[backbone].options_class()
        known = {field.name for field in dataclasses.fields(kind)} if kind else set()
        chosen = {key: value for key, value in defaults.items() if value is not None and key in known}
        chosen |= common.get(backbone, {})
        chosen |= dict(_option(part) for part in own.split(",") if part)
        tables = {backbone: chosen} if chosen else {}
        found[name] = build_config(ModelConfig, {"backbone": backbone, **model, **tables})
    return found


def way_of(name: str) -> str:
    """The way to personalise that a name says; empty where it says none."""
    return name.partition(":")[0].partition("@")[2]


def _backbone(name: str) -> str:
    return name.partition(":")[0].partition("@")[0]


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{text!r} is no option: write KEY=VALUE, such as hidden=64")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value
