"""From exported files to the bundle that a device opens. Needs no TensorFlow, so that a bundle is quickly renewed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import ExportError
from pocketrec.device.contract import names as contract
from pocketrec.device.contract.lean import ShardItems
from pocketrec.device.contract.manifest import Manifest
from pocketrec.export.bundle.card import model_card
from pocketrec.export.bundle.write import write_bundle_files


def publish(
    exported: Path,
    bundle: Path,
    *,
    items: Sequence[str],
    recipe: Mapping[str, Any],
    candidates: tuple[Sequence[str], Array] | None,
    known: Array | None = None,
    cut_off: float | int | None,
    mask_seen: bool,
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    versions: Mapping[str, Any],
    metrics: Mapping[str, Any] | None = None,
    archive: Path | None = None,
    packed: bool = False,
    lean: Mapping[str, Any] | None = None,
    shard_items: Sequence[ShardItems] | None = None,
    shards: int | None = None,
) -> Manifest:
    """Write a bundle from what `ExportedModel.save` left in a folder.

    Args:
        exported: that folder.
        bundle: the bundle's folder; a bundle that is there is replaced in one step.
        items: external ids, row 1 first.
        recipe: recipe.json as a table.
        candidates: user ids and their rows [U, K]; None = no candidate sets.
        known: integers [U], events of each of these users before the cut-off; only used where `cut_off` is None.
        cut_off: time of the cut-off; None where the log has none.
        mask_seen: whether a device leaves out items that the user has had.
        config: the resolved configuration, for the model card.
        summary: counts of the split (data/summary.json), for the model card.
        versions: versions of the tools.
        metrics: metrics.json, for the model card; None before the fleet has run.
        archive: where a .zip of the bundle goes.
        packed: the model as skeleton and weights, which a device makes the file of.
        lean, shard_items, shards: of a lean bundle, see `pocketrec.export.bundle.write.write_bundle_files`.

    Raises:
        ExportError: the exported files are missing, or do not fit the vocabulary.
        StorageError: the disk is full, or a folder cannot be written.
    """
    try:
        content = (exported / contract.MODEL_FILE).read_bytes()
        parts = None
        if packed:
            parts = (exported / contract.SKELETON_FILE).read_bytes(), (exported / contract.WEIGHTS_FILE).read_bytes()
        facts = json.loads((exported / "facts.json").read_bytes())
    except (OSError, ValueError):
        raise ExportError(f"no exported model in {exported}: run `pocketrec export` first") from None
    if facts["model"]["items"] != len(items) + (lean["reserved"] if lean else 0):
        raise ExportError(
            f"the exported model has {facts['model']['items']} items and the vocabulary {len(items)}: "
            "run `pocketrec export` again"
        )
    card = model_card(facts=facts, config=config, summary=summary, recipe=recipe, metrics=metrics, size=len(content))
    return write_bundle_files(
        bundle,
        model_file=content,
        items=items,
        recipe=recipe,
        card=card,
        model=facts["model"],
        tensors=facts["tensors"],
        candidates=candidates,
        known=known,
        cut_off=cut_off,
        mask_seen=mask_seen,
        versions=versions,
        gate=facts["gate"],
        archive=archive,
        packed=parts,
        lean=lean,
        shard_items=shard_items,
        shards=shards,
    )
