"""What each stage of a run does: the one place where data, training, rehearsal, export and the fleet meet.

Everything heavy is imported inside the stages, so that looking at a run costs nothing. The events before the
cut-off (``data/cloud``) are all that any stage opens before `rehearse` is over; only `fleet` opens the later ones.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.cloud.config import RunConfig
from pocketrec.pipeline import METRICS_FILE, Run, Stage

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences


def _prepare(run: Run) -> None:
    from pocketrec.cloud.data.prepared import prepare

    prepared = prepare(run.config, run.folder)
    counts = prepared.summary
    run.say(
        f"{'':<11} {counts['events_before']} events of {counts['users_before']} users and {counts['items']} items before "
        f"the cut-off; after it {counts['events_after']} events of {counts['users_old']} old and "
        f"{counts['users_new']} new users"
    )


def _train_early(run: Run) -> None:
    from pocketrec.cloud.data.prepared import load_cloud

    data = load_cloud(run.folder)
    earliest, _, _ = _rehearsal_split(run.config, data.before)
    _train(run, "early", earliest, len(data.vocabulary))


def _train_final(run: Run) -> None:
    from pocketrec.cloud.data.prepared import load_cloud

    data = load_cloud(run.folder)
    _train(run, "model", data.before, len(data.vocabulary))


def _train(run: Run, name: str, sequences: Sequences, items: int) -> None:
    _use_threads(run)
    from pocketrec.cloud.train import train

    with run.progress() as progress:
        trained = train(
            run.config.model, run.config.train, sequences, items, run.path("train"),
            seed=run.config.seed, name=name, mask_seen=run.config.evaluate.mask_seen,
            record=lambda entry: run.record([entry]), progress=progress,
        )  # fmt: skip
    run.record(trained.history, replace=True)
    run.say(f"{'':<11} {trained.epochs} epochs, {trained.seconds:.1f} s, loss {trained.history[-1]['loss']:.4f}")


def _rehearsal_split(config: RunConfig, before: Sequences) -> Any:
    from pocketrec.cloud.data.split import rehearsal_split

    per_user = config.split.kind == "per_user"
    return rehearsal_split(
        before, config.rehearse.quantile, per_user=per_user, learn_share=config.split.learn_share
    )


def _use_threads(run: Run) -> None:
    """Give TensorFlow its threads; has an effect before TensorFlow is first imported only."""
    threads = str(run.config.resources.threads or os.cpu_count() or 1)
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", threads)
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


def _log_identity(config: RunConfig) -> Any:
    """Name, size and time of change of the log's file; nothing for the synthetic one."""
    if config.data.set == "synthetic" and not config.data.path:
        return None
    from pocketrec.cloud.data.location import find_log

    status = find_log(config.data).stat()
    return [status.st_size, status.st_mtime_ns]


def _has_rehearsal(config: RunConfig) -> bool:
    return config.rehearse.enabled and config.split.kind != "column"


def _training(config: RunConfig) -> list[Any]:
    return [config.seed, dataclasses.asdict(config.model), dataclasses.asdict(config.train), config.evaluate.mask_seen]


STAGES: tuple[Stage, ...] = (
    Stage(
        "prepare",
        "read the log, split it at the cut-off",
        needs=(),
        depends=lambda c: [dataclasses.asdict(c.data), dataclasses.asdict(c.split), _log_identity(c)],
        work=_prepare,
        leaves=("data/cloud", "data/devices", "data/summary.json"),
    ),
    Stage(
        "train-early",
        "train to the earlier cut, for rehearsal",
        needs=("prepare",),
        depends=lambda c: [*_training(c), c.rehearse.quantile, c.split.learn_share],
        work=_train_early,
        leaves=("train/early.keras",),
        clears=("train/early.*",),
        applies=_has_rehearsal,
    ),
    Stage(
        "train",
        "train to the cut-off",
        needs=("prepare",),
        depends=_training,
        work=_train_final,
        leaves=("train/model.keras",),
        clears=("train/model.*",),
    ),
)
"""In the order of a run."""

TARGETS: dict[str, tuple[str, ...]] = {
    "prepare": ("prepare",),
    "train": ("train-early", "train"),
}
"""Subcommand -> the stages that it brings up to date, with all that they need."""
