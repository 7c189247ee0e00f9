# SPDX-License-Identifier: Apache-2.0
"""`Recommender`: one user's recommender on the device, in a handful of methods.

Nothing here opens a network connection, and nothing leaves the device: events, weights and embeddings stay in this
process, and in the state file and the event store that the application names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.personal.windows import context
from pocketrec.device.state.answering import recommended
from pocketrec.device.state.opening import open_session
from pocketrec.device.state.training import personalised
from pocketrec.device.store.events import Event, Events, gather
from pocketrec.device.user_data import UserData

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.engine.model import Model
    from pocketrec.device.personal.budget import Budget
    from pocketrec.device.personal.options import Progress
    from pocketrec.device.personal.report import Report
    from pocketrec.device.state.choosing import Filter
    from pocketrec.device.state.quality import QualityReport
    from pocketrec.device.store.database import EventStore
    from pocketrec.device.task import Task


class Recommender(UserData):
    """A bundle together with one user's history and personal weights.

    Threads may share one, and are served with the weights in use before while `personalise` trains; a process opens its
    own. `close`, or a ``with`` block, gives files and memory back.

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
        ConfigError: the user is not a string.
        StateError: the state file is damaged, or of another user.
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
        super().__init__(open_session(
            bundle if isinstance(bundle, Bundle) else open_bundle(bundle), user, state, store, key,
            lambda own: own.load_model(runtime, threads),
        ))  # fmt: skip

    @property
    def model(self) -> Model:
        """The model with the present weights, opened at first use; another interpreter during a training."""
        with self._session.lock:
            return self._session.serving.model()

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
        continues from the present weights and optimiser slots, with the events that training has not seen yet; without
        `events` and with none unseen, it makes further passes over all. Among windows of new events older ones are
        replayed, as many as the recipe's ``replay`` says. The result is the same whether or not the state was saved and
        loaded in between.

        A training that its `budget` stops leaves the present weights in use; the next call with the same arguments
        continues it, after `save` in another process too, and comes to the same bits. Later events wait for the call
        after that.

        Args:
            events: added to the history first; see `add`.
            resume: continue from the present weights.
            passes: passes over the events; None = the recipe's.
            progress: called after each train step.
            budget: how long, and up to which temperature, it may train.
            if_new: do nothing where the last call that came to its end had this very history, recipe and arguments; the
                model is not even opened, and the report's reason is `state.personalisation.NOTHING_NEW`.

        Returns:
            What was done; with too few events nothing is, and that is not an error.

        Raises:
            DataError: an entry is not an event.
            BundleError, RuntimeMissingError: the model file cannot be opened.
        """
        given = events if isinstance(events, Events) else gather(events)
        return personalised(self._session, self._watching, given, resume, passes, progress, budget, if_new)

    def recommend(
        self,
        k: int = 10,
        candidates: Sequence[str] | None = None,
        mask_seen: bool | None = None,
        now: object = None,
        filter: Filter | None = None,
        retrieve: bool | None = None,
    ) -> list[tuple[str, float]]:
        """The best `k` items of the user's set, with their scores, best first; equal scores the more popular first.

        The set is the user's candidates in the bundle (else the popular items) and the items of the own history;
        where seen items are masked, the candidates that are not in the history. Without any event in the history the
        candidates stay in their own order, with 1 / place as the score. Where the model file searches the whole
        catalogue (signature ``retrieve``), the K items that it finds by the personal user embedding take the place of
        the candidates, and no file of candidates is opened.

        Args:
            k: items wanted, at least 1; fewer come back where the set is smaller.
            candidates: item ids to choose from instead of the user's set; unknown ids and repeats are passed over.
            mask_seen: leave out items of the history; None = as the manifest says.
            now: moment of asking, for a recipe whose bonus for repeats looks at times: a Unix time, or a date as in
                `add`; None = the clock. Not looked at where the log's times are no clock's.
            filter: what may come back: item ids, such as those in stock or of a category, or a function of an item id
                that says whether it may. Where that leaves fewer than `k` of the K items, all items that pass are
                searched, and a function is asked about each item of the catalogue. Of candidates it only leaves out.
            retrieve: search the whole catalogue; None = where the bundle can. False = rank the bundle's candidates.

        Raises:
            ValueError: k is below 1, or `now` is not finite.
            DataError: `now` is not a time, `candidates` is not a list, `filter` is none, or the bundle cannot
                `retrieve`.
            BundleError, RuntimeMissingError: a file cannot be read.
        """
        return recommended(self._session, k, candidates, mask_seen, now, filter, retrieve)

    def quality(self, k: int = 10, last: int = 1000) -> QualityReport:
        """How well this device has recommended: events ranked before they were learned, global beside personal.

        Ranks first what is new, as `recommend` would have ranked it right before each event: at most the latest 500
        events. `personalise` does so before it trains. Where the weights in use have ranked worse than the global ones
        for long (`pocketrec.device.personal.watch`), the global ones are in use from then on, until `personalise` has
        others. `save` keeps what was ranked. Nothing is sent.

        Args:
            k: length of the lists that Recall and MRR are about, 1 to 100.
            last: events that they are about, the latest ones of at most 1,000 that are kept.

        Raises:
            ValueError: `k` or `last` is out of range.
            BundleError, RuntimeMissingError: a file cannot be read.
        """
        self._watching.look()
        with self._session.lock:
            return self._watching.quality.report(k, last)

    def titles(self, items: Iterable[str]) -> list[str]:
        """What people call each item, as the bundle says; "" where it does not.

        Raises:
            BundleError: the file of titles is missing or damaged.
        """
        return self.bundle.titles(self.bundle.vocabulary.rows(items).tolist())

    def embed(self) -> Array:
        """The user embedding after the history, float32 [E]; PocketRec never sends it anywhere."""
        with self._session.lock:
            model = self._session.serving.model()
            return model.embed(context(self._session.events[0], model.window))

    def is_known(self) -> bool:
        """Whether the bundle has candidates for this user, or there is a history."""
        known = self.user is not None and self.bundle.candidates_of(self.user) is not None
        return known or len(self) > 0

    def task(self, name: str) -> Task:
        """A task of this bundle, whose patch stands in for the present weights whenever the task is asked something.

        The model is not opened anew: a swap imports the patch's tensors, and the next call of this object or of
        another task imports others. History, candidates' rows and state of this object are as before.

        Args:
            name: of the task, such as ``actions``; its patch lies in the bundle's folder (`pocketrec pull --task`).

        Raises:
            BundleError: there is no such patch, or it is cut short, altered, or of another model, or not signed where a
                key is pinned.
        """
        from pocketrec.device.task import Task

        return Task(self._session, name)
