# SPDX-License-Identifier: Apache-2.0
"""One user's state in memory, between its file, its event store and the model: what `Recommender` is made of.

Every method is called under `lock`, except where it says otherwise. A training runs without the lock, so that the user
is served meanwhile: `begin` takes what it is about, `finish` brings its result and what happened meanwhile together.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pocketrec.device.base.errors import StateError
from pocketrec.device.base.locks import locked
from pocketrec.device.personal.guard import GLOBAL
from pocketrec.device.personal.serving import Serving
from pocketrec.device.state import file as states
from pocketrec.device.state.carrying import carried
from pocketrec.device.state.clock import future_from
from pocketrec.device.state.kinds import HistoryInState, HistoryInStore
from pocketrec.device.state.merging import LEARNED, Changes, has_trained, merged, seen
from pocketrec.device.state.personal_state import PersonalState, empty_state, without_history
from pocketrec.device.state.task_state import forget_in_tasks, wipe_tasks

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.delivery.bundle import Bundle
    from pocketrec.device.engine.model import Model
    from pocketrec.device.personal.report import Report
    from pocketrec.device.state.personalisation import Personalisation
    from pocketrec.device.store.database import EventStore
    from pocketrec.device.store.events import Events
    from pocketrec.device.store.sealing import Seal

_FORGOTTEN: Final = "events that it was trained on were forgotten, or the event store is another"
_REPLACED: Final = "the history was forgotten or replaced during the training, whose result was left aside"
_CLOSED: Final = "the recommender was closed"

_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


class Session:
    """One user's state in memory.

    Args:
        bundle: for this user.
        user: user id; None = unnamed.
        path: state file; None = none.
        store: event store that holds the history; None = the state does.
        seal: of the key of the state file; None = it lies in the clear.
        load: opens the model of a bundle.
        own_store: `close` closes the store too.
    """

    def __init__(
        self, bundle: Bundle, user: str | None, path: Path | None, store: EventStore | None, seal: Seal | None,
        load: Callable[[Bundle], Model], *, own_store: bool = False,
    ) -> None:
        self.bundle, self.user, self.path, self.seal = bundle, user, path, seal
        self.lock = threading.RLock()
        self.training = threading.RLock()
        self.serving = Serving(lambda: load(self.bundle))
        self.store = store
        self.history = HistoryInState() if store is None else HistoryInStore(store)
        self._own_store = own_store
        self.outdated = ""
        self.state = empty_state(user)
        self._tainted = False
        self._epoch = 0
        self._closed = False
        self._known: dict[Path, tuple[int, int, int] | None] = {}
        self._changes = Changes(self.state)
        self._ids: dict[int, str] = {}
        _sessions.add(self)

    lock: threading.RLock
    """Held for everything but trainings."""
    training: threading.RLock
    """Held by the one training."""
    seal: Seal | None
    """Of the key of the state files."""
    state: PersonalState
    """The state; its history may end with events of the future."""
    outdated: str
    """Why weights were left aside; "" = they were not."""

    # --- history ------------------------------------------------------------------------------------------------

    @property
    def limit(self) -> float:
        """Events after this time lie in the future."""
        return future_from(time.time(), self.bundle.manifest.cut_off)

    @property
    def events(self) -> tuple[Array, Array]:
        """Rows and times of the history, int32 [n] and float64 [n], without events of the future."""
        past = int(np.searchsorted(self.state.times, self.limit, "right"))
        return self.state.rows[:past], self.state.times[:past]

    @property
    def future(self) -> int:
        """How many events lie in the future."""
        return len(self.state.rows) - len(self.events[0])

    @property
    def since(self) -> int:
        """Index of the first event that the global model has not seen: by time, or by number in a log without times."""
        cut_off = self.bundle.manifest.cut_off
        if cut_off is not None:
            return int(np.searchsorted(self.events[1], cut_off))
        known = 0 if self.user is None else self.bundle.known_of(self.user)
        return min(max(0, known - self.history.dropped), len(self.events[0]))

    def add(self, events: Events) -> int:
        """Add events; gives how many are of items that the vocabulary lacks. Not to be called under the lock."""
        self.history.record(events)  # another process may hold the store for seconds, and nobody else is to wait
        with self.lock:
            if events.categories:
                self.bundle.vocabulary.learn(events.items, events.categories)
            rows = self.bundle.vocabulary.rows(events.items)
            self.state = self.history.taken(self.state, rows, events.times, self.bundle, self.limit)
            if self.path is not None and isinstance(self.history, HistoryInState):
                self._changes.added.append((rows, list(events.times)))
            self.refresh()
            return int((rows == 0).sum())

    def refresh(self) -> None:
        """Take what is new in the store into the history."""
        self.check_store()
        self.state = self.history.refreshed(self.state, self.bundle, self.limit)

    def check_store(self) -> None:
        """Leave aside what comes from events that were forgotten meanwhile, by another process perhaps."""
        if self.history.restarted():
            self.outdated, self._tainted = _FORGOTTEN, True
            self.restart()

    def restart(self) -> None:
        """Global weights and no history, in memory; a training that runs ends at its next step, for nothing."""
        self._epoch += 1
        self.serving.use({})
        self.state = dataclasses.replace(
            empty_state(self.user, self.state.generation), forgotten=self._changes.base.forgotten + 1
        )
        self._changes.added, self._changes.cleared = [], True
        self.history.rewind()

    def clear(self) -> None:
        """Begin the history again; the weights stay."""
        self._epoch += 1
        if isinstance(self.history, HistoryInState):
            self.state = without_history(self.state)
            self._changes.added, self._changes.cleared = [], True

    def forget(self, given: Events) -> int:
        """Delete events, all of an item where no time is given, and all that was trained on them, in every file."""
        pairs = zip(given.items, given.times, strict=True)
        items = [item if at is None else (item, at) for item, at in pairs]
        with self._file_lock():
            self._take_others()
            outdated = self.outdated
            left, gone = self.history.forget(self.state, items, self.bundle)
            self.check_store()  # what went may have gone in an earlier call that could not end
            if gone or self._tainted:
                self._tainted = True
                self.restart()
                self.outdated = outdated
                self.state = dataclasses.replace(self.state, rows=left.rows, times=left.times)
                self._changes.added = [(left.rows, list(left.times))]
                self.refresh()
            if self.path is not None:
                gone += forget_in_tasks(self.path, items, self.bundle.manifest, self.seal)
            if self.path is not None and states.exists(self.path):
                if self._tainted:
                    self.save(self.path)
                elif states.previous_of(self.path).exists():  # it may hold the events still
                    states.drop_previous(self.path)
            return gone

    # --- a training ---------------------------------------------------------------------------------------------

    def stopping(self, stop: Callable[[], str] | None) -> Callable[[], str]:
        """What a training asks before each step: `stop`, and whether it is still of use."""
        epoch = self._epoch
        self._closed = False

        def reason() -> str:
            if self._epoch != epoch:
                return _REPLACED
            if self._closed:
                return _CLOSED
            return "" if stop is None else stop()

        return reason

    def finish(self, work: Personalisation, state: PersonalState, report: Report, epoch: int) -> Report:
        """Bring the result of a training together with what happened meanwhile.

        Args:
            work: what was trained.
            state: the state that follows.
            report: of the training.
            epoch: `epoch` when it began.
        """
        if epoch != self._epoch:
            self.serving.end(self.state.weights)
            choice = str(self.state.report.get("choice", GLOBAL))
            return dataclasses.replace(
                report, choice=choice, reason=_REPLACED, losses=[], expected_gain={}, steps=self.state.steps, paused=0
            )
        found = {name: getattr(state, name) for name in LEARNED}
        if isinstance(self.history, HistoryInStore) and self.history.stored != work.stored:
            self.history.rewind()  # the replay tells which of the events, late ones too, training has seen
            self.state = dataclasses.replace(without_history(self.state), **found)
            self.refresh()
        else:
            trained = min(seen(state, self.state.times), len(self.state.rows))
            self.state = dataclasses.replace(self.state, trained=trained, **found)
        self.serving.end(self.state.weights)
        self._changes.trained = not report.paused
        return report

    @property
    def epoch(self) -> int:
        """Changes where the history is forgotten or replaced, so that a training is of no use any more."""
        return self._epoch

    # --- the file -----------------------------------------------------------------------------------------------

    def _named(self, path: str | Path | None) -> Path:
        if path is None and self.path is None:
            raise StateError("no state file was named: give a path here or as Recommender(..., state=PATH)")
        return Path(path) if path is not None else Path(self.path or "")

    def save(self, path: str | Path | None = None) -> Path:
        """Write the state, together with what others have written there since it was read; gives the path.

        Raises:
            StateError: no path was given, here or when the session was made.
        """
        path = self._named(path)
        self.check_store()
        with locked(path):
            if path == self.path:
                self._take_others()
            items: tuple[str, ...] = ()
            if isinstance(self.history, HistoryInState):
                items = tuple(self._id(row) for row in np.unique(self.state.rows).tolist())
            state = dataclasses.replace(
                self.state, user=self.user or "", generation=self.state.generation + 1, store=self.history.identity,
                items=items,
            )
            states.save_state(path, state, self.bundle.manifest, self.seal, keep=not self._tainted)
            self.state, self._tainted = state, False
            if path == self.path:
                self._read(path)
        return path

    def load(self, path: str | Path | None = None) -> None:
        """Replace history and weights by those of a file; see `Recommender.load`."""
        path = self._named(path)
        mark = states.signature(path)
        try:
            state, outdated = states.load_state(path, self.bundle.manifest, self.seal), ""
        except states.ForeignStateError:
            state, outdated = states.load_state(path, None, self.seal), "it was of another model"
        if self.user is not None and state.user not in ("", self.user):
            raise StateError(f"{path} is the state of user {state.user}: name that user, or another --state file")
        bundle, user = self.bundle, self.user
        if self.user is None and state.user:
            user, bundle = state.user, self.bundle.for_user(state.user)
        if isinstance(self.history, HistoryInState) and state.store:
            raise StateError(f"the history of {path} lies in an event store: name it with --store, or reset the state")
        if bundle is not self.bundle:
            self.serving.close()
        self.bundle, self.user, self.outdated = bundle, user, outdated or self.outdated
        if isinstance(self.history, HistoryInStore):
            state = self._of_store(state, self.history)
        elif outdated:
            state, told = carried(state, self.bundle)
            self.outdated = f"{outdated}; {told}"
        self.serving.use(state.weights)
        self._epoch += 1
        self.state = state
        if path == self.path:
            self._read(path, mark)
        self.refresh()
        past = int(np.searchsorted(self.state.times, self.limit, "right"))
        if self.state.trained > past:
            self.state = dataclasses.replace(self.state, trained=past)

    def export(self, path: str | Path) -> int:
        """Write all events that are kept to a CSV file; gives their number."""
        return self.history.export(self.state, path, self.bundle)

    def wipe(self) -> list[Path]:
        """Delete everything personal; gives the files."""
        deleted = self.history.wipe()
        if self.path is not None:
            deleted += states.reset_state(self.path) + wipe_tasks(self.path)
        self.restart()
        self.state, self._tainted, self.outdated, self.history.identity = empty_state(self.user), False, "", ""
        if self.path is not None:
            self._read(self.path)
        return deleted

    def close(self) -> None:
        """Stop a training at its next step, and close interpreters and own store; the next call opens them again."""
        self._closed = True
        self.serving.close()
        if self._own_store:
            self.history.close()

    def _of_store(self, state: PersonalState, history: HistoryInStore) -> PersonalState:
        """What a state file holds apart from the history; its weights only where they are of this model and store."""
        history.rewind()
        history.restarted()  # from here on the identity is known
        if state.store not in ("", history.identity):
            self.outdated, self._tainted = _FORGOTTEN, True
        elif not state.store and not self.outdated:
            state, alone = history.hand_over(state, self.bundle)
            if alone:
                states.save_state(self._named(None), state, self.bundle.manifest, self.seal)
            else:
                self.outdated = "the event store held other events than the state"
        return empty_state(self.user, state.generation) if self.outdated else without_history(state)

    def _take_others(self) -> None:
        """Where somebody else has written the file since it was read, take over what is in it."""
        path = self.path
        if path is None or (mark := states.signature(path)) is None or mark == self._known.get(path):
            return
        try:
            other, told = states.load_state(path, self.bundle.manifest, self.seal), ""
        except states.ForeignStateError:
            other, told = carried(states.load_state(path, None, self.seal), self.bundle)
            other = dataclasses.replace(other, **{name: getattr(self._changes.base, name) for name in LEARNED})
        except StateError:  # damaged; it stays as the previous generation
            return
        if other.user not in ("", self.user or ""):
            raise StateError(f"{path} has become the state of user {other.user}: name another --state file")
        if isinstance(self.history, HistoryInStore):
            newer = has_trained(other, self._changes.base) and not self._changes.trained and not told
            newer = newer and other.store == self.history.identity
            self.state = dataclasses.replace(self.state, generation=max(self.state.generation, other.generation))
            if newer and not self._tainted:
                found = {name: getattr(other, name) for name in LEARNED}
                self.state = dataclasses.replace(without_history(self.state), **found)
                self.history.rewind()
                self.refresh()
                self.serving.use(self.state.weights)
        elif not other.store:
            self.state, replaced = merged(self.state, self._changes, other, self.bundle.manifest.cut_off)
            if replaced:
                self.serving.use(self.state.weights)
        self._epoch += other.forgotten != self._changes.base.forgotten
        self._read(path, mark)

    def _read(self, path: Path, mark: tuple[int, int, int] | None = None) -> None:
        """Note that memory and file agree."""
        self._known[path] = states.signature(path) if mark is None else mark
        self._changes = Changes(self.state)

    def _id(self, row: int) -> str:
        if row not in self._ids:
            self._ids[row] = self.bundle.vocabulary.ids([row])[0]
        return self._ids[row]

    @contextlib.contextmanager
    def _file_lock(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if self.path is not None and states.exists(self.path):
                stack.enter_context(locked(self.path))
            yield

    def forked(self) -> None:
        """Begin with new locks and interpreters in a forked child: those of the parent's threads stay locked."""
        self.lock, self.training = threading.RLock(), threading.RLock()
        self.serving.forked()


def _after_fork() -> None:
    for session in list(_sessions):
        session.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
