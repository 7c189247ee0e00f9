# SPDX-License-Identifier: Apache-2.0
"""`Task`: what a user does in one task, or which class a user is of, by a patch beside the one model of a bundle.

Nothing here opens a network connection, and nothing leaves the device.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketrec.device.base.errors import BundleError, ConfigError, DataError, StateError
from pocketrec.device.base.times import seconds_of
from pocketrec.device.contract.patch import PROFILE_KIND
from pocketrec.device.contract.repeats import gaps_at
from pocketrec.device.delivery.patches import open_patch
from pocketrec.device.personal.guard import GLOBAL, Decision
from pocketrec.device.personal.options import StoppedError, TrainingOptions
from pocketrec.device.personal.personalise import Outcome
from pocketrec.device.personal.report import report_of
from pocketrec.device.personal.task import as_told, scores_of, weights_of
from pocketrec.device.personal.task_training import Examples, personalise_task
from pocketrec.device.personal.windows import context
from pocketrec.device.state.history import extended
from pocketrec.device.state.personal_state import empty_state
from pocketrec.device.state.task_state import load_task_state, save_task_state, task_file
from pocketrec.device.store.events import Event, Events, gather

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.contract.patch import Patch
    from pocketrec.device.personal.budget import Budget
    from pocketrec.device.personal.options import Progress
    from pocketrec.device.personal.report import Report
    from pocketrec.device.state.personal_state import PersonalState
    from pocketrec.device.state.session import Session


class Task:
    """One task of a bundle, for the user of a `pocketrec.device.Recommender`, which makes it: `Recommender.task`.

    It shares the recommender's model, history and lock; several tasks may be in use at once.

    Args:
        session: of the recommender.
        name: of the task.

    Raises:
        BundleError: its patch is missing, cut short, altered, of another model, or not signed where a key is pinned.
    """

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self.patch = open_patch(session.bundle, name)
        self._row_of = {item: row for row, item in enumerate(self.patch.ids, 1)}
        self._shared: Mapping[str, Array] | None = None
        self.outdated = ""
        self.state = empty_state(session.user)
        with session.lock:
            self._open()

    patch: Patch
    """The patch."""
    state: PersonalState
    """The user's own targets in the task, and the personal patch, as they are now."""
    outdated: str
    """Why a personal patch was left aside, and what became of the targets; "" = it was not."""

    @property
    def name(self) -> str:
        """Name of the task."""
        return self.patch.task

    @property
    def kind(self) -> str:
        """items or profile."""
        return self.patch.kind

    @property
    def ids(self) -> tuple[str, ...]:
        """The task's items or classes, the most frequent first."""
        return self.patch.ids

    @property
    def choice(self) -> str:
        """Which weights are in use: global (the patch as it was pulled), or a choice of the guard."""
        return str(self.state.report.get("choice", GLOBAL))

    @property
    def path(self) -> Path | None:
        """The state file, beside the recommender's; None = that has none."""
        return None if self._session.path is None else task_file(self._session.path, self.name)

    def __len__(self) -> int:
        """The user's own targets that are known."""
        return len(self.state.rows)

    def add(self, events: Iterable[Event] | Events) -> int:
        """Add what the user did in this task; known events are left out, as in `pocketrec.device.Recommender.add`.

        Args:
            events: as there; one without a time comes after all of the history.

        Returns:
            How many were left out because the task does not know their item.

        Raises:
            ConfigError: the task tells classes, of which a device learns nothing.
            DataError: an entry is not an event.
        """
        given = events if isinstance(events, Events) else gather(events)
        if self.kind == PROFILE_KIND:
            raise ConfigError(f"the task {self.name!r} tells a class, and has no events: name a task of items")
        with self._session.lock:
            self._refresh()
            return self._add(given)

    def personalise(
        self, events: Iterable[Event] | Events = (), *, passes: int | None = None, progress: Progress | None = None,
        budget: Budget | None = None,
    ) -> Report:  # fmt: skip
        """Make the patch personal with the user's own targets in the task, as the patch's recipe and guard say.

        Each target has the source events before it as its window. Training starts from the shared patch, and pull and
        guard go to it. The recommender, and other tasks, are served meanwhile. A training that its budget stops leaves
        the patch that was in use, and begins again at the next call.

        Args:
            events: added first; see `add`.
            passes: passes over the targets; None = the recipe's.
            progress: called after each train step.
            budget: how long, and up to which temperature, it may train.

        Returns:
            What was done; with too few targets nothing is, and that is not an error.

        Raises:
            ConfigError, DataError: see `add`.
            BundleError: the model file trains no tasks, or cannot be opened.
        """
        session = self._session
        with session.training:
            limit = None if budget is None else budget.start()
            unknown = self.add(events)
            with session.lock:
                examples, epoch = self._examples(), session.epoch
                reference = self._reference()
                if not session.serving.model().compared:
                    raise BundleError("the bundle's model trains no tasks: use a bundle of `pocketrec transfer`")
                model, _ = session.serving.begin()
                options = TrainingOptions(passes, progress, session.stopping(limit))
            try:
                outcome = personalise_task(model, self.patch, examples, reference, options)
            except StoppedError as stopped:
                outcome = Outcome(Decision(self.choice, str(stopped)), {}, len(examples))
            finally:
                with session.lock:
                    session.serving.end(session.state.weights)
            with session.lock:
                report = report_of(outcome, outcome.decision.choice, len(self), unknown, 0)
                if outcome.weights and epoch == session.epoch:
                    personal = {} if report.choice == GLOBAL else outcome.weights
                    self.state = replace(self.state, weights=personal, steps=report.steps, report=report.to_dict())
                return report

    def save(self) -> Path:
        """Write the state of the task in one step and keep the previous generation; gives the file.

        Raises:
            StateError: the recommender has no state file.
            StorageError: it could not be written, and the old state is still good.
        """
        with self._session.lock:
            self._refresh()
            if self.path is None:
                raise StateError("no state file was named: give one as Recommender(..., state=PATH)")
            manifest, user = self._session.bundle.manifest, self._session.user or ""
            self.state = save_task_state(self.path, replace(self.state, user=user), manifest, self.patch,
                                         self._session.seal)  # fmt: skip
            return self.path

    def embed(self) -> Array:
        """The user embedding of the task after the history, float32 [E]; PocketRec never sends it anywhere."""
        with self._session.lock:
            self._refresh()
            model = self._session.serving.model(self.state.weights or self._reference())
            return model.embed(context(self._session.events[0], model.window))

    def recommend(
        self, k: int = 10, candidates: Sequence[str] | None = None, mask_seen: bool = False, now: object = None
    ) -> list[tuple[str, float]]:
        """The task's best `k` items with their scores, or classes with their probabilities, best first.

        Equal scores go by frequency in the task. Without any event in the history the order is that of frequency, with
        1 / place as the score. The patch's bonus for repeats raises items of the history that are the task's too.

        Args:
            k: how many, at least 1.
            candidates: ids to choose from; unknown ones and repeats are passed over. None = all of the task.
            mask_seen: leave out items of the history.
            now: moment of asking, for a bonus that looks at times, as in `pocketrec.device.Recommender.recommend`.

        Raises:
            ValueError: k is below 1, or `now` is not finite.
            DataError: `now` is not a time, or `candidates` is one string.
            StateError: the weights give scores that are not finite.
            BundleError, RuntimeMissingError: a file cannot be read.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        if isinstance(now, float) and not math.isfinite(now):
            raise ValueError(f"now must be a finite number of seconds, not {now}")
        asked = seconds_of(now)
        rows = self._rows(candidates)
        with self._session.lock:
            history, times = self._session.events
            own = self._joint(history)
            if not len(history):
                told = 1.0 / np.arange(1, min(k, len(rows)) + 1)
                return [(self.ids[row - 1], float(score)) for row, score in zip(rows[:k].tolist(), told, strict=True)]
            scores = as_told(self.patch, scores_of(self.patch, self.embed()))[rows - 1]  # (m,)
        if self.kind != PROFILE_KIND:
            moment = time.time() if asked is None else asked
            scores = self.patch.recipe.repeats.add_to(scores, rows, own, gaps_at(times, moment))
        if mask_seen:
            kept = ~np.isin(rows, own)
            rows, scores = rows[kept], scores[kept]
        order = np.lexsort((rows, -scores))[:k]
        best = zip(rows[order].tolist(), scores[order], strict=True)
        return [(self.ids[row - 1], float(score)) for row, score in best]

    def _rows(self, candidates: Sequence[str] | None) -> Array:
        """Rows of the head to rank, int32 [m], each once."""
        if candidates is None:
            return np.arange(1, len(self.ids) + 1, dtype=np.int32)
        if isinstance(candidates, str):
            raise DataError("candidates is one string: give a list of item ids")
        known = (self._row_of.get(item, 0) for item in candidates)
        return np.array([row for row in dict.fromkeys(known) if row], np.int32)

    def _joint(self, history: Array) -> Array:
        """The history in rows of the task: int32 [n], items that are not the task's behind its own, each by itself."""
        if self.kind == PROFILE_KIND or not len(history):
            return np.zeros(0, np.int32)
        seen, place = np.unique(history, return_inverse=True)
        ids = self._session.bundle.vocabulary.ids(seen.tolist())
        behind = len(self.ids)
        rows = [self._row_of.get(item, behind + row) for item, row in zip(ids, seen.tolist(), strict=True)]
        return np.array(rows, np.int32)[place]

    def _reference(self) -> Mapping[str, Array]:
        """The shared patch, as the model holds it; under the lock."""
        if self._shared is None:
            self._shared = weights_of(self.patch, self._session.serving.reference())
        return self._shared

    def _open(self) -> None:
        """Take the state of the file, where there is one; under the lock."""
        session, self._epoch = self._session, self._session.epoch
        self.state, self.outdated = empty_state(session.user), ""
        if self.path is not None:
            self.state, self.outdated = load_task_state(self.path, session.bundle.manifest, self.patch, session.seal)

    def _refresh(self) -> None:
        """Begin again from the file where history or weights were forgotten or replaced; under the lock."""
        if self._epoch != self._session.epoch:
            self._open()

    def _add(self, given: Events) -> int:
        rows = np.array([self._row_of.get(item, 0) for item in given.items], np.int32)
        times = self._session.events[1]
        after = math.nextafter(float(times[-1]), math.inf) if len(times) else 0.0
        self.state = extended(self.state, rows, [after if time is None else time for time in given.times], None)
        return int((rows == 0).sum())

    def _examples(self) -> Examples:
        """The own targets that have a source event before them, with their windows; under the lock."""
        history, times = self._session.events
        counts = np.searchsorted(times, self.state.times, "left")
        kept = np.flatnonzero(counts > 0)
        window, joint = int(self._session.bundle.manifest.model["window"]), self._joint(history)
        windows = [context(history[: counts[place]], window)[0] for place in kept]
        return Examples(np.array(windows, np.int32).reshape(len(kept), window), self.state.rows[kept],
                        tuple(joint[: counts[place]] for place in kept))  # fmt: skip
