# SPDX-License-Identifier: Apache-2.0
"""What one personal training is about, and the fingerprint by which an equal one is known.

A training that its budget stopped continues only with the very events, recipe and start that it began with. This module
trains nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pocketrec.device.base.digest import digest
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.personal.guard import events_to_learn, learned_since
from pocketrec.device.state.personal_state import PersonalState


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
            state: with the history, and the weights to continue from where `resume` is given.
            recipe: of the bundle.
            since: index of the first event that the global model has not seen.
            length: events of the history that count.
            resume: continue from the state's weights.
            passes: passes; None = the recipe's.
            fresh: whether events were given, known ones too.
        """
        since = learned_since(length, min(since, length))
        if not (resume and state.weights):
            return cls(length, since, False, 0, passes)
        events, base = events_to_learn(range(length), since), learned_since(length, recipe.first_target(since))
        if state.trained < length or fresh:
            first = max(base, state.trained)
            return cls(length, first, True, state.steps, passes, first, events, base)
        return cls(length, since, True, state.steps, passes, None, events)

    def key(self, state: PersonalState, recipe: Recipe) -> str:
        """Fingerprint of the plan, the events, the recipe, and the weights that it starts from."""
        about = [dataclasses.asdict(self), recipe.to_dict()]
        events = _events(state, self.length, with_times=recipe.repeats.time_power > 0)
        return digest(about, [*events, *(_weights(state) if self.resumed else ())], spaced=True)


def fingerprint(
    state: PersonalState, recipe: Recipe, since: int, length: int, resume: bool, passes: int | None
) -> str:
    """What a personalisation is about: the first `length` events, recipe and arguments, whatever the weights."""
    about = [min(since, length), length, resume, passes, recipe.to_dict()]
    return digest(about, _events(state, length, with_times=True), spaced=True)


def _events(state: PersonalState, length: int, *, with_times: bool) -> Iterator[bytes]:
    """The first `length` events, to be digested."""
    yield np.ascontiguousarray(state.rows[:length], "<i4").tobytes()
    if with_times:
        yield np.ascontiguousarray(state.times[:length], "<f8").tobytes()


def _weights(state: PersonalState) -> Iterator[bytes]:
    """The weights by name, to be digested."""
    for name, value in sorted(state.weights.items()):
        yield name.encode() + np.ascontiguousarray(value, "<f4").tobytes()
