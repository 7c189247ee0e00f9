# SPDX-License-Identifier: Apache-2.0
"""Bundles of a run: plain, packed and lean."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pocketrec.cloud.base.runs import Run, versions
from pocketrec.stages.neighbours import shipped_neighbours
from pocketrec.stages.ranker_way import config_of
from pocketrec.stages.recipes import recipe_of_run

if TYPE_CHECKING:
    from pocketrec.export.bundle.content import BundleContent
    from pocketrec.export.bundle.from_export import RunFacts


def publish(run: Run, metrics: dict[str, Any] | None, measured: dict[str, Any] | None = None) -> int:
    """Write the bundle and its .zip; the bytes of its model.

    Args:
        run: of which.
        metrics: metrics.json, or None before the evaluation.
        measured: of a model that was trained again after the evaluation, what was measured (`Manifest.measured`).
    """
    from pocketrec.export.bundle import from_export

    exported, content, about = run.folder / "export", bundle_content(run, recipe_of_run(run)), run_facts(run, metrics)
    content = dataclasses.replace(content, measured=measured or {})
    manifest = from_export.publish(exported, run.folder / "bundle", content, about, archive=run.folder / "bundle.zip")
    from_export.publish(exported, run.folder / "packed", content, about, archive=run.folder / "packed.zip", packed=True)
    if run.config.lean.enabled:
        _publish_lean(run, content, about)
    return manifest.files["model.tflite"].bytes


def bundle_content(run: Run, recipe: dict[str, Any]) -> BundleContent:
    """All that the run knows of its bundles, with this recipe; the model is filled in by `publish`."""
    from pocketrec.cloud.candidates import Candidates
    from pocketrec.cloud.data.prepared import load_cloud, load_titles
    from pocketrec.export.bundle.content import BundleContent

    data = load_cloud(run.folder)
    sets = Candidates.load(run.folder / "candidates" / "candidates.npz")
    return BundleContent(
        items=data.vocabulary.ids,
        recipe=recipe,
        candidates=(list(sets.users), sets.rows) if len(sets.users) else None,
        known=data.before.lengths[data.before.find_all(sets.users)] if data.cut_off is None and data.personal else None,
        cut_off=data.cut_off,
        mask_seen=run.config.evaluate.mask_seen,
        versions=versions(),
        neighbours=shipped_neighbours(run),
        titles=load_titles(run.folder),
    )


def run_facts(run: Run, metrics: dict[str, Any] | None = None) -> RunFacts:
    """What the model card says of the run."""
    from pocketrec.cloud.data.prepared import load_summary
    from pocketrec.export.bundle.from_export import RunFacts

    return RunFacts(config_of(run).to_dict(), load_summary(run.folder), metrics)


def _publish_lean(run: Run, content: BundleContent, about: RunFacts) -> None:
    """Write ``RUN/lean``, from the model of ``RUN/export/lean``, which is made where it is not there."""
    from pocketrec.cloud.backbones import item_embeddings, load_model
    from pocketrec.cloud.candidates import Candidates
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.device.contract.shards import shards_for
    from pocketrec.export.build import build_tflite
    from pocketrec.export.bundle.from_export import publish
    from pocketrec.export.gate.gate import check
    from pocketrec.export.tables.lean import ShardSizes, lean_model, lean_shards, lean_table

    config, data = run.config, load_cloud(run.folder)
    sets = Candidates.load(run.folder / "candidates" / "candidates.npz")
    model = load_model(run.folder / "train" / "model.keras")
    embeddings = item_embeddings(model)
    categories = None if data.categories is None else (list(data.categories.ids), data.categories.of_row)
    table = lean_table(embeddings, data.counts, config.lean.head, categories)
    shards, window = shards_for(len(sets.users)), config.model.window
    places = data.before.find_all(sets.users)
    latest = [data.before.of(place)[0][-window:] for place in places]
    own, rows = lean_shards(
        list(sets.users), sets.rows, latest, table, embeddings, data.vocabulary.ids,
        ShardSizes(shards, config.lean.shard_items, config.export.item_bits),
    )  # fmt: skip
    reserved = max(len(items.ids) for items in own)
    folder, recipe = run.folder / "export" / "lean", recipe_of_run(run)
    if not (folder / "facts.json").exists():
        small = lean_model(model, config.model, table, reserved)
        export = dataclasses.replace(config.export, retrieve=0)  # its rows are not all items': buckets, reserved ones
        made = build_tflite(small, config.model, export, way=recipe["way"], optimizer=recipe["optimizer"],
                            candidates=config.candidates.k)  # fmt: skip
        made.save(folder, check(made, small, config.seed).to_dict())
    counts = {"head": table.head, "buckets": len(table.labels), "reserved": reserved, "category": config.data.category}
    ids = [*data.vocabulary.ids[: table.head], *table.labels]
    lean = dataclasses.replace(
        content, items=ids, candidates=(list(sets.users), rows), lean=counts, shard_items=own, shards=shards,
        neighbours=b"",  # they name rows of the whole table
        titles=[*content.titles[: table.head], *([""] * len(table.labels))] if content.titles else (),
    )
    publish(folder, run.folder / "lean", lean, about, packed=True)
