# SPDX-License-Identifier: Apache-2.0
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
    from pocketrec.device.state.watching import Watching
    from pocketrec.device.store.events import Events


def personalised(
    session: Session, watching: Watching, given: Events, resume: bool, passes: int | None, progress: Progress | None,
    budget: Budget | None, if_new: bool,
) -> Report:
    """Add events, rank what is new, train, and bring the result together with what happened meanwhile.

    The training runs without the session's lock; see `pocketrec.device.Recommender.personalise` for the rest.
    """
    with session.training:
        limit = None if budget is None else budget.start()
        unknown = session.add(given)

        def asked() -> Personalisation:
            rows, times = session.events
            begun = dataclasses.replace(session.state, rows=rows, times=times)
            return Personalisation(begun, session.bundle.recipe, session.since, session.history.stored, resume,
                                   passes, len(given) > 0, unknown, session.future)  # fmt: skip

        if if_new:
            with session.lock:
                if (report := asked().nothing_new()) is not None:
                    return report
        watching.look()
        with session.lock:
            work, most = asked(), watching.quality.watch.most
            options, epoch = TrainingOptions(passes, progress, session.stopping(limit), most), session.epoch
            model, reference = session.serving.begin()
        try:
            state, report = work.run(model, reference, options)
        except BaseException:
            with session.lock:
                session.serving.end(session.state.weights)
            raise
        with session.lock:
            report = session.finish(work, state, report, epoch)
            watching.decided(report)
            return report
