"""`Recommender`: one user's recommender on the device, in a handful of methods.

Nothing here opens a network connection, and nothing leaves the device: events, weights and embeddings stay in this
process and in the state file that the application names.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketrec.device import state as states
from pocketrec.device.bundle import Bundle, open_bundle
from pocketrec.device.errors import DataError, StateError
from pocketrec.device.events import Event, Events, gather
from pocketrec.device.guard import GLOBAL, events_to_learn, share_of
from pocketrec.device.personalise import UNCHANGED, Outcome, personalise
from pocketrec.device.repeats import Repeats
from pocketrec.device.served import served_set
from pocketrec.device.windows import context

if TYPE_CHECKING:
    from pocketrec.device.model import Array, Model
    from pocketrec.device.training import Progress


@dataclass(frozen=True)
class Report:
    """What `Recommender.personalise` did."""

    choice: str
    """Weights used from now on: personal, blend or global."""
    reason: str
    """Why, in a few words."""
    history: int
    """Events of the history, without unknown items."""
    unknown: int
    """Events given that were left out, because the vocabulary lacks their item."""
    events: int
    """Events to learn from."""
    heldback: int = 0
    """Of these, events that the guard held back for its judgement."""
    expected_gain: dict[str, float] = field(default_factory=dict)
    """Expected gain in reciprocal rank of ``personal`` and ``blend``, where they were weighed."""
    losses: list[float] = field(default_factory=list)
    """Mean loss of each pass, in nats."""
    steps: int = 0
    """Train steps since the global weights; 0 where the global weights are used."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)


