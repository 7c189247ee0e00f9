# SPDX-License-Identifier: Apache-2.0
"""One personalisation of a state: from what is to be done, over the training, to the state that follows.

A training that its budget stopped is resumed here, where it is still about the same events, recipe and start.
This module knows nothing about files, bundles and stores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pocketrec.device.personal.guard import GLOBAL, events_to_learn, learned_since
from pocketrec.device.personal.options import Start
from pocketrec.device.personal.personalise import UNCHANGED, personalise
from pocketrec.device.personal.report import Report, report_of
from pocketrec.device.state.pending import Pending
from pocketrec.device.state.plan import Plan, fingerprint

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.contract.recipe import Recipe
    from pocketrec.device.engine.model import Model
    from pocketrec.device.personal.options import TrainingOptions
    from pocketrec.device.state.personal_state import PersonalState

#: Reason of a report where nothing was to be done.
NOTHING_NEW: Final = "nothing is new since the last training"


@dataclass(frozen=True)
class Personalisation:
    """What is to be done with one state."""

    state: PersonalState
    """History and weights to begin with."""
    recipe: Recipe
    """How to train."""
    since: int
    """Index of the first event that the global model has not seen."""
    stored: int = 0
    """Number of the store's last event in the history; 0 = no event store."""
    resume: bool = False
    """Go on from the present weights."""
    passes: int | None = None
    """Passes over the events; None = the recipe's."""
    fresh: bool = False
    """Whether events were given, known ones too."""
    unknown: int = 0
    """Events given whose items the vocabulary lacks, for the report."""
    future: int = 0
    """Events that lie in the future and are not part of the state's history here, for the report."""

    def nothing_new(self) -> Report | None:
        """The report where the last training that came to its end was about the very same; else None."""
        if self.state.learned != self._fingerprint(len(self.state.rows)):
            return None
        choice, whole = str(self.state.report.get("choice", GLOBAL)), len(self.state.rows)
        count = events_to_learn(self.state.rows, learned_since(whole, self.since))
        return self._with_left_out(Report(choice, NOTHING_NEW, whole, self.unknown, count, steps=self.state.steps))

    def run(
        self, model: Model, reference: Mapping[str, Array], options: TrainingOptions
    ) -> tuple[PersonalState, Report]:
        """Train, and give the state that follows and its report; the model holds the state's weights afterwards.

        Args:
            model: the model; its weights change meanwhile.
            reference: the global weights and slots.
            options: how the training is run.
        """
        old, recipe = self.state, self.recipe
        plan, pending = self._plan()
        through = self.stored if pending is None else pending.through
        start = Start(
            old.weights if plan.resumed else None, plan.step, plan.events, plan.first_target, plan.replay_from,
            None if pending is None else pending.paused,
        )  # fmt: skip
        outcome = personalise(
            model, old.rows[: plan.length], plan.since, recipe, reference, start, options, old.times[: plan.length]
        )
        if outcome.paused is not None:
            fresh = self.fresh if pending is None else pending.fresh
            halted = Pending(plan.key(old, recipe), plan.length, through, fresh, outcome.paused)
            model.import_weights(old.weights or reference)
            report = report_of(outcome, str(old.report.get("choice", GLOBAL)), len(old.rows), self.unknown, old.steps)
            return dataclasses.replace(old, pending=halted), self._with_left_out(report)
        choice = str(old.report.get("choice")) if outcome.decision.choice == UNCHANGED else outcome.decision.choice
        report = self._with_left_out(report_of(outcome, choice, len(old.rows), self.unknown, plan.step))
        state = dataclasses.replace(
            old,
            weights={} if choice == GLOBAL else outcome.weights,
            item_rows=old.item_rows if outcome.decision.choice == UNCHANGED else outcome.item_rows,
            trained=plan.length if outcome.losses else old.trained if plan.resumed else 0,
            through=through if outcome.losses else old.through if plan.resumed else 0,
            steps=report.steps,
            report=report.to_dict(),
            pending=None,
            learned=self._fingerprint(plan.length),
        )
        return state, report

    def _plan(self) -> tuple[Plan, Pending | None]:
        """The plan, and the stopped training that it continues with, if there is one about the same."""
        old, pending = self.state, self.state.pending
        if pending is not None:
            plan = Plan.of(old, self.recipe, self.since, pending.length, self.resume, self.passes, pending.fresh)
            if plan.key(old, self.recipe) == pending.key:
                return plan, pending
        return Plan.of(old, self.recipe, self.since, len(old.rows), self.resume, self.passes, self.fresh), None

    def _with_left_out(self, report: Report) -> Report:
        """The report with the numbers of events that are not learned from."""
        older = learned_since(len(self.state.rows), self.since) - self.since
        return dataclasses.replace(report, before=self.since, older=older, future=self.future)

    def _fingerprint(self, length: int) -> str:
        return fingerprint(self.state, self.recipe, self.since, length, self.resume, self.passes)
