# SPDX-License-Identifier: Apache-2.0
"""A recipe's name in words for people who have not read its file; knows nothing about how recipes are tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_WAYS: Final = {
    "partial": "last layer and head", "head": "head alone", "whole": "all layers", "patch": "adapters in the layers",
    "patch_parallel": "adapters beside the layers", "ranker": "ranker of the second stage",
}  # fmt: skip
_OPTIMIZERS: Final = {"sgd": "SGD", "adagrad": "Adagrad", "adam": "Adam"}


def recipe_name(trial: Mapping[str, Any]) -> str:
    """What a recipe does, in words.

    Args:
        trial: a row of ``trials`` in rehearsal.json; one of an earlier version without the recipe's parts keeps its
            name.
    """
    if "passes" not in trial or "repeats" not in trial:
        return str(trial.get("name", ""))
    parts = []
    if trial["passes"]:
        way, rule = str(trial["way"]), str(trial["optimizer"])
        parts.append(f"{_WAYS.get(way, way)} trained with {_OPTIMIZERS.get(rule, rule)}")
        parts.append(f"rate {trial['learning_rate']:g}, {trial['passes']} passes")
        parts += [f"pulled to global by {trial['proximal']:g}"] if trial.get("proximal") else []
        parts += ["on all events"] if trial.get("targets") == "all" else []
    else:
        parts.append("no training")
    strength = trial["repeats"].get("strength")
    return ", ".join([*parts, *([f"own items raised by {strength:.2g}"] if strength else [])])


def names_of(trials: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Short name -> name in words; where words do not tell two recipes apart, both keep the short name beside them."""
    words = {str(trial["name"]): recipe_name(trial) for trial in trials}
    seen = list(words.values())
    return {name: told if seen.count(told) == 1 else f"{told} ({name})" for name, told in words.items()}


def bonus_name(repeats: Mapping[str, Any]) -> str:
    """The bonus for repeats in words: its strength, and what it changes with.

    Args:
        repeats: the table ``repeats`` of a recipe.
    """
    if not repeats.get("strength"):
        return "no bonus for repeats"
    told = f"own items raised by {repeats['strength']:.2g}"
    if slope := repeats.get("slope"):
        told += f" (times 1 {'+' if slope > 0 else '-'} {abs(slope):.2g} log events)"
    events = repeats.get("decay", 1.0) < 1 or repeats.get("power")
    falls = [name for name, has in (("later events", events), ("time", repeats.get("time_power"))) if has]
    told += f", less with {' and '.join(falls)}" if falls else ""
    told += ", more after what came before" if repeats.get("follows") else ""
    return told + (", most where far from the top" if repeats.get("headroom") else "")
