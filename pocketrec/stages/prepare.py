"""Stage prepare: the log is read and split at the cut-off."""

from __future__ import annotations

from typing import Any

from pocketrec.cloud.base.runs import Run, Stage
from pocketrec.cloud.config.run import RunConfig
from pocketrec.stages.parts import plain


def log_identity(config: RunConfig) -> Any:
    """Size and time of change of the log's file; nothing for the synthetic one."""
    if config.data.set == "synthetic" and not config.data.path:
        return None
    from pocketrec.cloud.data.location import find_log

    status = find_log(config.data).stat()
    return [status.st_size, status.st_mtime_ns]


def prepare(run: Run) -> None:
    """Read and split the log: ``RUN/data``."""
    if run.config.resources.engine == "spark":
        from pocketrec.cloud.spark.session import spark_session

        with spark_session(run.config.resources.master) as spark:
            from pocketrec.cloud.spark.prepare import prepare as prepare_on_spark

            counts = prepare_on_spark(spark, run.config, run.folder).summary
    else:
        from pocketrec.cloud.data.prepared import prepare

        with run.progress() as progress:
            counts = prepare(run.config, run.folder, progress).summary
    before, after = counts["events_before"], counts["events_after"]
    run.detail(f"before the cut-off: {before} events of {counts['users_before']} users, {counts['items']} items")
    run.detail(f"after it: {after} events of {counts['users_old']} old and {counts['users_new']} new users")


PREPARE = Stage(
    "prepare",
    "read the log, split it at the cut-off",
    needs=(),
    depends=lambda c: [*plain(c.data, c.split), log_identity(c)],
    work=prepare,
    leaves=("data",),
    help="read the log and split it at the cut-off",
    does="reads the log, splits it, writes RUN/data",
)
