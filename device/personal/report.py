# SPDX-License-Identifier: Apache-2.0
"""What a personalisation reports to the application. This module knows nothing about how it was done."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pocketrec.device.personal.guard import GLOBAL

if TYPE_CHECKING:
    from pocketrec.device.personal.personalise import Outcome


@dataclass(frozen=True)
class Report:
    """What `Recommender.personalise` did."""

    choice: str
    """Weights used from now on: personal, blend or global."""
    reason: str
    """Why, in a few words."""
    history: int
    """Events of the history, without unknown items."""
    unknown: int
    """Events given that were left out, because the vocabulary lacks their item."""
    events: int
    """Events to learn from."""
    heldback: int = 0
    """Of these, events that the guard held back for its judgement."""
    expected_gain: dict[str, float] = field(default_factory=dict)
    """Expected gain in reciprocal rank of ``personal`` and ``blend``, where they were weighed."""
    losses: list[float] = field(default_factory=list)
    """Mean loss of each pass, in nats."""
    steps: int = 0
    """Train steps since the global weights; 0 where the global weights are used."""
    paused: int = 0
    """Train steps made of a training that was stopped for its budget; 0 = it came to its end. `reason` says why."""
    before: int = 0
    """Events of the history before the log's cut-off, or that the cloud knows: context, and not learned from. Many of
    them on a new device mean a clock that was wrong when they were recorded."""
    older: int = 0
    """Events after the cut-off that are too many to be learned from, the first ones; see `guard.LEARNED`."""
    future: int = 0
    """Events that lie after this device's clock, and are left aside until their time has come."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)


def report_of(outcome: Outcome, choice: str, history: int, unknown: int, steps_before: int) -> Report:
    """The report of an outcome, with the choice that stands and the steps behind its start."""
    decision, judgement = outcome.decision, outcome.decision.judgement
    return Report(
        choice=choice,
        reason=decision.reason,
        history=history,
        unknown=unknown,
        events=outcome.events,
        heldback=judgement.heldback if judgement else 0,
        expected_gain=dict(decision.posterior),
        losses=outcome.losses,
        steps=0 if choice == GLOBAL else steps_before + outcome.steps,
        paused=0 if outcome.paused is None else max(1, outcome.paused.course.done),
    )
