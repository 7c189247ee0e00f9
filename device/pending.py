"""A personal training that was stopped for its budget: what it was about, and where it goes on.

It goes on only with the very events, recipe and start that it began with, told by a fingerprint; events that came since
are for the next training, so that a device with little time a night gets to the end. This module trains nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketrec.device.guard import Judgement, Observed, events_to_learn
from pocketrec.device.personalise import Paused
from pocketrec.device.plain import check_plain
from pocketrec.device.training import Course

if TYPE_CHECKING:
    from pocketrec.device.recipe import Recipe
    from pocketrec.device.state import PersonalState

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Plan:
    """What one training is about."""

    length: int
    """Events of the history that it knows, the first ones."""
    since: int
    """Index of the first event that the start has not seen."""
    resumed: bool
    """Whether it starts from the state's weights and not from the global ones."""
    step: int
    """Train steps behind the start."""
    passes: int | None
    """Passes; None = the recipe's."""
    first_target: int | None = None
    """Index of the first event to train on; None = as the recipe says."""
    events: int | None = None
    """Events that the guard's prior is asked about; None = those to learn from."""
    replay_from: int | None = None
    """Index of the first older event that may be replayed; None = none are."""

    @classmethod
    def of(
        cls,
        state: PersonalState,
        recipe: Recipe,
        since: int,
        length: int,
        resume: bool,
        passes: int | None,
        fresh: bool,
    ) -> Plan:
        """The plan for a state.

        Args:
            state: with the history, and the weights to go on from where `resume` is given.
            recipe: of the bundle.
            since: index of the first event that the global model has not seen.
            length: events of the history that count.
            resume: go on from the state's weights.
            passes: passes; None = the recipe's.
            fresh: whether events were given, known ones too.
        """
        since = min(since, length)
        if not (resume and state.weights):
            return cls(length, since, False, 0, passes)
        events, base = events_to_learn(range(length), since), recipe.first_target(since)
        if state.trained < length or fresh:
            first = max(base, state.trained)
            return cls(length, first, True, state.steps, passes, first, events, base)
        return cls(length, since, True, state.steps, passes, None, events)

    def key(self, state: PersonalState, recipe: Recipe) -> str:
        """Fingerprint of the plan, the events, the recipe, and the weights that it starts from."""
        about = [dataclasses.asdict(self), recipe.to_dict()]
        digest = _digest(about, state, self.length, with_times=recipe.repeats.time_power > 0)
        for name, value in sorted(state.weights.items()) if self.resumed else ():
            digest.update(name.encode() + np.ascontiguousarray(value, "<f4").tobytes())
        return digest.hexdigest()


def fingerprint(
    state: PersonalState, recipe: Recipe, since: int, length: int, resume: bool, passes: int | None
) -> str:
    """What a personalisation is about: the first `length` events, recipe and arguments, whatever the weights."""
    about = [min(since, length), length, resume, passes, recipe.to_dict()]
    return _digest(about, state, length, with_times=True).hexdigest()


def _digest(about: list[Any], state: PersonalState, length: int, *, with_times: bool) -> hashlib._Hash:
    """SHA-256 begun with some plain values and the first `length` events."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(state.rows[:length], "<i4").tobytes())
    if with_times:
        digest.update(np.ascontiguousarray(state.times[:length], "<f8").tobytes())
    return digest


@dataclass(frozen=True)
class Pending:
    """A training that was stopped."""

    key: str
    """Fingerprint of its plan."""
    length: int
    """Events of the history that it knows."""
    through: int
    """Number of the store's last event then."""
    fresh: bool
    """Whether it had been given events."""
    paused: Paused
    """Where it stands."""

    def to_json(self) -> str:
        """All but the weights."""
        course, judgement = dataclasses.asdict(self.paused.course), self.paused.judgement
        table = {"key": self.key, "length": self.length, "through": self.through, "fresh": self.fresh}
        told = None if judgement is None else dataclasses.asdict(judgement)
        return json.dumps({**table, "course": course, "judgement": told})

    @classmethod
    def from_json(cls, text: str, weights: Mapping[str, Array]) -> Pending:
        """The inverse of `to_json`.

        Raises:
            ValueError, KeyError, TypeError: the text is of another form.
        """
        table = json.loads(text)
        told = table.pop("judgement")
        judgement = None
        if told is not None:
            observed = {choice: Observed(**entry) for choice, entry in told.pop("observed").items()}
            judgement = Judgement(**told, observed=observed)
        course = Course(**table.pop("course"))
        if not all(isinstance(loss, int | float) for loss in course.losses):
            raise ValueError("the losses of its training are none")
        for part in (course, *([] if judgement is None else [judgement])):
            check_plain(part)
        paused = Paused(course, dict(weights), judgement)
        return cls(**table, paused=paused)
