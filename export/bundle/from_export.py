# SPDX-License-Identifier: Apache-2.0
"""From exported files to the bundle that a device opens. Needs no TensorFlow, so that a bundle is quickly renewed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pocketrec.device.base import documents
from pocketrec.device.base.errors import ExportError
from pocketrec.device.contract import names as contract
from pocketrec.device.contract.manifest import Manifest
from pocketrec.device.contract.recipe import Recipe
from pocketrec.export.bundle.card import model_card
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.write import write_bundle_files


@dataclass(frozen=True)
class RunFacts:
    """What the model card says of the run, beside the model."""

    config: Mapping[str, Any]
    """The resolved configuration."""
    summary: Mapping[str, Any]
    """Counts of the split (data/summary.json)."""
    metrics: Mapping[str, Any] | None = None
    """metrics.json; None before the fleet has run."""
    federated: Mapping[str, Any] | None = None
    """Facts of the federated training that the model comes of; None = it comes of none."""


def publish(
    exported: Path,
    bundle: Path,
    content: BundleContent,
    about: RunFacts,
    *,
    archive: Path | None = None,
    packed: bool = False,
) -> Manifest:
    """Write a bundle from what `ExportedModel.save` left in a folder.

    Args:
        exported: that folder.
        bundle: the bundle's folder; a bundle that is there is replaced in one step.
        content: what the run knows; model file, tensors, gate, ranker and card are filled in here.
        about: what else the model card says.
        archive: where a .zip of the bundle goes.
        packed: the model as skeleton and weights, which a device makes the file of.

    Raises:
        ExportError: the exported files are missing, or do not fit the vocabulary.
        StorageError: the disk is full, or a folder cannot be written.
    """
    try:
        model_file = (exported / contract.MODEL_FILE).read_bytes()
        parts = None
        if packed:
            parts = (exported / contract.SKELETON_FILE).read_bytes(), (exported / contract.WEIGHTS_FILE).read_bytes()
        facts = documents.parse_table((exported / "facts.json").read_bytes())
        found = facts.get("retrieval", {})
        index = (exported / "lists.bin").read_bytes() if found.get("kind") == "lists" else b""
    except (OSError, documents.DocumentError):
        raise ExportError(f"no exported model in {exported}: run `pocketrec export` first") from None
    if facts["model"]["items"] != content.rows:
        raise ExportError(
            f"the exported model has {facts['model']['items']} items and the vocabulary {len(content.items)}: "
            "run `pocketrec export` again"
        )
    recipe = content.recipe.to_dict() if isinstance(content.recipe, Recipe) else content.recipe
    card = model_card(
        facts=facts, config=about.config, summary=about.summary, recipe=recipe, metrics=about.metrics,
        size=len(model_file), measured=content.measured, federated=about.federated,
    )  # fmt: skip
    whole = replace(
        content, model_file=model_file, model=facts["model"], tensors=facts["tensors"], gate=facts["gate"], card=card,
        packed=parts, ranker=facts.get("ranker", contract.INNER_PRODUCT), retrieval=found, index=index,
    )  # fmt: skip
    return write_bundle_files(bundle, whole, archive)
