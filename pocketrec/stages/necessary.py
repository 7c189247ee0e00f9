# SPDX-License-Identifier: Apache-2.0
"""Stage train-necessary: a model trained on what the cloud may use of the later events (feature D2)."""

from __future__ import annotations

from pocketrec.cloud.base.runs import Run, Stage
from pocketrec.stages.models import export_model
from pocketrec.stages.parts import plain, unusual
from pocketrec.stages.recipes import recipe_of_run
from pocketrec.stages.train import train_on

#: In the run directory, laid out as ``central``.
FOLDER = "necessary"


def train_necessary(run: Run) -> None:
    """Train on the business-necessary events that came since the cut-off, too: ``RUN/necessary``. Reads no others."""
    from pocketrec.cloud.data.prepared import load_cloud, load_necessary

    data = load_cloud(run.folder)
    train_on(run, "model", data.before.followed_by(load_necessary(run.folder)), data, FOLDER)
    if run.workers and not run.workers.chief:
        return
    recipe = recipe_of_run(run)
    export_model(run, f"{FOLDER}/model", run.folder / FOLDER, recipe["way"], recipe["optimizer"], gate=False)


TRAIN_NECESSARY = Stage(
    "train-necessary",
    "train on the business-necessary events since the cut-off, too",
    needs=("prepare", "rehearse", "export"),  # after the bundle, as train-central
    depends=lambda c: [c.seed, *plain(c.model, c.train, c.prune, c.export), c.evaluate.mask_seen,
                       *unusual(c.ranker.trained)],
    work=train_necessary,
    leaves=(f"{FOLDER}/model.keras", f"{FOLDER}/model.tflite"),
    clears=(FOLDER,),
    applies=lambda c: bool(c.data.privacy) and c.split.personal,
)  # fmt: skip
