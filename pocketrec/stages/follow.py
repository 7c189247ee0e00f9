# SPDX-License-Identifier: Apache-2.0
"""What a worker does while a chief leads: it takes part in each training."""

from __future__ import annotations

from typing import Final

from pocketrec.cloud.base.runs import Run
from pocketrec.device.base.errors import DataError
from pocketrec.stages.central import train_central
from pocketrec.stages.necessary import train_necessary
from pocketrec.stages.neighbours import train_blended
from pocketrec.stages.train import TRAININGS, train_early, train_final

#: What the chief sends when it has no more trainings: all are done, or it has stopped before its end.
DONE: Final = -1
FAILED: Final = -2


def follow(run: Run) -> None:
    """Take part in the trainings that the chief begins, until it has no more.

    Raises:
        DataError: the chief has stopped before its end, or a worker is gone.
    """
    from pocketrec.cloud.training.distributed import announce, lost_is_one_line

    work = {"train-early": train_early, "train": train_final, "train-central": train_central,
            "train-necessary": train_necessary, "neighbours": train_blended}  # fmt: skip
    with lost_is_one_line():
        while (number := announce(run.workers, DONE)) >= 0:
            run.say(f"{TRAININGS[number]:<11} with the chief, as worker {run.workers.index}")
            work[TRAININGS[number]](run.for_stage(TRAININGS[number]))
    if number == FAILED:
        raise DataError("the chief has stopped: see there, then start all workers again with the same commands")
