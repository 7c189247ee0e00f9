"""A recipe in words: the name of a trial in rehearsal.json and in charts, and what a run says it has chosen."""

from __future__ import annotations

from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.contract.repeats import Repeats


def recipe_in_words(recipe: Recipe) -> str:
    """A recipe in one line: different for recipes that train or add otherwise, and short enough for a chart.

    The guard is left out; it does not shape what is trained.
    """
    if not recipe.personalise:
        return "nothing to gain: devices stay with the global model"
    again = f", repeats {_repeats_in_words(recipe.repeats)}" if recipe.repeats.strength else ""
    if not recipe.passes:
        return f"no training{again}"
    pull = f", pull {recipe.proximal:g}" if recipe.proximal else ""
    every = ", all events" if recipe.targets == "all" else ""
    training = f"{recipe.way} {recipe.optimizer} {recipe.learning_rate:g} \N{MULTIPLICATION SIGN} {recipe.passes}"
    return f"{training}{pull}{every}{again}"


def _repeats_in_words(repeats: Repeats) -> str:
    """The bonus for repeats: its strength, then what it falls with."""
    decay = f"/{repeats.decay:g}" if repeats.decay < 1 else ""
    power = f"/age^-{repeats.power:g}" if repeats.power else ""
    time = f"/seconds^-{repeats.time_power:g}" if repeats.time_power else ""
    return f"{repeats.strength:g}{decay}{power}{time}" + (f"+follows {repeats.follows:g}" if repeats.follows else "")
