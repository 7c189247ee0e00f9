# SPDX-License-Identifier: Apache-2.0
"""A recipe in words: the name of a trial in rehearsal.json and in charts, and what a run says it has chosen."""

from __future__ import annotations

from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.contract.repeats import Repeats


def recipe_in_words(recipe: Recipe) -> str:
    """A recipe in one line: different for recipes that train or add otherwise, and short enough for a chart.

    The guard is left out; it does not shape what is trained.
    """
    if not recipe.personalise:
        return "nothing gains clearly and harms few: devices stay with the global model"
    again = f", repeats {bonus_in_words(recipe.repeats)}" if recipe.repeats.strength else ""
    if not recipe.passes:
        return f"no training{again}"
    pull = f", pull {recipe.proximal:g}" if recipe.proximal else ""
    every = ", all events" if recipe.targets == "all" else ""
    training = f"{recipe.way} {recipe.optimizer} {recipe.learning_rate:g} \N{MULTIPLICATION SIGN} {recipe.passes}"
    return f"{training}{pull}{every}{again}"


def bonus_in_words(repeats: Repeats) -> str:
    """The bonus for repeats: its strength, then what it falls with."""
    decay = f"/{repeats.decay:g}" if repeats.decay < 1 else ""
    power = f"/age^-{repeats.power:g}" if repeats.power else ""
    time = f"/seconds^-{repeats.time_power:g}" if repeats.time_power else ""
    slope = f"(1{repeats.slope:+g} log n)" if repeats.slope else ""
    follows = f"+follows {repeats.follows:g}" if repeats.follows else ""
    headroom = f", headroom {repeats.headroom:g}" if repeats.headroom else ""
    return f"{repeats.strength:g}{slope}{decay}{power}{time}{follows}{headroom}"
