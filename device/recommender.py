"""`Recommender`: one user's recommender on the device, in a handful of methods.

Nothing here opens a network connection, and nothing leaves the device: events, weights and embeddings stay in this
process, and in the state file and the event store that the application names.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketrec.device.base.errors import DataError, StateError
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.personal.guard import share_of
from pocketrec.device.personal.ranking import ranked
from pocketrec.device.personal.served import served_set
from pocketrec.device.personal.windows import context
from pocketrec.device.state import file as states
from pocketrec.device.state.kinds import HistoryInState, HistoryInStore
from pocketrec.device.state.personal_state import PersonalState, empty_state, without_history
from pocketrec.device.state.personalisation import NOTHING_NEW as NOTHING_NEW
from pocketrec.device.state.personalisation import Personalisation
from pocketrec.device.store.events import Event, Events, gather

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.engine.model import Model
    from pocketrec.device.personal.budget import Budget
    from pocketrec.device.personal.report import Report
    from pocketrec.device.personal.training import Progress
    from pocketrec.device.store.database import EventStore
    from pocketrec.device.store.sealing import Seal

_FORGOTTEN = "events that it was trained on were forgotten, or the event store is another"


class Recommender:
    """A bundle together with one user's history and personal weights.

    Args:
        bundle: folder or .zip of a bundle, or an opened one.
        user: user id; picks the candidate set. None = an unnamed user, who gets the popular items.
        state: state file to continue from and to save to; one that does not exist yet is an empty beginning.
        store: event store that holds the history, or its file, made where it is missing; None = the state does.
        key: 32 bytes that seal the state, and a store that is given as a file; None = they lie in the clear.
        runtime: auto, ai_edge_litert or tflite_runtime.
        threads: threads of the runtime's kernels.

    Raises:
        BundleError: the bundle is missing, cut short or altered.
        StateError: the state file is damaged, or of another user; or, without a store, of another model.
        StoreError: the store is damaged, or sealed with another key.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        user: str | None = None,
        state: str | Path | None = None,
        store: str | Path | EventStore | None = None,
        key: bytes | None = None,
        runtime: str = "auto",
        threads: int = 1,
    ) -> None:
        self.bundle = (bundle if isinstance(bundle, Bundle) else open_bundle(bundle)).for_user(user)
        self.user = user
        self.path = None if state is None else Path(state)
        self._runtime, self._threads = runtime, threads
        self._opened: tuple[Model, dict[str, Array]] | None = None
        self._seal = _seal(key)
        self.store = _opened_store(store, key)
        self._history = HistoryInState() if self.store is None else HistoryInStore(self.store)
        self.outdated = ""
        self._tainted = False  # the state file, or its previous generation, holds what was forgotten
        self._state = empty_state(user)
        if self.path is not None and states.exists(self.path):
            self.load()
        else:
            self._refresh()

    outdated: str
    """Why what the state file holds was left aside, where an event store is the history: what `personalise`
    then trains starts from the global weights. "" = they were not."""

    def __len__(self) -> int:
        """Events of the history."""
        return len(self._state.rows)

    @property
    def history(self) -> list[str]:
        """Item ids of the history, oldest first, without those that the vocabulary lacks."""
        return self.bundle.vocabulary.ids(int(row) for row in self._state.rows)

    @property
    def report(self) -> dict[str, Any]:
        """The last personalisation's report, as `Report.to_dict`; empty where there was none."""
        return self._state.report

    @property
    def model(self) -> Model:
        """The model file, opened at first use, holding the present weights."""
        return self._open()[0]

    def add(self, events: Iterable[Event] | Events) -> int:
        """Append events to the history; they count as context at once, and are trained on by `personalise`.

        An event that has the item and the time of one in the history is the same event and is left out, as often as
        the history has it: where a log holds an event three times, giving any part of it first and then all of it
        leaves three. An event without a time counts as the latest. Items that the vocabulary lacks are left out.

        Args:
            events: item ids, or pairs of item id and time (a number in the log's unit; larger is later).

        Returns:
            How many were left out because their item is not in the vocabulary. A store keeps these too, for a later
            bundle may know them.

        Raises:
            DataError: an entry is not an event.
            StorageError, StoreError: the store cannot take them, and has none of them.
        """
        new = events if isinstance(events, Events) else gather(events)
        if new.categories:
            self.bundle.vocabulary.learn(new.items, new.categories)
        self._state = self._history.add(self._state, new, self.bundle)
        self._refresh()
        return int((self.bundle.vocabulary.rows(new.items) == 0).sum())

    def personalise(
        self,
        events: Iterable[Event] | Events = (),
        *,
        resume: bool = False,
        passes: int | None = None,
        progress: Progress | None = None,
        budget: Budget | None = None,
        if_new: bool = False,
    ) -> Report:
        """Make the model personal, as the bundle's recipe says, with all events of the history.

        By default the training starts from the global weights, which is what the rehearsal measured. With `resume` it
        goes on from the present weights and optimiser slots, with the events that training has not seen yet; without
        `events` and with none unseen, it makes further passes over all. Among windows of new events older ones are
        replayed, as many as the recipe's ``replay`` says. The result is the same whether or not the state was saved and
        loaded in between.

        A training that its `budget` stops leaves the present weights in use; the next call with the same arguments goes
        on with it, after `save` in another process too, and comes to the same bits. Events that came since wait for the
        call after that.

        Args:
            events: added to the history first; see `add`.
            resume: go on from the present weights.
            passes: passes over the events; None = the recipe's.
            progress: called after each train step.
            budget: how long, and up to which temperature, it may train.
            if_new: do nothing where the last call that came to its end had this very history, recipe and arguments; the
                model is not even opened, and the report's reason is `NOTHING_NEW`.

        Returns:
            What was done; with too few events nothing is, and that is no error.

        Raises:
            DataError: an entry is not an event.
            BundleError, RuntimeMissingError: the model file cannot be opened.
        """
        given = events if isinstance(events, Events) else gather(events)
        unknown = self.add(given)
        work = Personalisation(self._state, self.bundle.recipe, self._since(), self._history.stored, resume, passes,
                               len(given) > 0, unknown)  # fmt: skip
        if if_new and (report := work.nothing_new()) is not None:
            return report
        stop = None if budget is None else budget.start()
        model, reference = self._open()
        self._state, report = work.run(model, reference, progress=progress, stop=stop)
        return report

    def recommend(
        self,
        k: int = 10,
        candidates: Sequence[str] | None = None,
        mask_seen: bool | None = None,
        now: float | None = None,
    ) -> list[tuple[str, float]]:
        """The best `k` items of the user's set, with their scores, best first.

        The set is the user's candidates in the bundle (else the popular items) and the items of the own history;
        where seen items are masked, the candidates that are not in the history. Equal scores go by item row, the
        more popular first. Without any event in the history the candidates stay in their own order, with 1 / place
        as the score.

        Args:
            k: items wanted, at least 1; fewer come back where the set is smaller.
            candidates: item ids to choose from instead of the user's set; unknown ids and repeats are passed over.
            mask_seen: leave out items of the history; None = as the manifest says.
            now: moment of asking, for a recipe whose bonus for repeats looks at times: Unix seconds; None = the clock.

        Raises:
            ValueError: k is below 1, or `now` is no finite number.
            BundleError, RuntimeMissingError: a file cannot be read.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        if now is not None and not math.isfinite(now):
            raise ValueError(f"now must be a finite number of seconds, not {now}")
        mask = self.bundle.manifest.mask_seen if mask_seen is None else mask_seen
        rows = self._candidate_rows(candidates)
        if mask or candidates is None:
            rows = served_set(rows, self._state.rows, mask)
        rows = rows[self.bundle.vocabulary.are_items(rows)]
        if len(self._state.rows):
            repeats = self.bundle.recipe.repeats.times(share_of(str(self._state.report.get("choice"))))
            moment = time.time() if now is None else now
            rows, scores = ranked(self.model, rows, self._state.rows, self._state.times, repeats, moment, k)
        else:
            rows, scores = rows[:k], 1.0 / np.arange(1, min(k, len(rows)) + 1)
        ids = self.bundle.vocabulary.ids(int(row) for row in rows)
        return [(item, float(score)) for item, score in zip(ids, scores, strict=True)]

    def embed(self) -> Array:
        """The user embedding after the history, float32 [E]; it never leaves the device by itself."""
        model = self.model
        return model.embed(context(self._state.rows, model.window))

    def save(self, path: str | Path | None = None) -> Path:
        """Write the state atomically and keep the previous generation; returns where.

        Raises:
            StorageError: it could not be written, and the old state is still good.
            StateError: no path was given, here or when this object was made.
        """
        path = self._path(path)
        self._heed_store()
        state = dataclasses.replace(
            self._state, user=self.user or "", generation=self._state.generation + 1, store=self._history.identity
        )
        states.save_state(path, state, self.bundle.manifest, self._seal, keep=not self._tainted)
        self._state, self._tainted = state, False
        return path

    def load(self, path: str | Path | None = None) -> None:
        """Replace history and weights by those of a state file; where there is a store, the history is its events.

        With a store, weights of another model, or from before something was forgotten, are left aside: see
        `outdated`. The history of a state that was made without a store is handed over to it.

        Raises:
            StateError: the file is missing, damaged, or of another model or user; nothing was changed.
        """
        path = self._path(path)
        try:
            state = states.load_state(path, self.bundle.manifest, self._seal)
        except states.ForeignStateError:
            if self.store is None:
                raise
            state = states.load_state(path, None, self._seal)
            self.outdated = "it was of another model"
        if self.user is not None and state.user not in ("", self.user):
            raise StateError(f"{path} is the state of user {state.user}: name that user, or another --state file")
        if self.user is None and state.user:
            own = self.bundle.for_user(state.user)
            self._opened = self._opened if own is self.bundle else None
            self.user, self.bundle = state.user, own
        if self.store is None and state.store:
            raise StateError(f"the history of {path} lies in an event store: name it with --store, or reset the state")
        if isinstance(self._history, HistoryInStore):
            state = self._of_store(state, self._history)
        if self._opened is not None:
            self._opened[0].import_weights(state.weights or self._opened[1])
        self._state = state
        self._refresh()

    def clear_history(self) -> None:
        """Begin the history anew, in memory; the weights stay in use until `personalise` has others."""
        self._state = self._history.cleared(self._state)

    def reset(self) -> None:
        """Forget personal weights and history in memory; a store keeps its events, and `state.reset_state` deletes
        the file."""
        self._start_anew()
        self._refresh()

    def forget(self, items: Iterable[str]) -> int:
        """Delete all events of some items, and what was trained on them: nothing of them stays in any file.

        The weights are then the global ones, until `personalise` trains on what is left; the state file is written
        again, without its previous generation.

        Returns:
            How many events went.

        Raises:
            StorageError, StoreError: a file cannot be written: call again.
        """
        outdated = self.outdated
        left, gone = self._history.forget(self._state, list(items), self.bundle)
        self._heed_store()  # what went may have gone in an earlier call that could not end
        if gone or self._tainted:
            self._tainted = True
            self._start_anew()
            self.outdated = outdated
            self._state = dataclasses.replace(self._state, rows=left.rows, times=left.times)
            self._refresh()
        if self.path is not None and states.exists(self.path):
            if self._tainted:
                self.save()
            elif states.previous_of(self.path).exists():  # it may hold the events still
                states.drop_previous(self.path)
        return gone

    def export(self, path: str | Path) -> int:
        """Write all events that are kept of the user to a CSV file, ``item,timestamp``; gives their number.

        Raises:
            StorageError: it cannot be written.
        """
        return self._history.export(self._state, path, self.bundle)

    def wipe(self) -> list[Path]:
        """Delete everything personal: the state file, its previous generation, the event store; gives what went.

        Raises:
            StateError, StoreError: a file is not ours; StorageError: a file cannot be deleted.
        """
        deleted = self._history.wipe()
        if self.path is not None:
            deleted += states.reset_state(self.path)
        self._start_anew()
        self._state, self._tainted, self.outdated, self._history.identity = empty_state(self.user), False, "", ""
        return deleted

    def is_known(self) -> bool:
        """Whether the bundle has candidates for this user, or there is a history."""
        known = self.user is not None and self.bundle.candidates_of(self.user) is not None
        return known or len(self._state.rows) > 0

    def _of_store(self, state: PersonalState, history: HistoryInStore) -> PersonalState:
        """What a state file holds apart from the history; its weights only where they are of this model and store."""
        history.rewind()
        history.restarted()  # from here on the identity is known
        if state.store not in ("", history.identity):
            self.outdated, self._tainted = _FORGOTTEN, True
        elif not state.store and not self.outdated:
            state, alone = history.hand_over(state, self.bundle)
            if alone:
                states.save_state(self._path(None), state, self.bundle.manifest, self._seal)
            else:
                self.outdated = "the event store held other events than the state"
        return empty_state(self.user, state.generation) if self.outdated else without_history(state)

    def _start_anew(self) -> None:
        """Global weights and no history."""
        if self._opened is not None:
            self._opened[0].import_weights(self._opened[1])
        self._state = empty_state(self.user, self._state.generation)
        self._history.rewind()

    def _heed_store(self) -> None:
        """Leave aside what comes from events that were forgotten meanwhile, by another process perhaps."""
        if self._history.restarted():
            self.outdated, self._tainted = _FORGOTTEN, True
            self._start_anew()

    def _refresh(self) -> None:
        """Take what is new in the store into the history."""
        self._heed_store()
        self._state = self._history.refreshed(self._state, self.bundle)

    def _open(self) -> tuple[Model, dict[str, Array]]:
        if self._opened is None:
            model = self.bundle.load_model(self._runtime, self._threads)
            self._opened = model, model.export_weights()
            if self._state.weights:
                model.import_weights(self._state.weights)
        return self._opened

    def _path(self, path: str | Path | None) -> Path:
        if path is None and self.path is None:
            raise StateError("no state file was named: give a path here or as Recommender(..., state=PATH)")
        return Path(path) if path is not None else Path(self.path or "")

    def _since(self) -> int:
        """Index of the first event that the global model has not seen: by time, or by number in a log without times."""
        cut_off = self.bundle.manifest.cut_off
        if cut_off is not None:
            return int(np.searchsorted(self._state.times, cut_off))
        known = 0 if self.user is None else self.bundle.known_of(self.user)
        return min(max(0, known - self._history.dropped), len(self._state.rows))

    def _candidate_rows(self, candidates: Sequence[str] | None) -> Array:
        if candidates is not None:
            if isinstance(candidates, str):
                raise DataError("candidates is one string: give a list of item ids")
            rows = self.bundle.vocabulary.rows(candidates)
            return np.array(list(dict.fromkeys(rows[rows > 0].tolist())), np.int32)
        own = None if self.user is None else self.bundle.candidates_of(self.user)
        return self.bundle.popular() if own is None else own


def _seal(key: bytes | None) -> Seal | None:
    if key is None:
        return None
    from pocketrec.device.store.sealing import Seal

    return Seal(key)


def _opened_store(store: str | Path | EventStore | None, key: bytes | None) -> EventStore | None:
    if not isinstance(store, str | Path):
        return store
    from pocketrec.device.store.database import EventStore

    return EventStore(store, key=key)
