"""Stage prepare: the log is read and split at the cut-off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pocketrec.cloud.base.runs import Run, Stage
from pocketrec.cloud.config.run import RunConfig
from pocketrec.stages.parts import plain

if TYPE_CHECKING:
    from pocketrec.cloud.data.split import Prepared


def log_identity(config: RunConfig) -> Any:
    """Sizes and times of change of the log's files; nothing for the synthetic one."""
    if config.data.set == "synthetic" and not config.data.path:
        return None
    from pocketrec.cloud.data.location import log_identity as of_files

    return of_files(config.data)


def prepare(run: Run) -> None:
    """Read and split the log: ``RUN/data``."""
    if run.config.resources.engine == "spark":
        from pocketrec.cloud.spark.session import spark_session

        with spark_session(run.config.resources.master) as spark:
            from pocketrec.cloud.spark.prepare import prepare as prepare_on_spark

            prepared = prepare_on_spark(spark, run.config, run.folder)
    else:
        from pocketrec.cloud.data.prepared import prepare

        with run.progress() as progress:
            prepared = prepare(run.config, run.folder, progress)
    _tell_findings(run, prepared)
    counts = prepared.summary
    before, after = counts["events_before"], counts["events_after"]
    run.detail(f"before the cut-off: {before} events of {counts['users_before']} users, {counts['items']} items")
    run.detail(f"after it: {after} events of {counts['users_old']} old and {counts['users_new']} new users")


def _tell_findings(run: Run, prepared: Prepared) -> None:
    """Lines on rows that were left out and why, and on what will make the figures say little."""
    from pocketrec.cloud.data.checks import warnings
    from pocketrec.cloud.data.findings import findings
    from pocketrec.cloud.data.prepared import load_reading

    report = load_reading(run.folder)
    for line in [*(findings(report) if report else []), *warnings(prepared, run.config.evaluate)]:
        run.detail(line)


PREPARE = Stage(
    "prepare",
    "read the log, split it at the cut-off",
    needs=(),
    depends=lambda c: [*plain(c.data, c.split), *([True] if c.evaluate.mask_seen else [])],
    outside=log_identity,
    work=prepare,
    leaves=("data",),
    help="read the log and split it at the cut-off",
    does="reads the log, splits it, writes RUN/data",
)
