# SPDX-License-Identifier: Apache-2.0
"""The whole of personal training for one user, from a history to weights: recipe, guard, final training.

Devices and the simulated fleet call the same function, so that what is evaluated is what is shipped. This module
knows nothing about bundles, states and files.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pocketrec.device.personal.guard import (
    GLOBAL,
    Decision,
    blend,
    decide,
    events_to_learn,
    finite,
    judge,
    learned_since,
)
from pocketrec.device.personal.item_row_training import item_rows_of
from pocketrec.device.personal.item_rows import NONE, ItemRows
from pocketrec.device.personal.options import Course, Paused, Start, StoppedError, TrainingOptions
from pocketrec.device.personal.training import fine_tune, steps_of

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.contract.recipe import Recipe
    from pocketrec.device.engine.model import Model

#: Choice of a training that continued from earlier weights and found nothing to do.
UNCHANGED: Final = "unchanged"

_BEGINNING: Final = Start()
_DEFAULT: Final = TrainingOptions()


@dataclass(frozen=True)
class Outcome:
    """What personal training came to."""

    decision: Decision
    """Which weights, and why."""
    weights: dict[str, Array]
    """Trainable tensors and slots; the model holds the same."""
    events: int
    """Events to learn from."""
    losses: list[float] = field(default_factory=list)
    """Mean loss of each pass of the final training, in nats; empty where nothing was trained."""
    steps: int = 0
    """Train steps of the final training."""
    paused: Paused | None = None
    """Where it was stopped; then nothing is decided, and `weights` are those of the start."""
    item_rows: ItemRows = NONE
    """Personal item rows, for these weights."""


def personalise(
    model: Model,
    rows: Array,
    since: int,
    recipe: Recipe,
    reference: Mapping[str, Array],
    start: Start = _BEGINNING,
    options: TrainingOptions = _DEFAULT,
    times: Array | None = None,
) -> Outcome:
    """Follow a recipe on one history: judge, decide, and train on all events where the guard allows it.

    Nothing is trained, and the start weights stay, where the recipe says so, where there is nothing to learn from (a
    single event has nothing before it and is only context), or with fewer events than the recipe's minimum. Of a long
    history the latest `pocketrec.device.personal.guard.LEARNED` events are learned from.

    Args:
        model: the model; afterwards it holds the outcome's weights.
        rows: int32 [n], the whole history, oldest first, no 0.
        since: index of the first event that the global model has not seen, at or after the cut-off.
        recipe: how to train, and the guard.
        reference: the global weights and slots.
        start: where the training begins, or continues.
        options: how it is run; `progress` receives the steps of the guard's training, then those of the final one.
        times: float64 [n], of the events, for the guard; None = not known.
    """
    since = learned_since(len(rows), since)
    first_target = recipe.first_target(since) if start.first_target is None else start.first_target
    first_target = learned_since(len(rows), first_target)
    targets = events_to_learn(rows, since)
    begin = reference if start.weights is None else start.weights
    reason = no_training(recipe, targets if start.events is None else start.events, targets)
    if reason:
        model.import_weights(begin)
        return Outcome(Decision(GLOBAL if start.weights is None else UNCHANGED, reason), dict(begin), targets)
    paused, course = start.paused, Course()
    judgement = None if paused is None else paused.judgement
    losses: list[float] = []
    weights = dict(reference)
    try:
        if judgement is None:
            judgement = judge(model, rows, since, recipe, reference, start, options, times)
            paused = None  # it was about the guard's training
        decision = decide(recipe.guard, judgement, options.most)
        if decision.choice != GLOBAL:
            course = course if paused is None else deepcopy(paused.course)
            model.import_weights(begin if paused is None else paused.weights)
            losses = fine_tune(model, rows, first_target, recipe, start, options, course)
    except StoppedError as stopped:
        halted = stopped.paused or Paused(course, model.export_weights(), judgement)
        model.import_weights(begin)
        return Outcome(Decision(UNCHANGED, str(stopped)), dict(begin), targets, paused=halted)
    if decision.choice != GLOBAL:
        weights = blend(reference, model.export_weights(), decision.share)
        if not finite(weights):
            decision = Decision(GLOBAL, "the training diverged", judgement=judgement)
            weights, losses = dict(reference), []
    model.import_weights(weights)
    made = steps_of(model, rows, first_target, len(losses), recipe.replay, start.replay_from)
    own = item_rows_of(model, rows, first_target, recipe.item_rows, recipe.repeats.times(decision.share), times)
    return Outcome(decision, weights, targets, losses, made, item_rows=own)


def no_training(recipe: Recipe, events: int, targets: int) -> str:
    """Why nothing is trained; "" where something is."""
    if not recipe.personalise:
        return "the rehearsal found no training that gains enough at little harm"
    if targets == 0:
        return "there is no event to learn from"
    if events < recipe.minimum_events:
        return f"fewer events than the recipe's minimum of {recipe.minimum_events}"
    return ""
