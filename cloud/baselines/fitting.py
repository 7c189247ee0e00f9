# SPDX-License-Identifier: Apache-2.0
"""Fitting the baselines that a configuration asks for.

This module knows nothing about cut-offs: it is given the events before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pocketrec.cloud.baselines.baseline import Baseline, Past
from pocketrec.cloud.baselines.files import load_class
from pocketrec.cloud.config.baselines import baseline_options
from pocketrec.cloud.config.run import RunConfig


def fit(config: RunConfig, name: str, past: Past) -> Baseline | None:
    """Fit one baseline with the options that the configuration has for it; None where they switch it off."""
    return load_class(name).fit(options_of(config, name), past)


def fit_all(config: RunConfig, past: Past, names: Iterable[str]) -> dict[str, Baseline]:
    """Fit some baselines, by name; those that their options switch off are left out."""
    fitted = ((name, fit(config, name, past)) for name in names)
    return {name: baseline for name, baseline in fitted if baseline is not None}


def judged(config: RunConfig, *, personal: bool) -> Iterator[str]:
    """Names of the baselines that are judged, in the order of the table.

    Args:
        config: of the run.
        personal: whether users come back; on sessions, whose users are all new, a baseline that reads the user and
            nothing else would equal popularity.
    """
    for name in config.baselines.names():
        kind = load_class(name)
        if personal or kind.reads_history or not kind.reads_user:
            yield name


def options_of(config: RunConfig, name: str) -> Any:
    """The options of a baseline; None where it has none.

    Raises:
        ConfigError: a key is unknown, or a value is not allowed.
    """
    own = {"als": config.candidates.als, "item_knn": config.baselines.knn}
    return own.get(name) or baseline_options(config.baselines, name)
