# SPDX-License-Identifier: Apache-2.0
"""What one user's device keeps between runs, as a value. This module knows nothing about files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.personal.item_rows import NONE, ItemRows
from pocketrec.device.state.pending import Pending


@dataclass(frozen=True)
class PersonalState:
    """What one user's device keeps between runs."""

    user: str
    """User id; "" where the application gave none."""
    rows: Array
    """int32 [n]: history, oldest first, no 0."""
    times: Array
    """float64 [n]: time of each event, in the log's unit."""
    weights: dict[str, Array]
    """Trainable tensors and slots; empty = the global ones."""
    item_rows: ItemRows = NONE
    """Personal item rows."""
    trained: int = 0
    """Number of the history's first events that personal training has seen; 0 = never trained."""
    steps: int = 0
    """Train steps made since the global weights."""
    report: dict[str, Any] = field(default_factory=dict)
    """The last personalisation's report."""
    generation: int = 1
    """How many times the state was written."""
    store: str = ""
    """Identity of the event store that holds the history; "" = `rows` and `times` do."""
    through: int = 0
    """Number of the store's last event that training has seen."""
    pending: Pending | None = None
    """A training that was stopped for its budget."""
    learned: str = ""
    """Fingerprint of what the last personalisation was about (`pocketrec.device.state.plan.fingerprint`); "" =
    unknown."""
    forgotten: int = 0
    """How often events were forgotten, or the history started again, where the state holds it: what was trained before
    is not used."""
    items: tuple[str, ...] = ()
    """Item id of each different row of the history, by rising row; () = not noted, the vocabulary has to tell."""
    vocabulary: str = ""
    """SHA-256 of the vocabulary that the rows belong to; "" = of the bundle at hand."""


def empty_state(user: str | None, generation: int = 0) -> PersonalState:
    """A state without events and with the global weights."""
    return PersonalState(user or "", np.zeros(0, np.int32), np.zeros(0, np.float64), {}, generation=generation)


def without_history(state: PersonalState) -> PersonalState:
    """The state without its events; the weights stay."""
    return replace(state, rows=np.zeros(0, np.int32), times=np.zeros(0, np.float64), trained=0)


def joined(rows: Array, times: Array, trained: int, new: Mapping[str, Array]) -> tuple[Array, Array, int]:
    """Merge new events into a history, by time; events of equal time keep their order, the old ones first.

    Args:
        rows, times: the history, int32 [n] and float64 [n].
        trained: how many of its first events training has seen.
        new: ``rows`` and ``times`` of the new events.

    Returns:
        The merged rows and times, and how many of the first events count as seen.
    """
    all_times = np.concatenate([times, new["times"]])
    order = np.argsort(all_times, kind="stable")
    seen = int(np.flatnonzero(order < trained).max(initial=-1)) + 1
    return np.concatenate([rows, new["rows"]]).astype(np.int32)[order], all_times[order], seen
