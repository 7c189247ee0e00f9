# SPDX-License-Identifier: Apache-2.0
"""Ranking a user's new events before they are learned, by the global weights and by those in use.

What is ranked is what `Recommender.recommend` would have offered right before the event: the same set, bonus and order,
with the history up to there and the event's own time. Events that were learned by the weights in use, that lie before
the cut-off, and those that were ranked already are not ranked. An event costs one `infer` (or `rank`) call by each of
the two weights, and by one where the global weights are in use; at most `AT_ONCE` events are ranked at a time, the
latest ones. The session's lock is given back after each `PART` of them, so that nobody waits for long.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pocketrec.device.base.errors import StateError, StorageError
from pocketrec.device.personal.guard import GLOBAL, share_of
from pocketrec.device.personal.item_rows import NONE
from pocketrec.device.personal.ranking import Additions, ranked
from pocketrec.device.personal.report import Report
from pocketrec.device.personal.watch import RUNGS
from pocketrec.device.state.answering import Offered
from pocketrec.device.state.file import drop_quality
from pocketrec.device.state.personalisation import Personalisation
from pocketrec.device.state.quality import DEEPEST, Mark, Quality, load_quality, save_quality

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pocketrec.device.base.array import Array
    from pocketrec.device.personal.item_rows import ItemRows
    from pocketrec.device.state.session import Session

#: Most events that are ranked at a time.
AT_ONCE: Final = 500
#: Events that are ranked under one hold of the session's lock.
PART: Final = 25

_WORSE: Final = "the personal weights ranked new events worse than the global ones for long"


class Watching:
    """The quality of one session's recommendations.

    Args:
        session: whose events are ranked.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._quality: Quality | None = None  # None = not read yet

    @property
    def quality(self) -> Quality:
        """What is known; read from the file at first, and begun again where events were forgotten."""
        session = self._session
        found = self._quality
        if found is None and session.path is not None:
            found = load_quality(session.path, session.seal)
            if found is not None and found.generation > session.state.generation:  # of a state that is gone
                found = None
        bound = self._bound()
        if found is None:
            found = Quality(bound=bound)
        elif found.bound != bound:
            found = self._marked(Quality(bound=bound, watch=found.watch.anew()))
        if found.model_id != session.bundle.manifest.model_id:
            found = dataclasses.replace(
                found, watch=found.watch.anew(), model_id=session.bundle.manifest.model_id
            )
        self._quality = found
        return found

    def look(self) -> None:
        """Rank what is new; go back to the global weights where those in use were worse for long.

        Not to be called under the session's lock.
        """
        with self._session.lock:
            self._session.refresh()
            self._pass_over()
        while True:
            with self._session.lock:
                if not self._look_at_part():
                    return

    def decided(self, report: Report) -> None:
        """Note what a personalisation came to; the session's lock is held."""
        if report.paused:
            return
        told = {"events": report.events, "heldback": report.heldback, "expected_gain": dict(report.expected_gain)}
        self._note(report.choice, report.reason, told)

    def forget(self) -> None:
        """Drop the file before events are forgotten: it has the time of one.

        Raises:
            StorageError: it cannot be deleted.
        """
        self._quality = self.quality
        if self._session.path is not None:
            drop_quality(self._session.path)

    def reload(self) -> None:
        """Take what lies beside the state file, which was read again."""
        self._quality = None

    def save(self, path: Path) -> None:
        """Write it beside the state that was just written; where that cannot be done, it stays in memory.

        What is there counts if it came from another holder of this state and has looked at later events; what a state
        that is gone has left does not. The file's lock is held since before the state was written.
        """
        mine = dataclasses.replace(self.quality, generation=self._session.state.generation)
        try:
            other = load_quality(path, self._session.seal) if path == self._session.path else None
            ours = other is not None and other.bound == mine.bound and other.generation < mine.generation
            if other is not None and ours and _later(other, mine):
                mine = dataclasses.replace(other, generation=mine.generation)
            if mine.mark is None and not mine.decisions:
                drop_quality(path)  # what is there is about a history that was begun again
            else:
                save_quality(path, mine, self._session.seal)
        except StorageError:
            return
        self._quality = mine

    def _bound(self) -> str:
        """What changes where events are forgotten."""
        return self._session.history.identity or f"state:{self._session.state.forgotten}"

    def _marked(self, quality: Quality) -> Quality:
        """With all events of now behind the mark."""
        times, dropped = self._session.events[1], self._session.history.dropped
        return dataclasses.replace(quality, mark=Mark.after(times, len(times), dropped))

    def _first(self) -> int:
        """Index of the first event that is to be ranked."""
        session, mark = self._session, self.quality.mark
        times, state = session.events[1], session.state
        known = 0 if mark is None else mark.index(times, session.history.dropped)
        return max(1, session.since, state.trained, known)

    def _pass_over(self) -> None:
        """Leave out the oldest of too many new events."""
        times, first = self._session.events[1], self._first()
        if (over := len(times) - first - AT_ONCE) > 0:
            mark = Mark.after(times, first + over, self._session.history.dropped)
            self._quality = dataclasses.replace(self.quality, mark=mark, passed=self.quality.passed + over)

    def _look_at_part(self) -> bool:
        """Rank the next few events; whether there were any."""
        session, quality = self._session, self.quality
        rows, times = session.events
        first = self._first()
        places = np.arange(first, min(len(rows), first + PART))
        if not len(places):
            return False
        mark = Mark.after(times, int(places[-1]) + 1, session.history.dropped)
        places = places[session.bundle.vocabulary.are_items(rows[places])]
        share, own = share_of(str(session.state.report.get("choice", GLOBAL))), session.state.item_rows
        ranks = np.zeros((len(places), 2), np.uint8)
        ranks[:, 0] = self._ranks(places, {}, 0.0, NONE)
        same = share == 0.0 and not len(own.rows)  # rows may be there beside the global weights
        ranks[:, 1] = ranks[:, 0] if same else self._ranks(places, session.state.weights, share, own)
        self._quality = quality = dataclasses.replace(quality.with_ranks(ranks), mark=mark)
        if share or quality.watch.most == RUNGS[0]:  # where no share is allowed, what is ranked by global counts
            gains = _reciprocal(ranks[:, 1]) - _reciprocal(ranks[:, 0]) if share else np.zeros(len(ranks))
            watch = quality.watch.after(gains.tolist())
            self._quality = dataclasses.replace(quality, watch=watch)
            if share and watch.alarm and session.bundle.recipe.guard.enabled and not session.serving.training:
                self._return(share)
        return True

    def _ranks(self, places: Array, weights: Mapping[str, Array], share: float, own: ItemRows) -> list[int]:
        """Rank of the event at each place by these weights and item rows; 0 = a miss."""
        session, bundle, (rows, times) = self._session, self._session.bundle, self._session.events
        model, offered = session.serving.model(weights), Offered(session)
        additions = Additions(bundle.recipe.repeats.times(share), bundle.neighbours(), own)
        found = []
        for place in places.tolist():
            history, when = rows[:place], times[:place]
            candidates = offered.rows(model, history, DEEPEST)
            try:
                best, _ = ranked(model, candidates, history, when, additions, float(times[place]), DEEPEST)
            except StateError:  # weights that give no numbers recommend nothing
                best = candidates[:0]
            found.append(1 + next(iter(np.flatnonzero(best == rows[place]).tolist()), -1))
        return found

    def _return(self, share: float) -> None:
        """Go back to the global weights."""
        session = self._session
        assert self._quality is not None
        events = len(session.events[0])
        told = Report(GLOBAL, _WORSE, events, 0, max(0, events - max(1, session.since)))
        state = dataclasses.replace(session.state, weights={}, item_rows=NONE, trained=0, through=0, steps=0,
                                    report=told.to_dict(), pending=None, learned="")  # fmt: skip
        work = Personalisation(state, session.bundle.recipe, session.since, session.history.stored)
        session.finish(work, state, told, session.epoch)
        self._quality = dataclasses.replace(self._quality, watch=self._quality.watch.returned(share))
        self._note(GLOBAL, _WORSE, {})

    def _note(self, choice: str, reason: str, told: Mapping[str, Any]) -> None:
        quality = self.quality
        about = {"history": len(self._session.events[0]), "ranked": quality.ranked, "choice": choice, "reason": reason}
        self._quality = quality.with_decision({**about, **told})


def _reciprocal(ranks: Array) -> Array:
    """1 / rank, 0 of a miss."""
    found: Array = np.where(ranks > 0, 1.0 / np.maximum(ranks.astype(np.float64), 1.0), 0.0)
    return found


def _later(first: Quality, second: Quality) -> bool:
    """Whether the first one has looked at later events."""
    if first.mark is None or second.mark is None:
        return second.mark is None
    return (first.mark.time, first.mark.count) > (second.mark.time, second.mark.count)