class Recommender:
    """A bundle together with one user's history and personal weights.

    Args:
        bundle: folder or .zip of a bundle, or an opened one.
        user: user id; picks the candidate set. None = an unnamed user, who gets the popular items.
        state: state file to continue from and to save to; one that does not exist yet is an empty beginning.
        runtime: auto, ai_edge_litert or tflite_runtime.
        threads: threads of the runtime's kernels.

    Raises:
        BundleError: the bundle is missing, cut short or altered.
        StateError: the state file is damaged, or of another model or user.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        user: str | None = None,
        state: str | Path | None = None,
        runtime: str = "auto",
        threads: int = 1,
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
        self.user = user
        self.path = None if state is None else Path(state)
        self._runtime, self._threads = runtime, threads
        self._opened: tuple[Model, dict[str, Array]] | None = None
        self._state = self._empty()
        if self.path is not None and states.exists(self.path):
            self.load()

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
            How many were left out because their item is not in the vocabulary.

        Raises:
            DataError: an entry is not an event.
        """
        new = events if isinstance(events, Events) else gather(events)
        rows = self.bundle.vocabulary.rows(new.items)
        old = self._state
        known = Counter(zip(old.rows.tolist(), old.times.tolist(), strict=True))
        floor = self.bundle.manifest.cut_off
        latest = float(old.times[-1]) if len(old.times) else -math.inf if floor is None else float(floor)
        kept_rows, kept_times = [], []
        for row, time in zip(rows.tolist(), new.times, strict=True):
            if time is None:
                time = latest = max(latest, 0.0 if floor is None else float(floor))
            elif known[row, time]:
                known[row, time] -= 1
                continue
            latest = max(latest, time)
            if row:
                kept_rows.append(row)
                kept_times.append(time)
        added: dict[str, Array] = {"rows": np.array(kept_rows, np.int32), "times": np.array(kept_times, np.float64)}
        merged, times, trained = states.joined(old.rows, old.times, old.trained, added)
        self._state = dataclasses.replace(old, rows=merged, times=times, trained=trained)
        return int((rows == 0).sum())

    def personalise(
        self,
        events: Iterable[Event] | Events = (),
        *,
        resume: bool = False,
        passes: int | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Make the model personal, as the bundle's recipe says, with all events of the history.

        By default the training starts from the global weights, which is what the rehearsal measured. With `resume` it
        goes on from the present weights and optimiser slots, with the events that training has not seen yet; without
        `events` and with none unseen, it makes further passes over all. The result is the same whether or not the
        state was saved and loaded in between.

        Args:
            events: added to the history first; see `add`.
            resume: go on from the present weights.
            passes: passes over the events; None = the recipe's.
            progress: called after each train step.

        Returns:
            What was done; with too few events nothing is, and that is no error.

        Raises:
            DataError: an entry is not an event.
            BundleError, RuntimeMissingError: the model file cannot be opened.
        """
        given = events if isinstance(events, Events) else gather(events)
        unknown = self.add(given)
        model, reference = self._open()
        old = self._state
        since, first, learn = self._since(), None, None
        start, step = None, 0
        if resume and old.weights:
            learn = events_to_learn(old.rows, since)
            if old.trained < len(old.rows) or len(given):
                since = first = max(self.bundle.recipe.first_target(since), old.trained)
            start, step = old.weights, old.steps
        outcome = personalise(
            model, old.rows, since, self.bundle.recipe, reference,
            start=start, step=step, events=learn, passes=passes, first_target=first, progress=progress,
        )  # fmt: skip
        choice = str(old.report.get("choice")) if outcome.decision.choice == UNCHANGED else outcome.decision.choice
        report = _report(outcome, choice, len(old.rows), unknown, step)
        self._state = dataclasses.replace(
            old,
            weights={} if choice == GLOBAL else outcome.weights,
            trained=len(old.rows) if outcome.losses else old.trained if start is not None else 0,
            steps=report.steps,
            report=report.to_dict(),
        )
        return report

    def recommend(
        self, k: int = 10, candidates: Sequence[str] | None = None, mask_seen: bool | None = None
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

        Raises:
            ValueError: k is below 1.
            BundleError, RuntimeMissingError: a file cannot be read.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        mask = self.bundle.manifest.mask_seen if mask_seen is None else mask_seen
        rows = self._candidate_rows(candidates)
        if mask or candidates is None:
            rows = served_set(rows, self._state.rows, mask)
        if len(self._state.rows):
            scores = self._scores(rows)  # (n,)
            order = np.lexsort((rows, -scores))[:k]
        else:
            scores = 1.0 / np.arange(1, len(rows) + 1)
            order = np.arange(min(k, len(rows)))
        ids = self.bundle.vocabulary.ids(int(row) for row in rows[order])
        return [(item, float(score)) for item, score in zip(ids, scores[order], strict=True)]

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
        state = dataclasses.replace(self._state, user=self.user or "", generation=self._state.generation + 1)
        states.save_state(path, state, self.bundle.manifest)
        self._state = state
        return path

    def load(self, path: str | Path | None = None) -> None:
        """Replace history and weights by those of a state file.

        Raises:
            StateError: the file is missing, damaged, or of another model or user; nothing was changed.
        """
        path = self._path(path)
        state = states.load_state(path, self.bundle.manifest)
        if self.user is not None and state.user not in ("", self.user):
            raise StateError(f"{path} is the state of user {state.user}: name that user, or another --state file")
        if self._opened is not None:
            self._opened[0].import_weights(state.weights or self._opened[1])
        self._state = state
        self.user = self.user or state.user or None

    def reset(self) -> None:
        """Forget history and personal weights in memory; `state.reset_state` deletes the file."""
        if self._opened is not None:
            self._opened[0].import_weights(self._opened[1])
        self._state = dataclasses.replace(self._empty(), generation=self._state.generation)

    def is_known(self) -> bool:
        """Whether the bundle has candidates for this user, or there is a history."""
        known = self.user is not None and self.bundle.candidates_of(self.user) is not None
        return known or len(self._state.rows) > 0

    def _open(self) -> tuple[Model, dict[str, Array]]:
        if self._opened is None:
            model = self.bundle.load_model(self._runtime, self._threads)
            self._opened = model, model.export_weights()
            if self._state.weights:
                model.import_weights(self._state.weights)
        return self._opened

    def _empty(self) -> states.PersonalState:
        return states.PersonalState(self.user or "", np.zeros(0, np.int32), np.zeros(0, np.float64), {}, generation=0)

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
        return min(known, len(self._state.rows))

    def _repeats(self) -> Repeats:
        """The recipe's bonus for repeated items, as far as the guard lets this user have it."""
        return self.bundle.recipe.repeats.times(share_of(str(self._state.report.get("choice"))))

    def _candidate_rows(self, candidates: Sequence[str] | None) -> Array:
        if candidates is not None:
            if isinstance(candidates, str):
                raise DataError("candidates is one string: give a list of item ids")
            rows = self.bundle.vocabulary.rows(candidates)
            return np.array(list(dict.fromkeys(rows[rows > 0].tolist())), np.int32)
        own = None if self.user is None else self.bundle.candidates_of(self.user)
        return self.bundle.popular() if own is None else own

    def _scores(self, rows: Array) -> Array:
        model = self.model
        items = context(self._state.rows, model.window)
        scores = np.zeros(len(rows), np.float32)
        for start in range(0, len(rows), model.candidates):
            part = rows[start : start + model.candidates]
            padded = np.zeros(model.candidates, np.int32)
            padded[: len(part)] = part
            scores[start : start + len(part)] = model.infer(items, padded)[: len(part)]
        return self._repeats().add_to(scores, rows, self._state.rows)


def _report(outcome: Outcome, choice: str, history: int, unknown: int, steps_before: int) -> Report:
    decision, judgement = outcome.decision, outcome.decision.judgement
    return Report(
        choice=choice,
        reason=decision.reason,
        history=history,
        unknown=unknown,
        events=outcome.events,
        heldback=judgement.heldback if judgement else 0,
        expected_gain=dict(decision.posterior),
        losses=outcome.losses,
        steps=0 if choice == GLOBAL else steps_before + outcome.steps,
    )
