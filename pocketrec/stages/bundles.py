"""Bundles of a run: plain, packed and lean."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.cloud.base.runs import Run, versions
from pocketrec.stages.recipes import recipe_of_run

if TYPE_CHECKING:
    from pocketrec.device.contract.manifest import Manifest


def publish(run: Run, metrics: dict[str, Any] | None) -> int:
    """Write the bundle and its .zip; the bytes of its model."""
    write = bundle_writer(run, run.folder / "export", recipe_of_run(run), metrics)
    manifest = write(run.folder / "bundle", archive=run.folder / "bundle.zip")
    write(run.folder / "packed", archive=run.folder / "packed.zip", packed=True)
    if run.config.lean.enabled:
        _publish_lean(run, write.keywords)
    return manifest.files["model.tflite"].bytes


def bundle_writer(
    run: Run, exported: Path, recipe: dict[str, Any], metrics: dict[str, Any] | None = None
) -> functools.partial[Manifest]:
    """`pocketrec.export.bundle.from_export.publish` with all that the run knows; what is left to say is where to."""
    from pocketrec.cloud.candidates import Candidates
    from pocketrec.cloud.data.prepared import load_cloud, load_summary
    from pocketrec.export.bundle.from_export import publish

    data = load_cloud(run.folder)
    sets = Candidates.load(run.folder / "candidates" / "candidates.npz")
    return functools.partial(
        publish,
        exported,
        items=data.vocabulary.ids,
        recipe=recipe,
        candidates=(list(sets.users), sets.rows),
        known=data.before.lengths[data.before.find_all(sets.users)] if data.cut_off is None and data.personal else None,
        cut_off=data.cut_off,
        mask_seen=run.config.evaluate.mask_seen,
        config=run.config.to_dict(),
        summary=load_summary(run.folder),
        versions=versions(),
        metrics=metrics,
    )


def _publish_lean(run: Run, common: dict[str, Any]) -> None:
    """Write ``RUN/lean``, from the model of ``RUN/export/lean``, which is made where it is not there."""
    from pocketrec.cloud.backbones import item_embeddings, load_model
    from pocketrec.cloud.candidates import Candidates
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.device.contract.shards import shards_for
    from pocketrec.export.build import build_tflite
    from pocketrec.export.bundle.from_export import publish
    from pocketrec.export.gate.gate import check
    from pocketrec.export.tables.lean import lean_model, lean_shards, lean_table

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
        list(sets.users), sets.rows, latest, table, embeddings, data.vocabulary.ids, shards, config.lean.shard_items,
        config.export.item_bits,
    )  # fmt: skip
    reserved = max(len(items.ids) for items in own)
    folder, recipe = run.folder / "export" / "lean", recipe_of_run(run)
    if not (folder / "facts.json").exists():
        small = lean_model(model, config.model, table, reserved)
        made = build_tflite(small, config.model, config.export, way=recipe["way"], optimizer=recipe["optimizer"],
                            candidates=config.candidates.k)  # fmt: skip
        made.save(folder, check(made, small, config.seed).to_dict())
    counts = {"head": table.head, "buckets": len(table.labels), "reserved": reserved, "category": config.data.category}
    ids = [*data.vocabulary.ids[: table.head], *table.labels]
    publish(folder, run.folder / "lean", **{
        **common, "items": ids, "candidates": (list(sets.users), rows), "packed": True, "lean": counts,
        "shard_items": own, "shards": shards,
    })  # fmt: skip
