# SPDX-License-Identifier: Apache-2.0
"""Every system that is ranked: what readers call it, and in which order tables and reports have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pocketrec.cloud.config.baselines import BASELINES, label_of

#: Label and colour of each system that is not a baseline, in order.
_OURS: Final = {
    "global": ("Global model", "global"),
    "personal": ("Personal, with rehearsal and guard", "personal"),
    "neighbours": ("Network and neighbours, not personal", "other"),
    "repeats": ("Bonus for repeats alone", "other"),
    "naive": ("Naive fine-tuning (later)", "naive"),
    "naive_all": ("Naive fine-tuning (all)", "naive"),
    "federated": ("Federated", "personal"),
    "federated_personal": ("Federated, then personal", "personal"),
    "push": ("Push: the user embedding goes up", "other"),
    "necessary": ("Retrained on business-necessary events", "other"),
    "necessary_personal": ("Retrained on those, then personal", "personal"),
    "central": ("Retrained in the cloud", "other"),
    "central_tuned": ("Fine-tuned in the cloud", "other"),
}


def name_of(system: str) -> str:
    """The name of a system for readers; the name in metrics.json of one that is not known here."""
    return _OURS[system][0] if system in _OURS else label_of(system)


def kind_of(system: str) -> str:
    """The colour class of a system."""
    return _OURS.get(system, ("", "other"))[1]


def in_order(systems: Iterable[str]) -> list[str]:
    """Names of systems in the order of tables and reports: ours, the baselines, then any other by its name."""
    known = {name: place for place, name in enumerate((*_OURS, *BASELINES))}
    return sorted(systems, key=lambda name: (known.get(name, len(known)), name))
