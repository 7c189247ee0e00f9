# SPDX-License-Identifier: Apache-2.0
"""Whether a personal patch on a task's shared one gains anything: validation users' first targets are learned, on the
device's own code, and their later ones are judged; the guard's priors come from the same.

Validation users have chosen rate and epoch of the shared patch, so for them it is better than for others, which leaves
a personal one less to gain here. Test users are not looked at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.fingerprint import fingerprint
from pocketrec.cloud.base.processes import run_jobs
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.transfer import TransferRun
from pocketrec.cloud.rehearsal.choose import DressRehearsal, choose, crossfit, fit_priors, summary
from pocketrec.cloud.transfer.rows import Task
from pocketrec.device.contract.patch import ITEMS_KIND, Patch, pack, unpack
from pocketrec.device.contract.recipe import CHOICES, NEUTRAL, GuardRecipe, Recipe
from pocketrec.device.engine.model import Model
from pocketrec.device.engine.runtime import choose_runtime
from pocketrec.device.personal.guard import GLOBAL, blend, share_of
from pocketrec.device.personal.task import weights_of
from pocketrec.device.personal.task_training import Examples, evaluate_task, judge_task, train_patch

LEAST: Final = 10  # users without whom nothing is chosen
_TARGETS: Final = 4  # of a user who is rehearsed
_JUDGED: Final = 40  # later targets of a user, at most
_WEIGHED: Final = GuardRecipe(prior=dict.fromkeys(CHOICES, NEUTRAL))  # so that the guard looks at every choice


@dataclass(frozen=True)
class Rehearsed:
    """One validation user."""

    learn: Examples
    """The first half of the targets."""
    test: Examples
    """Later ones."""


def rehearse(
    config: TransferRun, task: Task, patch: Patch, histories: list[NDArray[np.int32]], model: Path, lines: Path, *,
    progress: Progress = no_progress,
) -> tuple[Recipe, dict[str, Any]]:  # fmt: skip
    """The recipe by which devices make a patch personal, and what is told of the rehearsal.

    Args:
        config: of the run.
        task: with validation users.
        patch: the shared one, as devices get it.
        histories: source events before each validation row, in rows of the task.
        model: model.tflite of the bundle.
        lines: file of finished users, which an interrupted rehearsal continues with.
        progress: called after each user.
    """
    users = _users(task, histories)
    rates = sorted(set(config.transfer.personal_rates))
    if patch.kind != ITEMS_KIND or not rates or len(users) < LEAST:
        return patch.recipe, {"users": len(users), "tried": {}, "chosen": ""}
    labels = {f"{rate:g}": _recipe(config, patch, rate) for rate in rates}
    runtime = choose_runtime(config.resources.runtime)
    content = pack(patch)
    about = [sorted(labels), config.transfer.personal_passes, runtime, list(users)]
    rows = task.validation
    key = fingerprint(about, [model, np.frombuffer(content, np.uint8), rows.windows, rows.targets])
    done = run_jobs(users, _judge, lines, key, start=_start, arguments=(model, content, labels, runtime),
                    processes=config.resources.processes, progress=progress)  # fmt: skip
    entries = list(done.values())
    dressed = {label: DressRehearsal.read(entries, label) for label in labels}
    gains = {(label, threshold): gain for label, one in dressed.items()
             for threshold, (gain, _) in crossfit(one, len(entries), config.seed).items()}  # fmt: skip
    winner = choose(gains)
    told: dict[str, Any] = {
        "users": len(users), "chosen": "" if winner is None else winner[0],
        "tried": {f"{label}, {threshold:g}": summary(gain) for (label, threshold), gain in gains.items()},
        "unguarded": {label: summary(one.gains["personal"]) for label, one in dressed.items()},
    }  # fmt: skip
    if winner is None:
        return patch.recipe, told
    label, threshold = winner
    priors = fit_priors(dressed[label], np.arange(len(entries)))
    guard = GuardRecipe(prior=priors, threshold=threshold)
    recipe = dataclasses.replace(labels[label], personalise=True, guard=guard)
    return dataclasses.replace(recipe, forecast={"rehearsed": told["tried"][f"{label}, {threshold:g}"]}), told


def _recipe(config: TransferRun, patch: Patch, rate: float) -> Recipe:
    return dataclasses.replace(patch.recipe, personalise=True, learning_rate=rate,
                               passes=config.transfer.personal_passes, guard=_WEIGHED)  # fmt: skip


def _users(task: Task, histories: list[NDArray[np.int32]]) -> dict[str, Rehearsed]:
    """Validation users with enough targets, whose rows are in the order of time."""
    rows, found = task.validation, {}
    places: dict[str, list[int]] = {}
    for place, user in enumerate(rows.users.tolist()):
        places.setdefault(user, []).append(place)
    for user, own in places.items():
        if len(own) >= _TARGETS:
            half = len(own) - len(own) // 2
            learn, test = (_examples(task, histories, part) for part in (own[:half], own[half : half + _JUDGED]))
            found[user] = Rehearsed(learn, test)
    return found


def _examples(task: Task, histories: list[NDArray[np.int32]], places: list[int]) -> Examples:
    return Examples(task.validation.windows[places], task.validation.targets[places],
                    tuple(histories[place] for place in places))  # fmt: skip


@dataclass(frozen=True)
class _Device:
    """What a process of the rehearsal works with."""

    model: Model
    patch: Patch
    reference: Mapping[str, NDArray[Any]]
    recipes: Mapping[str, Recipe]


_device: _Device | None = None


def _start(model: Path, content: bytes, recipes: Mapping[str, Recipe], runtime: str) -> None:
    global _device
    opened, patch = Model(model, runtime), unpack(content)
    _device = _Device(opened, patch, weights_of(patch, opened.export_weights()), recipes)


def _judge(user: Rehearsed) -> dict[str, Any]:
    """One user: with each recipe, what the guard would see of the first half, and what the later targets gain."""
    if _device is None:
        raise RuntimeError("the process was not started by rehearse")
    model, reference = _device.model, _device.reference
    trials = {}
    for label, recipe in _device.recipes.items():
        patch = dataclasses.replace(_device.patch, recipe=recipe)
        judgement = judge_task(model, patch, user.learn, reference)
        model.import_weights(reference)
        train_patch(model, patch, user.learn, reference)
        personal = model.export_weights()
        reached = {}
        for choice in (GLOBAL, *CHOICES):
            model.import_weights(blend(reference, personal, share_of(choice)))
            reached[choice] = float((1 / evaluate_task(model, patch, user.test)[1]).mean())
        trials[label] = {
            "events": judgement.events, "heldback": judgement.heldback, "diverged": judgement.diverged,
            "observed": {choice: dataclasses.asdict(seen) for choice, seen in judgement.observed.items()},
            "gain": {choice: reached[choice] - reached[GLOBAL] for choice in CHOICES},
        }  # fmt: skip
    return {"test": len(user.test), "trials": trials}
