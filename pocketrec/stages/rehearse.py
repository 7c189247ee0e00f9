# SPDX-License-Identifier: Apache-2.0
"""Stage rehearse: the devices' recipe, chosen on the earlier cut."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pocketrec.cloud.base.runs import Run, Stage, read_json, write_json
from pocketrec.device.contract.names import RANKER_WAY
from pocketrec.stages.models import export_model, variant_of
from pocketrec.stages.neighbours import CHOSEN, neighbours_of, strength_in_words
from pocketrec.stages.parts import plain, ranking, unusual, use_threads
from pocketrec.stages.ranker_way import left_out, rehearses_ranker, tried_ways
from pocketrec.stages.recipes import RECIPE, REHEARSAL, has_rehearsal, in_words, rehearsal_parts, tried_in_words

if TYPE_CHECKING:
    from pocketrec.device.contract.neighbours import Neighbours


def rehearse(run: Run) -> None:
    """Choose the devices' recipe on the earlier cut: ``RUN/rehearse``."""
    use_threads(run)
    from pocketrec.cloud.data.clock import clock_of
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.rehearsal.rehearse import RehearseJob, rehearse

    ways = tried_ways(run)
    if ways != run.config.rehearse.ways:
        run.detail(left_out(ways))
    config, ranked = dataclasses.replace(run.config.rehearse, ways=ways), RANKER_WAY in ways
    earliest, later, learn = rehearsal_parts(run.config, load_cloud(run.folder).before)
    if not run.config.evaluate.mask_seen and (told := clock_of(earliest).in_words()):
        run.detail(told)  # where seen items are masked there is no bonus
    variants = {}
    for way in config.ways:
        for optimizer in config.optimizers:
            folder = run.path("rehearse", "models", f"{way}-{optimizer}")
            if not (folder / "model.tflite").exists():
                export_model(run, "train/early", folder, way, optimizer, gate=False, ranked=ranked)
            variants[way, optimizer] = variant_of(run, folder)
    near = neighbours_of(run, earliest, len(load_cloud(run.folder).vocabulary))
    with run.progress() as progress:
        job = RehearseJob(earliest, later, learn, variants, config, run.config.evaluate, seed=run.config.seed,
                          neighbours=near)  # fmt: skip
        recipe = rehearse(job, run.folder / "rehearse", resources=run.config.resources, progress=progress)
    strength = float(read_json(run.folder / CHOSEN).get("strength", 0.0))
    recipe = _with_item_rows(run, recipe, near.times(strength) if near is not None and strength else None)
    run.detail(strength_in_words(run))
    for line in tried_in_words(read_json(run.folder / REHEARSAL)):
        run.detail(line)
    run.detail(in_words(recipe))


def _with_item_rows(run: Run, recipe: dict[str, Any], near: Neighbours | None) -> dict[str, Any]:
    """The recipe with personal item rows where the configuration wants them tried and they surely gain.

    They are tried with the neighbours that devices get. Devices whose file ranks by RankNet have none.
    """
    config = run.config
    if not (config.rehearse.item_rows and recipe["personalise"]) or config.evaluate.mask_seen or config.ranker.second:
        return recipe
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.fleet.device import SimulatedDevice
    from pocketrec.cloud.fleet.fleet import device_users
    from pocketrec.cloud.rehearsal.item_rows import judge_item_rows, with_item_rows
    from pocketrec.device.contract.recipe import ItemRowsRecipe

    earliest, later, learn = rehearsal_parts(config, load_cloud(run.folder).before)
    users, _ = device_users(earliest, later, learn, limit=config.rehearse.users, seed=config.seed)
    folder = run.folder / "rehearse" / "models" / f"{recipe['way']}-{recipe['optimizer']}"
    device = SimulatedDevice(folder / "model.tflite", folder / "item_embeddings.npy", config.resources.runtime,
                             config.ranker.first, near)  # fmt: skip
    with run.progress() as progress:
        judged = judge_item_rows(device, users, recipe, [ItemRowsRecipe(rate) for rate in config.rehearse.item_rows],
                                 config.evaluate, progress)  # fmt: skip
    recipe, tried = with_item_rows(recipe, judged, config.evaluate.bootstrap, config.seed)
    write_json(run.folder / RECIPE, recipe)
    write_json(run.folder / REHEARSAL, {**read_json(run.folder / REHEARSAL), "recipe": recipe, "item_rows": tried})
    for one in tried:
        run.detail(f"item rows, rate {one['rate']:g}: {one['gain']['mean']:+.4f} ({one['gain']['low']:+.4f} to "
                   f"{one['gain']['high']:+.4f}), {one['gained']} : {one['harmed']}")  # fmt: skip
    run.detail("the recipe has item rows" if "item_rows" in recipe else "none of these rows surely gains: none")
    return recipe


REHEARSE = Stage(
    "rehearse",
    "play the future on the past: which recipe should devices follow?",
    needs=("prepare", "train-early"),
    depends=lambda c: [
        c.seed, *plain(c.rehearse, dataclasses.replace(c.export, retrieve=0)), c.candidates.k, *ranking(c),
        *unusual(c.ranker.first, c.baselines.knn),
        *([c.export.retrieve, *plain(c.ranker)] if rehearses_ranker(c) else []),
    ],
    work=rehearse,
    leaves=("rehearse/recipe.json", "rehearse/rehearsal.json"),
    clears=("rehearse",),
    applies=has_rehearsal,
    also_needs=lambda c: (
        *(("baselines",) if c.rehearse.neighbours else ()),  # for the options of item-kNN
        *(("rank",) if rehearses_ranker(c) else ()),
    ),
    help="choose the devices' recipe before the cut-off",
    does="tries the grid of recipes on a second, earlier cut, through the device's own code: RUN/rehearse",
)
