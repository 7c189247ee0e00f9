# SPDX-License-Identifier: Apache-2.0
"""One of several TensorFlow workers: trains small models and writes the loss of every step and the weights.

``python worker.py FOLDER ADDRESSES INDEX``; without addresses one process trains alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.config.training import TrainConfig
from pocketrec.cloud.data.split import split_log
from pocketrec.cloud.data.synthetic import generate
from pocketrec.cloud.training.distributed import ALONE, connect
from pocketrec.cloud.training.step import Step, TrainSteps
from pocketrec.cloud.training.trainer import TrainJob, train

MODEL = ModelConfig(embedding=16, window=4, dropout=0.0, tables={"gru": GruOptions(hidden=12)})
TRAININGS = {
    "full": TrainConfig(epochs=2, batch=10, validation=0.0, clip_norm=1.0),
    "sampled": TrainConfig(epochs=2, batch=10, loss="sampled_softmax", negatives=64, refit=False),
}


def main(folder: Path, addresses: str | None = None, index: int | None = None) -> None:
    """Train all of `TRAININGS`."""
    workers = connect(addresses, index) or ALONE
    losses: list[float] = []
    several = TrainSteps.__call__

    def one_by_one(self: TrainSteps, steps: Step) -> float:
        for i in range(len(steps.number)):
            batch = type(steps.batch)(*(part[i : i + 1] for part in steps.batch))
            losses.append(several(self, Step(batch, *(part[i : i + 1] for part in steps[1:]))))
        return sum(losses[-len(steps.number) :])

    TrainSteps.__call__ = one_by_one  # type: ignore[method-assign]
    data = DataConfig(set="synthetic")
    log = split_log(generate(users=41, events=30, items=120), SplitConfig(), data)
    for name, config in TRAININGS.items():
        losses.clear()
        items = len(log.vocabulary)
        trained = train(TrainJob(MODEL, config, log.before, items), folder / name, workers=workers)
        mine = folder / name / f"worker{workers.index}"
        weights = [np.array(v) for v in trained.model.trainable_variables]
        np.savez(mine.with_suffix(".npz"), *weights)
        validated = [entry.get("val_mrr@20") for entry in trained.history]
        mine.with_suffix(".json").write_text(json.dumps({"losses": losses, "validated": validated}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
