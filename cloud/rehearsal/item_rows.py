# SPDX-License-Identifier: Apache-2.0
"""Are personal item rows worth having on top of a recipe? Judged on users before the cut-off, by the device's own code.

Runs without TensorFlow; knows nothing about how the recipe was chosen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.fleet.device import DeviceUser, SimulatedDevice, known_positions
from pocketrec.cloud.metrics.metrics import gained_harmed, ranks, resample_means, user_values
from pocketrec.device.contract.recipe import ItemRowsRecipe, Recipe
from pocketrec.device.personal.item_row_training import kept, seen_of
from pocketrec.device.personal.item_rows import NONE, ItemRows, Seen

Floats = NDArray[np.float64]

#: Chance that rehearsed users gain, by bootstrap, below which a recipe gets no rows.
CONFIDENCE = 0.9


@dataclass(frozen=True)
class Judged:
    """MRR@20 of each user, [users]."""

    plain: Floats
    """By the recipe alone."""
    guarded: dict[ItemRowsRecipe, Floats]
    """With rows that devices keep."""
    unguarded: dict[ItemRowsRecipe, Floats]
    """With rows in any case."""


def with_item_rows(recipe: dict[str, Any], judged: Judged, samples: int, seed: int) -> tuple[dict[str, Any], list[Any]]:
    """The recipe with the rows that surely gain, or as it is; and what was tried, as plain values."""
    tried: list[dict[str, Any]] = []
    best: tuple[float, ItemRowsRecipe] | None = None
    for settings, values in judged.guarded.items():
        difference = values - judged.plain
        drawn = resample_means(difference[None], samples, seed)[:, 0]
        low, high = np.quantile(drawn, [0.025, 0.975])
        gained, harmed = gained_harmed(difference)
        row: dict[str, Any] = {
            "rate": settings.rate, "chance": float((drawn > 0).mean()),
            "gain": {"mean": float(difference.mean()), "low": float(low), "high": float(high)},
            "unguarded": float((judged.unguarded[settings] - judged.plain).mean()), "gained": gained, "harmed": harmed,
        }  # fmt: skip
        tried.append(row)
        if row["chance"] >= CONFIDENCE and (best is None or row["gain"]["mean"] > best[0]):
            best = row["gain"]["mean"], settings
    if best is None:
        return recipe, tried
    return {**recipe, "item_rows": dataclasses.asdict(best[1])}, tried


def judge_item_rows(
    device: SimulatedDevice, users: Sequence[DeviceUser], recipe: Mapping[str, Any], settings: Sequence[ItemRowsRecipe],
    evaluate: EvaluateConfig, progress: Progress = no_progress,
) -> Judged:  # fmt: skip
    """Serve each user by a recipe, and by the same with rows of each kind.

    Args:
        device: with the model and the neighbours that users get.
        users: with events to learn from and a test.
        recipe: recipe.json, without rows.
        settings: what is tried.
        evaluate: ties and mask.
        progress: called after each user.
    """
    made = Recipe.from_dict(recipe)
    plain: list[Floats] = []
    guarded: dict[ItemRowsRecipe, list[Floats]] = {one: [] for one in settings}
    unguarded: dict[ItemRowsRecipe, list[Floats]] = {one: [] for one in settings}
    for place, user in enumerate(users):
        repeats = made.repeats.times(device.personalise(user, made).share)
        rows, places = known_positions(user)
        embedded = device.embed_at(rows, places)
        scores = device.scores_at(embedded, rows, places, repeats, user.known_times)
        masked = _masked(rows, places, scores.shape) if evaluate.mask_seen else None

        def ranked(found: ItemRows) -> Floats:
            raised = scores.copy()  # noqa: B023 - called in this turn of the loop alone
            if len(found.rows):
                found.add_to_catalogue(raised, embedded)  # noqa: B023
            return ranks(raised, rows[places], evaluate.ties, masked)  # noqa: B023

        plain.append(ranked(NONE))
        found: dict[int, Seen | None] = {}
        for one in settings:
            first = max(made.first_target(user.known_before), len(user.history) - one.latest)
            if first not in found:
                found[first] = seen_of(device.model, user.history, first, repeats, user.history_times)
            seen = found[first]
            guarded[one].append(ranked(NONE if seen is None else kept(seen, one)))
            unguarded[one].append(ranked(NONE if seen is None else seen.fit(one.rate, one.passes, one.pull)))
        progress(place + 1, len(users), "users with item rows of their own")
    return Judged(user_values(plain), *({one: user_values(values) for one, values in table.items()}
                                        for table in (guarded, unguarded)))  # fmt: skip


def _masked(rows: NDArray[np.int32], places: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    found = np.zeros(shape, bool)
    for index, place in enumerate(places):
        found[index, rows[:place]] = True
    return found
