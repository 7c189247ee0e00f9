# SPDX-License-Identifier: Apache-2.0
"""Stages train-early and train: the global model, to the earlier cut and to the cut-off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pocketrec.cloud.base.runs import Run, Stage
from pocketrec.stages.parts import plain, unusual, use_threads
from pocketrec.stages.recipes import has_rehearsal, rehearsal_parts
from pocketrec.stages.warm import models_of, warm_start

if TYPE_CHECKING:
    from pocketrec.cloud.data.prepared import CloudData
    from pocketrec.cloud.data.sequences import Sequences

#: Stages that several workers train together, by the number that the chief sends. The models for comparison need a
#: bundle, so they come after `export`.
TRAININGS: Final = ("train-early", "train", "train-central", "train-necessary", "neighbours")


def train_early(run: Run, folder: str = "train") -> None:
    """Train to the earlier cut: ``RUN/FOLDER/early.keras``."""
    from pocketrec.cloud.data.prepared import load_cloud

    data = load_cloud(run.folder)
    earliest, _, _ = rehearsal_parts(run.config, data.before)
    train_on(run, "early", earliest, data, folder)


def train_final(run: Run) -> None:
    """Train to the cut-off: ``RUN/train/model.keras``."""
    from pocketrec.cloud.data.prepared import load_cloud

    data = load_cloud(run.folder)
    train_on(run, "model", data.before, data)


def train_on(run: Run, name: str, sequences: Sequences, data: CloudData, folder: str = "train") -> None:
    """Train a model on `sequences`, ``data.share`` of their users, of the catalogue of `data`:
    ``RUN/FOLDER/NAME.keras``."""
    use_threads(run)
    from pocketrec.cloud.training.distributed import ALONE, announce
    from pocketrec.cloud.training.trainer import TrainJob, train

    sequences = sample(sequences, run.config.data.share, run.config.seed)
    workers = run.workers or ALONE
    if workers.chief:
        announce(workers, TRAININGS.index(run.label))
    start = warm_start(run, sequences, data)
    with run.progress(unit="targets") as progress:
        config = run.config
        job = TrainJob(
            config.model, config.train, sequences, len(data.vocabulary), config.prune, config.ranker.trained,
            config.seed, config.evaluate.mask_seen, data.features, start, data.item_categories,
        )  # fmt: skip
        trained = train(
            job, run.path(folder), name=name,
            record=lambda entry: run.record([entry]) if workers.chief else None, progress=progress, workers=workers,
        )  # fmt: skip
    if workers.chief:
        run.record(trained.history, replace=True)
    run.detail(f"{trained.epochs} epochs, {trained.seconds:.1f} s, loss {trained.history[-1]['loss']:.4f}")


def sample(sequences: Sequences, share: float, seed: int) -> Sequences:
    """A seeded share of the users, at least one of them, with all their events."""
    if share == 1:
        return sequences
    import numpy as np

    count = max(1, round(share * len(sequences)))
    return sequences.select(np.random.default_rng(seed).choice(len(sequences), count, replace=False))


TRAIN_EARLY = Stage(
    "train-early",
    "train to an earlier cut, for the rehearsal",
    needs=("prepare",),
    depends=lambda c: [c.seed, *plain(c.model, c.train, c.prune), c.evaluate.mask_seen, c.rehearse.quantile,
                       *unusual(c.ranker.trained)],
    outside=models_of,
    work=train_early,
    leaves=("train/early.keras",),
    clears=("train/early.*",),
    applies=lambda c: has_rehearsal(c) or (c.ranker.second and c.split.personal),
)


TRAIN = Stage(
    "train",
    "train to the cut-off",
    needs=("prepare",),
    depends=lambda c: [c.seed, *plain(c.model, c.train, c.prune), c.evaluate.mask_seen, *unusual(c.ranker.trained)],
    outside=models_of,
    work=train_final,
    leaves=("train/model.keras",),
    clears=("train/model.*",),
    help="train the global model on events before the cut-off",
    does="trains the model for rehearsal (to the earlier cut) and the global model (to the cut-off): RUN/train",
)
