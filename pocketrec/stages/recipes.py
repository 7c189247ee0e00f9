# SPDX-License-Identifier: Apache-2.0
"""The recipe that a run ships: the rehearsal's, or the configured one; and a recipe in words."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from pocketrec.cloud.base.runs import Run, read_json
from pocketrec.cloud.config.personalise import PersonaliseConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.stages.ranker_way import personalise_of

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences

RECIPE: Final = "rehearse/recipe.json"
REHEARSAL: Final = "rehearse/rehearsal.json"


def has_rehearsal(config: RunConfig) -> bool:
    """Whether a run rehearses: not where a log has its own split or is one of sessions, for then no device learns."""
    return config.rehearse.enabled and config.split.personal


def has_blending(config: RunConfig) -> bool:
    """Whether a run that has no rehearsal looks for the strength of the neighbours alone."""
    return config.rehearse.enabled and bool(config.rehearse.neighbours) and not config.split.personal


def rehearsal_parts(config: RunConfig, before: Sequences) -> Any:
    """Events before the earlier cut, those between the cuts, and how many of these each user learns from."""
    from pocketrec.cloud.data.split import rehearsal_split

    split = config.split
    return rehearsal_split(before, config.rehearse.quantile, per_user=split.kind == "per_user",
                           sessions=split.of_sessions, learn_share=split.learn_share)  # fmt: skip


def recipe_of_run(run: Run) -> dict[str, Any]:
    """The recipe that the bundle ships: the rehearsal's, or the configured one where there was no rehearsal."""
    if has_rehearsal(run.config):
        return read_json(run.folder / RECIPE)
    return recipe_of(personalise_of(run))


def recipe_of(config: PersonaliseConfig) -> dict[str, Any]:
    """The recipe of table ``[personalise]``."""
    from pocketrec.device.contract.recipe import Recipe

    return Recipe(**dataclasses.asdict(config)).to_dict()


def repeats_alone(recipe: dict[str, Any]) -> dict[str, Any] | None:
    """A recipe with the bonus of another recipe and no training; None where that one has no bonus."""
    from pocketrec.device.contract.recipe import Recipe
    from pocketrec.device.contract.repeats import Repeats

    bonus = Repeats(**recipe["repeats"])
    if not (recipe["personalise"] and bonus.strength):
        return None
    return Recipe(
        way=recipe["way"], optimizer=recipe["optimizer"], passes=0, minimum_events=0, targets="all", repeats=bonus
    ).to_dict()


def needs_naive(run: Run, recipe: dict[str, Any]) -> bool:
    """Whether naive fine-tuning trains other tensors, or by another optimiser, than the bundle's model."""
    naive = personalise_of(run)
    other = (naive.way, naive.optimizer) != (recipe["way"], recipe["optimizer"])
    return other and run.config.evaluate.naive and run.config.split.personal


def in_words(recipe: dict[str, Any]) -> str:
    """A recipe of a run in one line (`pocketrec.cloud.rehearsal.words`)."""
    from pocketrec.cloud.rehearsal.words import recipe_in_words
    from pocketrec.device.contract.recipe import Recipe

    return recipe_in_words(Recipe.from_dict(recipe))


def tried_in_words(rehearsal: dict[str, Any]) -> list[str]:
    """The bonus for repeats that was fitted at each price of harm, a line each; none where none was fitted."""
    if "bonus" not in rehearsal:
        return []
    fitted = rehearsal["bonus"]
    lines = [f"bonus for repeats, {fitted['users']:,} users, aim {fitted['aim']:g} gained for each one harmed; "
             "gain of MRR@20 and gained : harmed on users that it was not fitted to"]  # fmt: skip
    for one in fitted["tried"]:
        judged = one["judged"]
        taken = "*" if one["price"] == fitted["price"] else " "
        figures = f"{judged['mean']:+.4f}  {judged['gained']:>4} : {judged['harmed']:<4}"
        lines.append(f"{taken} price {one['price']:<4g} {figures} {one['words']}")
    return lines
