"""`Recommender`: one user's recommender on the device, in a handful of methods.

Nothing here opens a network connection, and nothing leaves the device: events, weights and embeddings stay in this
process, and in the state file and the event store that the application names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.device.base.errors import ConfigError
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.personal.windows import context
from pocketrec.device.state.answering import recommended
from pocketrec.device.state.opening import open_session
from pocketrec.device.state.training import personalised
from pocketrec.device.store.events import Event, Events, gather

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.engine.model import Model
    from pocketrec.device.personal.budget import Budget
    from pocketrec.device.personal.options import Progress
    from pocketrec.device.personal.report import Report
    from pocketrec.device.state.personal_state import PersonalState
    from pocketrec.device.store.database import EventStore


class Recommender:
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
        ConfigError: the user is no string.
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
        self._session = open_session(
            bundle if isinstance(bundle, Bundle) else open_bundle(bundle), user, state, store, key,
            lambda own: own.load_model(runtime, threads),
        )  # fmt: skip

    @property
    def store(self) -> EventStore | None:
        """The event store that holds the history; None = the state does."""
        return self._session.store

    @property
    def bundle(self) -> Bundle:
        """The bundle, for this user."""
        return self._session.bundle

    @property
    def user(self) -> str | None:
        """User id; None = unnamed."""
        return self._session.user

    @property
    def path(self) -> Path | None:
        """The state file; None = none was named."""
        return self._session.path

    @property
    def outdated(self) -> str:
        """Why the state file's weights were left aside, and what became of its history; "" = they were not."""
        return self._session.outdated

    @property
    def _state(self) -> PersonalState:
        return self._session.state

    def __len__(self) -> int:
        """Events of the history, without those of the future."""
        return len(self._session.events[0])

    @property
    def history(self) -> list[str]:
        """Item ids of the history, oldest first, without those that the vocabulary lacks and those of the future."""
        with self._session.lock:
            return self.bundle.vocabulary.ids(int(row) for row in self._session.events[0])

    @property
    def report(self) -> dict[str, Any]:
        """The last personalisation's report, as `Report.to_dict`; empty where there was none."""
        return self._session.state.report

    @property
    def model(self) -> Model:
        """The model with the present weights, opened at first use; another interpreter during a training."""
        with self._session.lock:
            return self._session.serving.model()

    def add(self, events: Iterable[Event] | Events) -> int:
        """Append events to the history; they count as context at once, and are trained on by `personalise`.

        An event that has the item and the time of one in the history is the same event and is left out, as often as
        the history has it: where a log holds an event three times, giving any part of it first and then all of it
        leaves three. An event without a time counts as the latest. Items that the vocabulary lacks are left out.

        Args:
            events: item ids, or pairs of item id and time: a number in the log's unit, larger is later, or where that
                unit is Unix seconds a ``datetime``, ``numpy.datetime64``, ``pandas.Timestamp`` or ISO 8601 text.

        Returns:
            How many were left out because their item is not in the vocabulary. A store keeps these too, for a later
            bundle may know them.

        Raises:
            DataError: an entry is not an event.
            StorageError, StoreError: the store cannot take them, and has none of them.
        """
        return self._session.add(events if isinstance(events, Events) else gather(events))

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
                model is not even opened, and the report's reason is `state.personalisation.NOTHING_NEW`.

        Returns:
            What was done; with too few events nothing is, and that is no error.

        Raises:
            DataError: an entry is not an event.
            BundleError, RuntimeMissingError: the model file cannot be opened.
        """
        given = events if isinstance(events, Events) else gather(events)
        return personalised(self._session, given, resume, passes, progress, budget, if_new)

    def recommend(
        self,
        k: int = 10,
        candidates: Sequence[str] | None = None,
        mask_seen: bool | None = None,
        now: object = None,
    ) -> list[tuple[str, float]]:
        """The best `k` items of the user's set, with their scores, best first; equal scores the more popular first.

        The set is the user's candidates in the bundle (else the popular items) and the items of the own history;
        where seen items are masked, the candidates that are not in the history. Without any event in the history the
        candidates stay in their own order, with 1 / place as the score.

        Args:
            k: items wanted, at least 1; fewer come back where the set is smaller.
            candidates: item ids to choose from instead of the user's set; unknown ids and repeats are passed over.
            mask_seen: leave out items of the history; None = as the manifest says.
            now: moment of asking, for a recipe whose bonus for repeats looks at times: Unix seconds, or a date as in
                `add`; None = the clock.

        Raises:
            ValueError: k is below 1, or `now` is not finite.
            DataError: `now` is no time, or `candidates` no list.
            BundleError, RuntimeMissingError: a file cannot be read.
        """
        return recommended(self._session, k, candidates, mask_seen, now)

    def embed(self) -> Array:
        """The user embedding after the history, float32 [E]; it never leaves the device by itself."""
        with self._session.lock:
            model = self._session.serving.model()
            return model.embed(context(self._session.events[0], model.window))

    def save(self, path: str | Path | None = None) -> Path:
        """Write the state atomically and keep the previous generation; returns where.

        Raises:
            StorageError: it could not be written, and the old state is still good.
            StateError: no path was given, here or when this object was made.
        """
        with self._session.lock:
            path = self._session.named(path)
            self._session.save(path)
            return path

    def load(self, path: str | Path | None = None) -> None:
        """Replace history and weights by those of a state file; where there is a store, the history is its events.

        With a store, weights of another model, or from before something was forgotten, are left aside: see
        `outdated`. The history of a state that was made without a store is handed over to it.

        Raises:
            StateError: the file is missing, damaged, or of another model or user; nothing was changed.
        """
        with self._session.lock:
            self._session.load(self._session.named(path))

    def clear_history(self) -> None:
        """Begin the history anew, in memory; the weights stay in use until `personalise` has others."""
        with self._session.lock:
            self._session.clear()

    def reset(self) -> None:
        """Forget weights and history in memory; a store keeps its events, `state.reset_state` deletes the file."""
        with self._session.lock:
            self._session.restart()
            self._session.refresh()

    def forget(self, items: Iterable[str | tuple[str, float]]) -> int:
        """Delete events, and what was trained on them: nothing of them stays in any file.

        The weights are the global ones until the next `personalise`; the state file's previous generation goes.

        Args:
            items: item ids, of which all events go, or pairs of item id and time, of which that one goes.

        Returns:
            How many events went.

        Raises:
            StorageError, StoreError: a file cannot be written: call again.
        """
        with self._session.lock:
            return self._session.forget(gather(items))

    def export(self, path: str | Path) -> int:
        """Write all events that are kept of the user to a CSV file, ``item,timestamp``; gives their number.

        Raises:
            StorageError: it cannot be written.
        """
        with self._session.lock:
            return self._session.history.export(self._session.state, path, self.bundle)

    def wipe(self) -> list[Path]:
        """Delete everything personal: the state file, its previous generation, the event store; gives what went.

        Raises:
            StateError, StoreError: a file is not ours; StorageError: a file cannot be deleted.
        """
        with self._session.lock:
            return self._session.wipe()

    def is_known(self) -> bool:
        """Whether the bundle has candidates for this user, or there is a history."""
        known = self.user is not None and self.bundle.candidates_of(self.user) is not None
        return known or len(self) > 0

    def close(self) -> None:
        """Close the model, and the store if it was opened here; a training that runs ends at its next step.

        What was not saved stays in memory; the next call opens both again.
        """
        with self._session.lock:
            self._session.close()

    def __enter__(self) -> Recommender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> str:
        raise ConfigError("a Recommender cannot be sent to another process: open one there, with the same paths")
