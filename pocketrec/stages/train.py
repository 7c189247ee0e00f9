"""Stages train-early and train: the global model, to the earlier cut and to the cut-off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pocketrec.cloud.base.runs import Run, Stage
from pocketrec.stages.parts import plain, unusual, use_threads
from pocketrec.stages.recipes import has_rehearsal, rehearsal_parts

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences

#: Stages that several workers train together, by the number that the chief sends. The model for comparison needs a
#: bundle, so it comes after `export`.
TRAININGS: Final = ("train-early", "train", "train-central")


def train_early(run: Run) -> None:
    """Train to the earlier cut: ``RUN/train/early.keras``."""
    from pocketrec.cloud.data.prepared import load_cloud

    data = load_cloud(run.folder)
    earliest, _, _ = rehearsal_parts(run.config, data.before)
    train_on(run, "early", earliest, len(data.vocabulary))


def train_final(run: Run) -> None:
    """Train to the cut-off: ``RUN/train/model.keras``."""
    from pocketrec.cloud.data.prepared import load_cloud

    data = load_cloud(run.folder)
    train_on(run, "model", data.before, len(data.vocabulary))


def train_on(run: Run, name: str, sequences: Sequences, items: int, folder: str = "train") -> None:
    """Train a model on `sequences` of a catalogue of `items`: ``RUN/FOLDER/NAME.keras``."""
    use_threads(run)
    from pocketrec.cloud.training.distributed import ALONE, announce
    from pocketrec.cloud.training.trainer import TrainJob, train

    workers = run.workers or ALONE
    if workers.chief:
        announce(workers, TRAININGS.index(run.label))
    with run.progress() as progress:
        config = run.config
        job = TrainJob(
            config.model, config.train, sequences, items, config.prune, config.ranker, config.seed,
            config.evaluate.mask_seen,
        )  # fmt: skip
        trained = train(
            job, run.path(folder), name=name,
            record=lambda entry: run.record([entry]) if workers.chief else None, progress=progress, workers=workers,
        )  # fmt: skip
    if workers.chief:
        run.record(trained.history, replace=True)
    run.detail(f"{trained.epochs} epochs, {trained.seconds:.1f} s, loss {trained.history[-1]['loss']:.4f}")


TRAIN_EARLY = Stage(
    "train-early",
    "train to an earlier cut, for the rehearsal",
    needs=("prepare",),
    depends=lambda c: [c.seed, *plain(c.model, c.train, c.prune), c.evaluate.mask_seen, c.rehearse.quantile,
                       *unusual(c.ranker)],
    work=train_early,
    leaves=("train/early.keras",),
    clears=("train/early.*",),
    applies=has_rehearsal,
)


TRAIN = Stage(
    "train",
    "train to the cut-off",
    needs=("prepare",),
    depends=lambda c: [c.seed, *plain(c.model, c.train, c.prune), c.evaluate.mask_seen, *unusual(c.ranker)],
    work=train_final,
    leaves=("train/model.keras",),
    clears=("train/model.*",),
    help="train the global model on events before the cut-off",
    does="trains the model for rehearsal (to the earlier cut) and the global model (to the cut-off): RUN/train",
)
