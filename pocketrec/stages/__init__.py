"""The stages of a run, a module each: what a stage does, and all that its outcome depends on.

Everything heavy is imported inside the work, so that looking at this table costs nothing. What lies before the cut-off
(``RUN/data/cloud``) is all that any stage opens before the bundle exists. After it, train-central (for comparison,
where it is asked for) and fleet open the later events; of what they make, the bundle gets the figures of its card.
"""

from __future__ import annotations

from pocketrec.cloud.base.runs import Stage
from pocketrec.stages.baselines import BASELINES
from pocketrec.stages.candidates import CANDIDATES
from pocketrec.stages.central import TRAIN_CENTRAL
from pocketrec.stages.export import EXPORT
from pocketrec.stages.fleet import FLEET
from pocketrec.stages.prepare import PREPARE
from pocketrec.stages.rehearse import REHEARSE
from pocketrec.stages.report import REPORT
from pocketrec.stages.train import TRAIN, TRAIN_EARLY

STAGES: tuple[Stage, ...] = (
    PREPARE, TRAIN_EARLY, TRAIN, BASELINES, CANDIDATES, REHEARSE, EXPORT, TRAIN_CENTRAL, FLEET, REPORT,
)  # fmt: skip
"""In the order of a run."""

TARGETS: dict[str, tuple[str, ...]] = {
    **{stage.name: (stage.name,) for stage in STAGES},
    "train": ("train-early", "train"),
}
"""Subcommand -> the stages that it brings up to date, with all that they need."""
