"""The whole of personal training for one user, from a history to weights: recipe, guard, final training.

Devices and the simulated fleet call the same function, so that what is evaluated is what is shipped. This module
knows nothing about bundles, states and files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from pocketrec.device.personal.guard import (
    GLOBAL,
    Compared,
    Decision,
    Judgement,
    blend,
    decide,
    events_to_learn,
    finite,
    judge,
    learned_since,
)
from pocketrec.device.personal.training import Course, StoppedError, fine_tune, steps_of

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.contract.recipe import Recipe
    from pocketrec.device.engine.model import Model
    from pocketrec.device.personal.training import Progress

#: Choice of a training that went on from earlier weights and found nothing to do.
UNCHANGED: Final = "unchanged"


@dataclass(frozen=True)
class Paused:
    """Where a training was stopped. With the same arguments and this it goes on to the same bits."""

    course: Course
    """Steps of the guard's training, or of the final one."""
    weights: dict[str, Array]
    """Tensors and slots of that training."""
    judgement: Judgement | None = None
    """The guard's; None while its training or its comparison is not done."""
    compared: Compared | None = None
    """How far the guard's comparison has come; None = it has not begun, or is done."""


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


def personalise(
    model: Model,
    rows: Array,
    since: int,
    recipe: Recipe,
    reference: Mapping[str, Array],
    *,
    start: Mapping[str, Array] | None = None,
    step: int = 0,
    events: int | None = None,
    passes: int | None = None,
    first_target: int | None = None,
    replay_from: int | None = None,
    progress: Progress | None = None,
    stop: Callable[[], str] | None = None,
    paused: Paused | None = None,
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
        start: weights and slots to go on from; None = the global ones.
        step: train steps already behind `start`.
        events: number of events that the prior is asked about; None = those to learn from.
        passes: passes of the final training and of the guard's; None = the recipe's.
        first_target: index of the first event to train on; None = as the recipe's ``targets`` say.
        replay_from: index of the first older event that may be replayed; None = none are.
        progress: called after each train step, with the total of the guard's and the final training.
        stop: asked before each train step; anything but "" stops there.
        paused: where a training with the same arguments was stopped.
        times: float64 [n], of the events, for the guard; None = not known.
    """
    since = learned_since(len(rows), since)
    first_target = recipe.first_target(since) if first_target is None else first_target
    first_target = learned_since(len(rows), first_target)
    targets = events_to_learn(rows, since)
    reason = _no_training(recipe, targets if events is None else events, targets)
    if reason:
        weights = dict(reference if start is None else start)
        model.import_weights(weights)
        return Outcome(Decision(GLOBAL if start is None else UNCHANGED, reason), weights, targets)
    start = reference if start is None else start
    course = Course() if paused is None else replace(paused.course, losses=list(paused.course.losses))
    begin = start if paused is None else paused.weights
    judgement = None if paused is None else paused.judgement
    compared = Compared() if paused is None or paused.compared is None else deepcopy(paused.compared)
    losses: list[float] = []
    weights = dict(reference)
    try:
        if judgement is None:
            judgement = judge(
                model, rows, since, recipe, begin, reference, progress=progress, step=step, events=events,
                passes=passes, first_target=first_target, replay_from=replay_from, course=course, stop=stop,
                times=times, compared=compared,
            )  # fmt: skip
            course, begin = Course(), start
        decision = decide(recipe.guard, judgement)
        if decision.choice != GLOBAL:
            model.import_weights(begin)
            losses = fine_tune(
                model, rows, first_target, recipe, progress=progress, step=step, passes=passes,
                replay_from=replay_from, course=course, stop=stop,
            )  # fmt: skip
    except StoppedError as reason:
        begun = compared if judgement is None and compared.loss else None
        halted = Paused(course, model.export_weights(), judgement, begun)
        model.import_weights(start)
        return Outcome(Decision(UNCHANGED, str(reason)), dict(start), targets, paused=halted)
    if decision.choice != GLOBAL:
        weights = blend(reference, model.export_weights(), decision.share)
        if not finite(weights):
            decision = Decision(GLOBAL, "the training diverged", judgement=judgement)
            weights, losses = dict(reference), []
    model.import_weights(weights)
    made = steps_of(model, rows, first_target, len(losses), recipe.replay, replay_from)
    return Outcome(decision, weights, targets, losses, made)


def _no_training(recipe: Recipe, events: int, targets: int) -> str:
    """Why nothing is trained; "" where something is."""
    if not recipe.personalise:
        return "the rehearsal found nothing to gain from personal training"
    if targets == 0:
        return "there is no event to learn from"
    if events < recipe.minimum_events:
        return f"fewer events than the recipe's minimum of {recipe.minimum_events}"
    return ""
