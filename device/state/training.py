"""A session's training, beside its other calls: what is added meanwhile is kept, and old weights answer."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pocketrec.device.personal.options import TrainingOptions
from pocketrec.device.state.personalisation import Personalisation

if TYPE_CHECKING:
    from pocketrec.device.personal.budget import Budget
    from pocketrec.device.personal.options import Progress
    from pocketrec.device.personal.report import Report
    from pocketrec.device.state.session import Session
    from pocketrec.device.store.events import Events


def personalised(
    session: Session, given: Events, resume: bool, passes: int | None, progress: Progress | None, budget: Budget | None,
    if_new: bool,
) -> Report:
    """Add events, train, and bring the result together with what happened meanwhile.

    The training runs without the session's lock; see `pocketrec.device.Recommender.personalise` for the rest.
    """
    with session.training:
        limit = None if budget is None else budget.start()
        unknown = session.add(given)
        with session.lock:
            rows, times = session.events
            begun = dataclasses.replace(session.state, rows=rows, times=times)
            work = Personalisation(begun, session.bundle.recipe, session.since, session.history.stored, resume,
                                   passes, len(given) > 0, unknown, session.future)  # fmt: skip
            if if_new and (report := work.nothing_new()) is not None:
                return report
            options, epoch = TrainingOptions(passes, progress, session.stopping(limit)), session.epoch
            model, reference = session.serving.begin()
        try:
            state, report = work.run(model, reference, options)
        except BaseException:
            with session.lock:
                session.serving.end(session.state.weights)
            raise
        with session.lock:
            return session.finish(work, state, report, epoch)
