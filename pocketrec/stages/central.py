# SPDX-License-Identifier: Apache-2.0
"""Stage train-central: a model trained on what the devices learn from, for comparison only."""

from __future__ import annotations

from pocketrec.cloud.base.runs import Run, Stage
from pocketrec.stages.models import export_model
from pocketrec.stages.parts import plain, unusual
from pocketrec.stages.ranker_way import layer_way
from pocketrec.stages.train import train_on


def train_central(run: Run) -> None:
    """Train on what the devices learn from, too, for comparison only: ``RUN/central``."""
    from pocketrec.cloud.data.prepared import load_cloud, load_devices

    data, devices = load_cloud(run.folder), load_devices(run.folder)
    heads, _ = devices.after.cut_heads(devices.learn)
    train_on(run, "model", data.before.followed_by(heads), data, "central")
    if run.workers and not run.workers.chief:
        return
    optimizer = run.config.personalise.optimizer
    export_model(run, "central/model", run.folder / "central", layer_way(run.config), optimizer, gate=False)


TRAIN_CENTRAL = Stage(
    "train-central",
    "train on what the devices learn from, too, for comparison only",
    needs=("prepare", "export"),  # after the bundle: nothing later than the cut-off is opened before it exists
    depends=lambda c: [c.seed, *plain(c.model, c.train, c.prune, c.export, c.personalise), c.evaluate.mask_seen,
                       *unusual(c.ranker.trained)],
    work=train_central,
    leaves=("central/model.keras", "central/model.tflite"),
    clears=("central",),
    applies=lambda c: c.evaluate.central and c.split.personal,
)
