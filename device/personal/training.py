# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning on one user's history, and the judgement of single targets.

The steps follow from the history and the recipe alone: no shuffling, negatives seeded by the step's number. So equal
input gives equal weights, and training that was saved and restored continues as if it had not been interrupted.
This module knows nothing about bundles, states or the guard.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from pocketrec.device.contract.repeats import gaps_at
from pocketrec.device.personal.options import Course, Start, TrainingOptions
from pocketrec.device.personal.windows import context, log_uniform, replay_windows, replayed_count, training_windows

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.contract.recipe import Recipe
    from pocketrec.device.contract.repeats import Repeats
    from pocketrec.device.engine.model import Model

_SEED: Final = 20210419  # of the negatives; fixed, so that rehearsal and devices draw alike
_BEGINNING: Final = Start()
_DEFAULT: Final = TrainingOptions()


def fine_tune(
    model: Model,
    rows: Array,
    first_target: int,
    recipe: Recipe,
    start: Start = _BEGINNING,
    options: TrainingOptions = _DEFAULT,
    course: Course | None = None,
) -> list[float]:
    """Train the model's present weights on a history.

    Args:
        model: the model; its weights and slots are changed.
        rows: int32 [n], the history, oldest first, no 0.
        first_target: index of the first event to predict; earlier ones are context.
        recipe: learning rate, passes, proximal strength.
        start: `step` and `replay_from` of it; the weights are those that the model has.
        options: how it is run.
        course: where to continue; it is kept up to date. None = from the beginning.

    Returns:
        The mean loss of each pass, in nats a step's target; empty where there is nothing to learn from.

    Raises:
        StoppedError: the options' `stop` said so; its text is the reason.
    """
    passes = recipe.passes if options.passes is None else options.passes
    replay_from = start.replay_from
    course = Course() if course is None else course
    share = 0.0 if replay_from is None else recipe.replay
    steps = steps_of(model, rows, first_target, 1, share, replay_from)
    made, items, targets = -1, rows[:0], rows[:0]
    while course.done < passes * steps:
        finished, at = divmod(course.done, steps)
        if made < 0 or (share and made != finished):  # each pass replays other windows
            made = finished
            windows = replay_windows(
                rows, first_target, replay_from, share, model.window, model.batch, (_SEED, start.step, finished),
                model.targets,
            )  # (S, B, T) and (S, B, targets)
            items, targets = model.steps(*windows, steps)
        options.check()
        negatives = _negatives(model, start.step + course.done)
        course.total += model.train(items[at], targets[at], recipe.learning_rate, recipe.proximal, negatives)
        course.done += 1
        if options.progress is not None:
            options.progress(course.done, passes * steps)
        if at == steps - 1:
            course.losses.append(course.total / steps)
            course.total = 0.0
    return course.losses


def steps_of(
    model: Model, rows: Array, first_target: int, passes: int, share: float = 0.0, replay_from: int | None = None
) -> int:
    """Train steps that `fine_tune` makes; `share` is the recipe's ``replay`` where older events are replayed."""
    targets = max(0, len(rows) - max(1, first_target))
    windows, replayed = -(-targets // model.targets), 0
    if replay_from is not None:
        replayed = replayed_count(windows, first_target, replay_from, share, model.targets)
    if model.positions:  # the oldest of the replayed windows may have fewer targets: a step may have room to spare
        return -(-(targets + replayed * model.targets) // model.positions) * passes
    return -(-(windows + replayed) // model.batch) * passes


def evaluate_targets(
    model: Model, rows: Array, first_target: int, repeats: Repeats | None = None, times: Array | None = None
) -> tuple[Array, Array]:
    """Loss and rank of each target from `first_target` to the end, under the present weights.

    Returns:
        Loss in nats and rank (1 = best), float64 [m] each, oldest first; see `evaluation_calls`.
    """
    losses, ranks = [np.zeros(0)], [np.zeros(0)]
    for call in evaluation_calls(model, rows, first_target, repeats, times):
        loss, rank = call()
        losses.append(loss)
        ranks.append(rank)
    return np.concatenate(losses), np.concatenate(ranks)


def evaluation_calls(
    model: Model, rows: Array, first_target: int, repeats: Repeats | None = None, times: Array | None = None
) -> list[Callable[[], tuple[Array, Array]]]:
    """The steps of an evaluation of the targets from `first_target` to the end, so that one may stop between them.

    Every target has at least half a window of context before it, where the history is that long; with `repeats` each
    has its whole window, its rank is that of the raised scores, and it is asked for at its own time: float64 [n]
    `times` are those of `rows`.

    Returns:
        Functions, to be called in their order under the weights that are judged. Each gives loss in nats and rank
        (1 = best) of some targets, float64 [k] each, oldest first: over the full catalogue, or, where the loss is the
        sampled softmax, over the target and negatives that are the same at every call. Where the ranker of a second
        stage trains, the full catalogue is in the order of both stages (`Model.reordered`).
    """
    if repeats is not None:
        places = range(max(1, first_target), len(rows))
        return [partial(_evaluate_raised, model, rows, place, repeats, times) for place in places]
    stride = max(1, model.window // 2)
    windows = training_windows(rows, first_target, model.window, model.batch, stride, model.targets)
    items, targets = model.steps(*windows)
    return [partial(_evaluate_batch, model, items[at], targets[at], at) for at in range(len(items))]


def _evaluate_batch(model: Model, items: Array, targets: Array, number: int) -> tuple[Array, Array]:
    """Loss and rank of the counted targets of one batch; its number seeds the negatives."""
    loss, rank = model.evaluate(items, targets, _negatives(model, number))  # like the targets
    counted = targets > 0
    return loss[counted].astype(np.float64), rank[counted].astype(np.float64)


def _evaluate_raised(
    model: Model, rows: Array, place: int, repeats: Repeats, times: Array | None
) -> tuple[Array, Array]:
    """Loss and rank of the one target at `place`, over the full catalogue, with the bonus for repeated items."""
    window = context(rows[:place], model.window)
    scores = model.scores(model.embed(window))  # (N + 1,)
    if model.positions:  # what trains is the ranker of the second stage, which the inner product knows nothing of
        scores = model.reordered(window, scores, rows[:place])
    gaps = None if times is None else gaps_at(times[:place], times[place])
    repeats.add_to_catalogue(scores, rows[:place], gaps)
    own = scores[rows[place]]
    loss = np.logaddexp.reduce(scores[1:].astype(np.float64)) - own
    return np.array([loss], np.float64), np.array([(scores[1:] >= own).sum()], np.float64)


def _negatives(model: Model, step: int) -> Array | None:
    if not model.sampled:
        return None
    if model.items < 1:
        raise ValueError("this model draws negatives: make it with Model(..., items=N)")
    return log_uniform(model.negatives, model.items, _SEED, step)
