# SPDX-License-Identifier: Apache-2.0
"""A first round of the screening on a part of the users, after which few trainings go on (successive halving; Jamieson
and Talwalkar, AISTATS 2016): a wider grid costs little more than a narrow one.

What the first round drops is not seen by the dress rehearsal. This module knows nothing about models or files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from pocketrec.cloud.rehearsal.choose import bound
from pocketrec.cloud.rehearsal.trials import Trial

#: Trainings that go on to all users.
KEPT: Final = 4
#: The first round is played by every such user.
EVERY: Final = 4
_LEAST: Final = 80  # users, below which all play everything


def pays(trials: Sequence[Trial], users: int) -> bool:
    """Whether two rounds are fewer trainings than one, and the first has users enough to tell."""
    trainings = len(trainings_of(trials))
    return users >= _LEAST and trainings + KEPT * EVERY < trainings * EVERY


def trainings_of(trials: Sequence[Trial]) -> list[Trial]:
    """The different trainings, in the order of the grid: what is trained once and read off."""
    return list(dict.fromkeys(trial.run for trial in trials if trial.passes))


def survivors(trials: Sequence[Trial], screened: Sequence[Mapping[str, Any]]) -> list[Trial]:
    """What goes on, in the order of the grid: the best trainings, and all that does without.

    The best training with a bonus for repeats and the best without one have a place, as both kinds are wanted later;
    the others are for the best of all. Best is the highest mean gain in reciprocal rank of one of a training's recipes,
    less one standard error.

    Args:
        trials: the grid.
        screened: lines of the first round.
    """
    worth = {trial: bound(np.array([entry["gain"][trial.name][0] for entry in screened]))
             for trial in trials if trial.passes}  # fmt: skip
    best = sorted(worth, key=lambda trial: -worth[trial])
    kept: dict[Trial, None] = {}
    for with_bonus in (False, True):
        own = dict.fromkeys(trial.run for trial in best if (trial.repeats.strength > 0) == with_bonus)
        kept |= dict.fromkeys(list(own)[:1])
    for trial in best:
        if len(kept) < KEPT:
            kept.setdefault(trial.run)
    return [trial for trial in trials if not trial.passes or trial.run in kept]
