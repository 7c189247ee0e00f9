# SPDX-License-Identifier: Apache-2.0
"""The guard: is this user better served by the personal weights, by the global ones, or by something between?

The user's latest events are held back, the rest is trained on, and both models are judged on the held-back targets.
One user has few of them, so what is seen (two signals: log-likelihood and reciprocal rank) only corrects what the
rehearsal expects of a user with that many events (empirical-Bayes shrinkage). With n events to learn from and m
targets held back, the expected gain in mean reciprocal rank is

    posterior(n, m) = gain(n) + sum over signals s of  weight_s * m / (m + strength_s) * (observed_s - expected_s(n))

where gain(n) is the rehearsal's mean gain of such users on their real future, expected_s(n) is its mean of the same
signal on held-back targets, weight_s converts the signal into reciprocal rank (the regression of the real gain on the
signal) and strength_s is the number of held-back targets at which half of the signal is believed. Functions of n are
lines in log(1 + n). How far the real gain may lie from it is known too, so that a choice has a chance of harm, that is
of a loss of more than `MARGIN`, which has a price:

    utility(n, m) = posterior(n, m) - price * P(gain < -MARGIN)
    P(gain < -MARGIN) = 1 / (1 + exp((posterior(n, m) + MARGIN) / scale)),   scale = spread(n) * sqrt(3) / pi

(a logistic distribution of standard deviation spread(n)). The personal weights are kept, blended with the global ones
by a share, or left aside, whichever has the largest utility; each must exceed the recipe's threshold. The rules are
pure functions, so that the rehearsal fits the very numbers that the device uses.

This module knows nothing about files, nor about how a recipe was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Sized
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from pocketrec.device.contract.recipe import CHOICES, GuardRecipe, Prior
from pocketrec.device.personal.judgement import Compared, Judgement, Observed
from pocketrec.device.personal.options import Course, Paused, Start, StoppedError, TrainingOptions
from pocketrec.device.personal.training import evaluation_calls, fine_tune

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.contract.recipe import Recipe
    from pocketrec.device.engine.model import Model

PERSONAL: Final = "personal"
BLEND: Final = "blend"
GLOBAL: Final = "global"

#: Loss in reciprocal rank above which a user is harmed.
MARGIN: Final = 0.01
_FIRST: Final = (PERSONAL, BLEND)  # in the comparison: a stopped training of an older version goes on

_STEEPEST: Final = 700.0  # an exponent that a double can take
_BEGINNING: Final = Start()
_DEFAULT: Final = TrainingOptions()

#: Most events that are learned from, the latest ones; older ones are context. With 100,000 events a training would
#: take ten times as long, and the guard's evaluation with a bonus for repeats, which looks at the whole history for
#: each held-back event, more than that (benchmarks/budget.py); what was done so long ago says little about tomorrow.
LEARNED: Final = 10_000


@dataclass(frozen=True)
class Decision:
    """Which weights this user gets, and why."""

    choice: str
    """personal, most, blend, quarter or global."""
    reason: str
    """A few words for the report."""
    posterior: dict[str, float] = field(default_factory=dict)
    """Expected gain in reciprocal rank of each choice that was weighed."""
    chance: dict[str, float] = field(default_factory=dict)
    """Chance of harm of each, in [0, 1]."""
    judgement: Judgement | None = None
    """What was seen on the held-back events, where any were."""

    @property
    def share(self) -> float:
        """Share of the personal weights, in [0, 1]."""
        return share_of(self.choice)


def share_of(choice: str) -> float:
    """Share of the personal weights, and of the bonus for repeats, in a choice; 0 for `GLOBAL`.

    w = global + share * (personal - global).
    """
    return CHOICES.get(choice, 0.0)


def posterior_gain(prior: Prior, events: int, heldback: int, observed: Observed | None) -> float:
    """Expected gain in reciprocal rank, by the formula at the top of this module.

    Args:
        prior: of the choice.
        events: n, events to learn from.
        heldback: m, held-back targets; 0 leaves the prior's gain.
        observed: the signals; None leaves the prior's gain.
    """
    gain = prior.gain.at(events)
    if observed is None or heldback <= 0:
        return gain
    for signal, value in ((prior.loglik, observed.loglik), (prior.rr, observed.rr)):
        gain += signal.weight * heldback / (heldback + signal.strength) * (value - signal.expected.at(events))
    return gain


def chance_of_harm(prior: Prior, events: int, gain: float) -> float:
    """Probability of a loss of more than `MARGIN`, by the formula at the top of this module.

    Args:
        prior: of the choice.
        events: n, events to learn from.
        gain: the expected one.
    """
    scale = prior.spread.at(events) * math.sqrt(3.0) / math.pi
    if scale <= 0:
        return 1.0 if gain < -MARGIN else 0.0
    return 1.0 / (1.0 + math.exp(min(_STEEPEST, (gain + MARGIN) / scale)))


def decide(guard: GuardRecipe, judgement: Judgement, most: float = 1.0) -> Decision:
    """Choose between the personal weights, blends and the global ones from what was seen and what was expected.

    Equal utilities go to the milder choice.

    Args:
        guard: of the recipe.
        judgement: what was seen on the held-back events.
        most: largest share of the personal weights that may be chosen.
    """
    if judgement.diverged:
        return Decision(GLOBAL, "the training diverged", judgement=judgement)
    if not guard.enabled:
        return Decision(PERSONAL, "the guard is off", judgement=judgement)
    posterior: dict[str, float] = {}
    chance: dict[str, float] = {}
    best, utility = GLOBAL, guard.threshold
    for choice in (choice for choice in guard.choices if share_of(choice) <= most):
        prior, events = guard.prior_of(choice), judgement.events
        gain = posterior_gain(prior, events, judgement.heldback, judgement.observed.get(choice))
        posterior[choice], chance[choice] = gain, chance_of_harm(prior, events, gain)
        value = gain - guard.price * chance[choice]
        if value > utility:
            best, utility = choice, value
    if judgement.heldback == 0:
        reason = "too few events to hold any back, so the rehearsal's mean decides"
    elif best == GLOBAL:
        reason = "no gain is expected from personal weights"
    else:
        reason = f"a gain of {posterior[best]:+.4f} in reciprocal rank is expected"
    return Decision(best, reason, posterior, chance, judgement)


def events_to_learn(rows: Sized, since: int) -> int:
    """How many events of a history there are to learn from: n in the guard's formula, on devices and in rehearsal.

    The very first event has nothing before it that it could be predicted from, so it is only context.

    Args:
        rows: the history's known events.
        since: index of the first that the global model has not seen; 0 for a New user.
    """
    return max(0, len(rows) - max(1, since))


def learned_since(length: int, since: int) -> int:
    """Index of the first event to learn from: `since`, but at most `LEARNED` events are.

    Args:
        length: events of the history.
        since: index of the first that the global model has not seen.
    """
    return max(since, length - LEARNED)


def heldback_count(guard: GuardRecipe, events: int) -> int:
    """How many of `events` targets are held back; 0 where fewer than `minimum_heldback` would be, or none be left."""
    count = max(guard.minimum_heldback, round(guard.holdback * events))
    return count if guard.enabled and events - count >= 1 else 0


def judge(
    model: Model,
    rows: Array,
    since: int,
    recipe: Recipe,
    reference: Mapping[str, Array],
    start: Start = _BEGINNING,
    options: TrainingOptions = _DEFAULT,
    times: Array | None = None,
) -> Judgement:
    """Train on all but the latest events and compare with the global weights on those.

    The model's variables are left in an undefined state: the caller imports the weights that it wants.

    Args:
        model: the model.
        rows: int32 [n], the history, oldest first, no 0.
        since: index of the first event at or after the cut-off; only such events are held back, for the global model
            was trained on the earlier ones.
        recipe: how to train, and the guard's settings.
        reference: the global weights and slots.
        start: where the training begins, or continues.
        options: how it is run; `stop` is asked between the calls of the comparison too.
        times: float64 [n], of the events, for a bonus for repeats that looks at them; each held-back event is asked for
            at its own time. None = not known.

    Raises:
        StoppedError: the options' `stop` said so; its `paused` says where to continue.
    """
    choices = (*_FIRST, *(choice for choice in recipe.guard.choices if choice not in _FIRST))
    since = learned_since(len(rows), since)
    targets = events_to_learn(rows, since)
    events = targets if start.events is None else start.events
    heldback = heldback_count(recipe.guard, targets)
    if heldback == 0:
        return Judgement(events, 0)
    split = len(rows) - heldback
    first_target = recipe.first_target(since) if start.first_target is None else start.first_target
    first_target = learned_since(len(rows), first_target)
    course, compared, begin = Course(), Compared(), reference if start.weights is None else start.weights
    if (paused := start.paused) is not None:
        course, begin = deepcopy(paused.course), paused.weights
        compared = Compared() if paused.compared is None else deepcopy(paused.compared)
    model.import_weights(begin)
    personal: dict[str, Array] = {}
    try:
        fine_tune(model, rows[:split], first_target, recipe, start, options, course)
        personal = model.export_weights()
        if not finite(personal):
            return Judgement(events, heldback, diverged=True)
        for place, share in enumerate((0.0, *map(share_of, choices))):
            model.import_weights(dict(reference) if share == 0.0 else blend(reference, personal, share))
            repeats = recipe.repeats.times(share) if recipe.repeats.strength else None
            _sum_up(compared, place, evaluation_calls(model, rows, split, repeats, times), options)
    except StoppedError as stopped:
        reached = personal or model.export_weights()
        raise StoppedError(str(stopped), Paused(course, reached, None, compared if compared.loss else None)) from None
    observed = {
        choice: Observed((compared.loss[0] - loss) / heldback, (rr - compared.rr[0]) / heldback)
        for choice, loss, rr in zip(choices, compared.loss[1:], compared.rr[1:], strict=True)
    }
    diverged = not all(math.isfinite(seen.loglik) and math.isfinite(seen.rr) for seen in observed.values())
    return Judgement(events, heldback, {} if diverged else observed, diverged)


def _sum_up(
    compared: Compared,
    place: int,
    calls: Sequence[Callable[[], tuple[Array, Array]]],
    options: TrainingOptions,
) -> None:
    """Evaluate one of the weights, as far as that is not done.

    Raises:
        StoppedError: the options' `stop` said so.
    """
    if place < len(compared.loss) - 1:
        return
    if place == len(compared.loss):
        compared.calls = 0
        compared.loss.append(0.0)
        compared.rr.append(0.0)
    for call in calls[compared.calls :]:
        options.check()
        loss, rank = call()
        compared.loss[place] += float(loss.sum())
        compared.rr[place] += float((1 / rank).sum())
        compared.calls += 1


def blend(reference: Mapping[str, Array], personal: Mapping[str, Array], share: float) -> dict[str, Array]:
    """global + share * (personal - global), tensor by tensor (weights and slots), float32; exact at 0 and 1."""
    if share == 1.0:
        return dict(personal)
    return {name: (value + share * (personal[name] - value)).astype(np.float32) for name, value in reference.items()}


def finite(weights: Mapping[str, Array]) -> bool:
    """Whether every number of every tensor is finite."""
    return all(bool(np.isfinite(value).all()) for value in weights.values())
