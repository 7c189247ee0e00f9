"""A session's training, beside its other calls: what is added meanwhile is kept, and old weights answer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pocketrec.device.personal.options import TrainingOptions
from pocketrec.device.state.personalisation import Personalisation

if TYPE_CHECKING:
    from pocketrec.device.personal.budget import Budget
    from pocketrec.device.personal.options import Progress
    from pocketrec.device.personal.report import Report
    from pocketrec.device.state.session import Session
    from pocketrec.device.store.events import Events


@dataclass(frozen=True)
class Asked:
    """What `pocketrec.device.Recommender.personalise` was asked for, beside the events."""

    resume: bool = False
    """Go on from the present weights."""
    passes: int | None = None
    """Passes over the events; None = the recipe's."""
    progress: Progress | None = None
    """Called after each train step."""
    budget: Budget | None = None
    """How long, and up to which temperature, it may train."""
    if_new: bool = False
    """Do nothing where the last call had this very history, recipe and arguments."""


def personalised(session: Session, given: Events, asked: Asked) -> Report:
    """Add events, train, and bring the result together with what happened meanwhile.

    The training runs without the session's lock; see `pocketrec.device.Recommender.personalise` for the rest.
    """
    with session.training:
        limit = None if asked.budget is None else asked.budget.start()
        unknown = session.add(given)
        with session.lock:
            rows, times = session.events
            begun = dataclasses.replace(session.state, rows=rows, times=times)
            work = Personalisation(begun, session.bundle.recipe, session.since, session.history.stored, asked.resume,
                                   asked.passes, len(given) > 0, unknown, session.future)  # fmt: skip
            if asked.if_new and (report := work.nothing_new()) is not None:
                return report
            options, epoch = TrainingOptions(asked.passes, asked.progress, session.stopping(limit)), session.epoch
            model, reference = session.serving.begin()
        try:
            state, report = work.run(model, reference, options)
        except BaseException:
            with session.lock:
                session.serving.end(session.state.weights)
            raise
        with session.lock:
            return session.finish(work, state, report, epoch)
