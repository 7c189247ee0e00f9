# SPDX-License-Identifier: Apache-2.0
"""The stages of a run, a module each: what a stage does, and all that its outcome depends on.

Everything heavy is imported inside the work, so that looking at this table costs nothing. What lies before the cut-off
(``RUN/data/cloud``) is all that any stage opens before the bundle exists. After it, train-central (for comparison,
where it is asked for) and fleet open the later events; of what they make, the bundle gets the figures of its card.
Where events have privacy classes, train-necessary opens those that the cloud may use (``RUN/data/later``). Last, where
it is asked for, refit trains on all events that the cloud may use, into a folder of its own.
"""

from __future__ import annotations

from pocketrec.cloud.base.runs import Stage
from pocketrec.stages.baselines import BASELINES
from pocketrec.stages.candidates import CANDIDATES
from pocketrec.stages.central import TRAIN_CENTRAL
from pocketrec.stages.export import EXPORT
from pocketrec.stages.fleet import FLEET
from pocketrec.stages.necessary import TRAIN_NECESSARY
from pocketrec.stages.neighbours import NEIGHBOURS
from pocketrec.stages.prepare import PREPARE
from pocketrec.stages.rank import RANK
from pocketrec.stages.refit import REFIT
from pocketrec.stages.rehearse import REHEARSE
from pocketrec.stages.report import REPORT
from pocketrec.stages.train import TRAIN, TRAIN_EARLY

STAGES: tuple[Stage, ...] = (
    PREPARE, TRAIN_EARLY, TRAIN, RANK, BASELINES, CANDIDATES, REHEARSE, NEIGHBOURS, EXPORT, TRAIN_CENTRAL,
    TRAIN_NECESSARY, FLEET, REPORT, REFIT,
)  # fmt: skip
"""In the order of a run."""

TARGETS: dict[str, tuple[str, ...]] = {
    **{stage.name: (stage.name,) for stage in STAGES},
    "train": ("train-early", "train"),
}
"""Subcommand -> the stages that it brings up to date, with all that they need."""
