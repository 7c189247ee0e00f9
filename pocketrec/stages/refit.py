# SPDX-License-Identifier: Apache-2.0
"""Stage refit: after the evaluation, the same recipe is trained on the whole log; that is what devices get.

``RUN/refit`` is laid out as a run directory. What was rehearsed and tuned before the cut-off stays as it was found, so
nothing is chosen by what was measured. ``RUN/bundle`` stays the bundle whose figures are known.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any, Final

from pocketrec.cloud.base.runs import HISTORY_FILE, METRICS_FILE, Run, Stage, read_json
from pocketrec.cloud.config.run import RunConfig
from pocketrec.stages.baselines import TUNED, baselines
from pocketrec.stages.bundles import publish
from pocketrec.stages.candidates import candidates
from pocketrec.stages.models import export_model
from pocketrec.stages.neighbours import BLENDED, CHOSEN, ship_neighbours
from pocketrec.stages.parts import use_threads
from pocketrec.stages.rank import rank_again
from pocketrec.stages.recipes import RECIPE, recipe_of_run
from pocketrec.stages.train import train_final

#: As `pocketrec.export.bundle.release` looks for it.
FOLDER: Final = "refit"


def refit(run: Run) -> None:
    """Train the same recipe on the whole log, and write its bundles: ``RUN/refit``."""
    use_threads(run)
    from pocketrec.cloud.data.whole import prepare_whole
    from pocketrec.device.delivery.bundle import open_bundle

    inner = dataclasses.replace(run, folder=run.folder / FOLDER, config=_fixed(run))
    with run.progress(unit="bytes") as progress:
        prepared = prepare_whole(inner.config, inner.folder, progress)
    events, items = prepared.before.events, len(prepared.vocabulary)
    what = "what the cloud may use of the log" if run.config.data.privacy else "the whole log"
    run.detail(f"{what}: {events:,} events of {len(prepared.before):,} users, {items:,} items")
    for name in (RECIPE, CHOSEN, BLENDED):
        if (run.folder / name).exists():
            shutil.copyfile(run.folder / name, inner.path(name))
    train_final(inner.for_stage("train"))
    rank_again(inner, run, prepared.before)
    baselines(inner)
    candidates(inner)
    recipe = recipe_of_run(inner)
    export_model(inner, "train/model", inner.folder / "export", recipe["way"], recipe["optimizer"], gate=True)
    ship_neighbours(inner)
    evaluated = open_bundle(run.folder / "bundle").manifest
    measured = {"model_id": evaluated.model_id, "cut_off": evaluated.cut_off, "events": events,
                "events_evaluated": _events(run)}  # fmt: skip
    publish(inner, read_json(run.folder / METRICS_FILE), measured)
    run.detail(f"{inner.folder / 'bundle'}, which `pocketrec publish {run.folder}` takes")


def _fixed(run: Run) -> RunConfig:
    """The configuration with all that was found before the cut-off written down: epochs, options of item-kNN."""
    from pocketrec.cloud.config.knn import KnnConfig

    config, tuned = run.config, read_json(run.folder / TUNED).get("chosen")
    knn = config.baselines.knn if tuned is None else KnnConfig(**tuned)
    train = config.train
    if train.validation:
        epochs = _epochs(run.folder / HISTORY_FILE)
        train = dataclasses.replace(train, validation=0.0, epochs=epochs or train.epochs,
                                    warm_epochs=1.0 if epochs else train.warm_epochs)  # fmt: skip
    judged = [name for name in ("item_knn",) if config.rehearse.neighbours]  # nobody is compared with here
    baselines_ = dataclasses.replace(config.baselines, knn=dataclasses.replace(knn, tune=False),
                                     judged=judged or ["popularity"])  # fmt: skip
    return dataclasses.replace(config, train=train, baselines=baselines_)


def _epochs(history: Path) -> int:
    """Epochs of the final phase of the training to the cut-off; 0 where it is not known."""
    from pocketrec.device.base import documents

    if not history.exists():
        return 0
    entries = [documents.parse_table(line) for line in history.read_bytes().splitlines() if line.strip()]
    own = [entry for entry in entries if entry.get("stage") == "train"]
    final = [entry["epoch"] for entry in own if entry.get("phase") == "final"]
    best = max(own, key=lambda entry: float(entry.get("val_mrr@20", -1)), default={})
    return int(max(final, default=best.get("epoch", 0)))


def _events(run: Run) -> int:
    from pocketrec.cloud.data.prepared import load_summary

    return int(load_summary(run.folder)["events_before"])


def _depends(config: RunConfig) -> Any:
    return [config.refit.enabled]


REFIT = Stage(
    "refit",
    "train the same recipe on the whole log, for devices",
    needs=("prepare", "train", "baselines", "candidates", "rehearse", "export", "fleet"),
    depends=_depends,
    work=refit,
    leaves=(f"{FOLDER}/bundle", f"{FOLDER}/packed"),
    clears=(FOLDER,),
    applies=lambda c: c.refit.enabled,
    help="train the same recipe on the whole log, for devices",
    does="after the evaluation, trains the same recipe on the whole log and writes its bundles: RUN/refit",
)
