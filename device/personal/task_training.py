# SPDX-License-Identifier: Apache-2.0
"""A personal patch on a task's shared one: trained on the user's own targets, judged by the guard, pulled to the patch.

What is global for a model as a whole is the shared patch here: training starts from it, the proximal pull and the
guard's blends go to it. The head stays as it was tuned; only the tensors beside the backbone train. As in
`pocketrec.device.personal.training` nothing is drawn but negatives, by the number of the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pocketrec.device.contract.recipe import CHOICES
from pocketrec.device.engine.signatures import TaskBatch
from pocketrec.device.personal.guard import GLOBAL, Decision, blend, decide, finite, heldback_count, share_of
from pocketrec.device.personal.judgement import Judgement, Observed
from pocketrec.device.personal.options import TrainingOptions
from pocketrec.device.personal.personalise import Outcome, no_training
from pocketrec.device.personal.task import scores_of
from pocketrec.device.personal.windows import log_uniform

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.contract.patch import Patch
    from pocketrec.device.engine.model import Model

_ABSENT: Final = np.float32(-1e4)  # bias of a row that is not there
_SEED: Final = 20281128  # of the negatives
_DEFAULT: Final = TrainingOptions()


@dataclass(frozen=True, eq=False)
class Examples:
    """n targets of one user in a task, oldest first."""

    windows: Array
    """int32 (n, T): rows of the latest source events before each target, right-padded with 0."""
    targets: Array
    """int32 (n,): rows of the head, from 1."""
    histories: tuple[Array, ...]
    """n arrays int32 of source events before each target in rows of the task, for the bonus for repeats."""

    def __len__(self) -> int:
        return len(self.targets)

    def part(self, chosen: slice) -> Examples:
        """Some of them."""
        return Examples(self.windows[chosen], self.targets[chosen], self.histories[chosen])


def personalise_task(
    model: Model, patch: Patch, examples: Examples, reference: Mapping[str, Array],
    options: TrainingOptions = _DEFAULT,
) -> Outcome:  # fmt: skip
    """Follow the patch's recipe on one user's targets: judge, decide, and train on all where the guard allows it.

    Args:
        model: whose file trains tasks; afterwards it holds the outcome's weights.
        patch: the shared one.
        examples: what the user did.
        reference: the patch's tensors and fresh slots (`pocketrec.device.personal.task.weights_of`).
        options: how it is run.

    Raises:
        StoppedError: the options' `stop` said so; nothing is kept of the training.
    """
    recipe = patch.recipe
    if reason := no_training(recipe, len(examples), len(examples)):
        model.import_weights(reference)
        return Outcome(Decision(GLOBAL, reason), dict(reference), len(examples))
    judgement = judge_task(model, patch, examples, reference, options)
    decision = decide(recipe.guard, judgement)
    losses: list[float] = []
    weights, steps = dict(reference), 0
    if decision.choice != GLOBAL:
        model.import_weights(reference)
        losses, steps = train_patch(model, patch, examples, reference, options)
        weights = blend(reference, model.export_weights(), decision.share)
        if not finite(weights):
            decision, losses, steps = Decision(GLOBAL, "the training diverged", judgement=judgement), [], 0
            weights = dict(reference)
    model.import_weights(weights)
    return Outcome(decision, weights, len(examples), losses, steps)


def judge_task(
    model: Model, patch: Patch, examples: Examples, reference: Mapping[str, Array],
    options: TrainingOptions = _DEFAULT,
) -> Judgement:  # fmt: skip
    """Train on all but the latest targets and compare with the shared patch on those; the weights left are undefined.

    Raises:
        StoppedError: the options' `stop` said so.
    """
    guard = patch.recipe.guard
    heldback = heldback_count(guard, len(examples))
    if heldback == 0:
        return Judgement(len(examples), 0)
    split = len(examples) - heldback
    model.import_weights(reference)
    train_patch(model, patch, examples.part(slice(split)), reference, options)
    personal = model.export_weights()
    if not finite(personal):
        return Judgement(len(examples), heldback, diverged=True)
    later = examples.part(slice(split, None))
    found: dict[str, tuple[Array, Array]] = {}
    for choice in (GLOBAL, *guard.choices):
        options.check()
        model.import_weights(blend(reference, personal, share_of(choice)))
        found[choice] = evaluate_task(model, patch, later)
    loss, rank = found[GLOBAL]
    observed = {
        choice: Observed(float(loss.mean() - found[choice][0].mean()), float((1 / found[choice][1] - 1 / rank).mean()))
        for choice in CHOICES if choice in found
    }  # fmt: skip
    good = all(np.isfinite([seen.loglik, seen.rr]).all() for seen in observed.values())
    return Judgement(len(examples), heldback, observed if good else {}, not good)


def train_patch(
    model: Model, patch: Patch, examples: Examples, origin: Mapping[str, Array], options: TrainingOptions = _DEFAULT
) -> tuple[list[float], int]:
    """Train the model's present weights on some targets.

    Returns:
        Mean loss of each pass, in nats a target, and the number of steps.

    Raises:
        StoppedError: the options' `stop` said so.
    """
    recipe, steps = patch.recipe, -(-len(examples) // model.batch)
    passes = recipe.passes if options.passes is None else options.passes
    losses = []
    for number in range(passes):
        total = 0.0
        for step in range(steps):
            options.check()
            places = np.arange(step * len(examples) // steps, (step + 1) * len(examples) // steps)
            batch = batch_of(model, patch, examples, places, number * steps + step)
            total += model.train_task(batch, recipe.learning_rate, recipe.proximal, origin)
            if options.progress is not None:
                options.progress(number * steps + step + 1, passes * steps)
        losses.append(total / max(1, steps))
    return losses, passes * steps


def batch_of(model: Model, patch: Patch, examples: Examples, places: Array, step: int) -> TaskBatch:
    """The inputs of a step: windows, and the rows of the head that are compared.

    These are all rows of the head where there is room for them; else the targets, and negatives drawn by log-uniform
    frequency.

    Args:
        model: whose forms they have.
        patch: whose head it is.
        examples: of the user.
        places: int (b,): which of them, at most B.
        step: its number, which seeds the negatives.
    """
    compared, count = model.compared, len(patch.ids)
    targets = examples.targets[places]
    rows = np.zeros(compared, np.int32)  # 0 = not there
    if count <= compared:
        rows[:count] = np.arange(1, count + 1)
    else:
        own = np.unique(targets)
        drawn = log_uniform(compared - len(own), count, _SEED, step)
        rows[: len(own)], rows[len(own) :] = own, np.where(np.isin(drawn, own), 0, drawn)
    items = np.zeros((model.batch, model.window), np.int32)
    items[: len(places)] = examples.windows[places]
    wanted = np.zeros((model.batch, compared), np.float32)
    wanted[np.arange(len(places)), (rows[None, :] == targets[:, None]).argmax(axis=1)] = 1
    biases = np.where(rows > 0, patch.biases[rows], _ABSENT).astype(np.float32)
    return TaskBatch(items, wanted, patch.head(rows), biases)


def evaluate_task(model: Model, patch: Patch, examples: Examples) -> tuple[Array, Array]:
    """Loss in nats and rank (1 = best, ties against the target) of each target among all of the task, float64 (n,),
    under the model's present weights and with the patch's bonus for repeats."""
    losses, ranks = np.zeros(len(examples)), np.zeros(len(examples))
    rows = np.arange(1, len(patch.ids) + 1, dtype=np.int32)
    for place in range(len(examples)):
        scores = scores_of(patch, model.embed(examples.windows[place][None]))
        scores = patch.recipe.repeats.add_to(scores, rows, examples.histories[place])
        own = scores[examples.targets[place] - 1]
        losses[place] = np.logaddexp.reduce(scores.astype(np.float64)) - own
        ranks[place] = (scores >= own).sum()
    return losses, ranks

