# SPDX-License-Identifier: Apache-2.0
"""Stage export: the TensorFlow Lite file, checked on every runtime, and the bundle."""

from __future__ import annotations

from pocketrec.cloud.base.runs import Run, Stage, read_json
from pocketrec.stages.bundles import publish
from pocketrec.stages.index import add_index
from pocketrec.stages.models import export_model
from pocketrec.stages.neighbours import ship_neighbours
from pocketrec.stages.parts import plain, use_threads
from pocketrec.stages.ranker_way import left_out, personalise_of, ranks, ships
from pocketrec.stages.recipes import has_blending, needs_naive, recipe_of_run


def export(run: Run) -> None:
    """Write and check the TensorFlow Lite file and publish the bundle: ``RUN/export``, ``RUN/bundle``."""
    use_threads(run)
    recipe = recipe_of_run(run)
    export_model(run, "train/model", run.folder / "export", recipe["way"], recipe["optimizer"], gate=True)
    add_index(run)
    naive = personalise_of(run)
    if naive.way != run.config.personalise.way and ranks(run.config):
        run.detail(left_out([naive.way]))
    if needs_naive(run, recipe):
        export_model(run, "train/model", run.folder / "export" / "naive", naive.way, naive.optimizer, gate=False,
                     ranked=ships(run))  # fmt: skip
    if shipped := ship_neighbours(run):
        run.detail(f"neighbours, {shipped / 1e6:.2f} MB")
    size = publish(run, metrics=None)
    checked = ", ".join(read_json(run.folder / "export" / "facts.json")["gate"]["runtimes"])
    run.detail(f"model.tflite, {size / 1e6:.2f} MB, checked on {checked}")


EXPORT = Stage(
    "export",
    "write the TensorFlow Lite file, check it on every runtime, write the bundle",
    needs=("train", "candidates", "rehearse"),
    also_needs=lambda c: (*(("rank",) if ranks(c) else ()), *(("neighbours",) if has_blending(c) else ())),
    depends=lambda c: [
        *plain(c.export, c.lean, c.personalise), c.candidates.k, c.evaluate.naive, c.evaluate.mask_seen,
        *(["ranker.npz"] if ranks(c) else []),  # runs with a ranker left none, nor did their refits ship it
    ],
    work=export,
    leaves=("export/model.tflite", "bundle", "bundle.zip", "packed", "packed.zip"),
    clears=("export",),
    help="write the .tflite file, check it on every runtime, write the bundle",
    does="re-states the model as a TensorFlow Lite file, checks it, and writes the bundle: RUN/bundle",
)
