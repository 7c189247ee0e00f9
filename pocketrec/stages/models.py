# SPDX-License-Identifier: Apache-2.0
"""Models of a run, exported."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pocketrec.cloud.base.runs import Run
from pocketrec.device.base import documents
from pocketrec.device.base.files import storage_error
from pocketrec.stages.rank import with_early, with_shipped

if TYPE_CHECKING:
    import keras

    from pocketrec.cloud.rehearsal.trials import Variant
    from pocketrec.export.second import Ranked


def export_model(
    run: Run, name: str, folder: Path, way: str, optimizer: str, *, gate: bool, ranked: bool = False
) -> None:
    """Re-state the model ``RUN/NAME.keras`` as a TensorFlow Lite file in `folder`, checked where `gate` is set.

    What is not checked is not for devices, and does without the signature ``retrieve``, unless it is `ranked`: with the
    ranker that ships, over the final model or the early one.

    Raises:
        ConfigError: the way trains a ranker, and the model has none.
    """
    from pocketrec.cloud.backbones import load_model
    from pocketrec.export.build import build_tflite
    from pocketrec.export.gate.gate import check

    model: keras.Model = load_model(run.folder / f"{name}.keras")
    config = run.config.export if gate or ranked else dataclasses.replace(run.config.export, retrieve=0)
    ranker: str | Ranked = run.config.ranker.first.kind
    if name == "train/model" and (gate or ranked):
        model, ranker = with_shipped(run, model)
    elif ranked:
        model, ranker = with_early(run, model)
    try:
        exported = build_tflite(
            model, run.config.model, config, way=way, optimizer=optimizer,
            candidates=run.config.candidates.k, ranker=ranker,
        )  # fmt: skip
        checked = check(exported, model, run.config.seed).to_dict() if gate else {}
    except OSError as error:  # both work in a temporary folder
        raise storage_error(tempfile.gettempdir(), error) from None
    exported.save(folder, checked)


def variant_of(run: Run, folder: Path) -> Variant:
    """What `export_model` left in a folder of the run, for the rehearsal."""
    from pocketrec.cloud.rehearsal.trials import Variant

    trainable = documents.parse_table((folder / "facts.json").read_bytes())["tensors"]["trainable"]
    numbers = sum(math.prod(spec["shape"]) for spec in trainable)
    return Variant(folder / "model.tflite", folder / "item_embeddings.npy", numbers, run.config.ranker.first,
                   second=second_in(folder))  # fmt: skip


def second_in(folder: Path) -> Path | None:
    """The ranker of the second stage that `export_model` left in a folder; None where the file has none."""
    path = folder / "ranker.npz"
    return path if path.exists() else None
