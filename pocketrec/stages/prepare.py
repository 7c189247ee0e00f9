# SPDX-License-Identifier: Apache-2.0
"""Stage prepare: the log is read and split at the cut-off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pocketrec.cloud.base.runs import Run, Stage
from pocketrec.cloud.config.run import RunConfig
from pocketrec.stages.parts import plain, unusual

if TYPE_CHECKING:
    from pocketrec.cloud.data.log import ReadReport
    from pocketrec.cloud.data.split import Prepared


def log_identity(config: RunConfig) -> Any:
    """Sizes and times of change of the log's files; nothing for the synthetic one."""
    return _with_items(config, _of_log(config))


def _of_log(config: RunConfig) -> Any:
    if config.data.set == "synthetic" and not config.data.path:
        return None
    from pocketrec.cloud.data.location import log_identity as of_files

    return of_files(config.data)


def _with_items(config: RunConfig, log: Any) -> Any:
    """The same with size and time of change of the table of items, where there is one."""
    if not config.items.path:
        return log
    from pocketrec.cloud.data.item_table import find_items

    status = find_items(config.items, config.data).stat()
    return [log, status.st_size, status.st_mtime_ns]


def prepare(run: Run) -> None:
    """Read and split the log: ``RUN/data``."""
    if run.config.resources.engine == "spark":
        from pocketrec.cloud.spark.session import spark_session

        with spark_session(run.config.resources.master) as spark:
            from pocketrec.cloud.spark.prepare import prepare as prepare_on_spark

            prepared = prepare_on_spark(spark, run.config, run.folder)
        from pocketrec.cloud.data.prepared import items_of_run, write_items

        write_items(items_of_run(run.config, prepared.vocabulary), run.folder)
    else:
        from pocketrec.cloud.data.prepared import prepare

        with run.progress(unit="bytes") as progress:
            prepared = prepare(run.config, run.folder, progress)
    from pocketrec.cloud.data.prepared import load_reading

    for line in reading_lines(run.config, prepared, load_reading(run.folder)):
        run.detail(line)


def reading_lines(config: RunConfig, prepared: Prepared, report: ReadReport | None) -> list[str]:
    """Lines on what was read and where it was split: rows that were left out and why, what will make the figures say
    little, and the counts on either side of the cut-off."""
    from pocketrec.cloud.data.checks import warnings
    from pocketrec.cloud.data.findings import findings

    counts = prepared.summary
    before, after = counts["events_before"], counts["events_after"]
    who, others = "users", f"{counts['users_old']} old and {counts['users_new']} new users"
    if config.split.of_sessions:
        who, others = "sessions", f"{counts['users_after']} other sessions"
        if counts["users_old"]:
            others += f"; {counts['users_old']} have an id of one before it: are they sessions?"
    lines = [
        *(findings(report) if report else []),
        *warnings(prepared, config.evaluate),
        f"before the cut-off: {before} events of {counts['users_before']} {who}, {counts['items']} items",
        f"after it: {after} events of {others}",
    ]
    if "necessary_learn" in counts:
        lines.append(f"business-necessary: {counts['necessary_after']} of those, {counts['necessary_learn']} of the "
                     f"{counts['events_learn']} that devices learn from")  # fmt: skip
    return lines


PREPARE = Stage(
    "prepare",
    "read the log, split it at the cut-off",
    needs=(),
    depends=lambda c: [*plain(c.data, c.split), *([True] if c.evaluate.mask_seen else []), *unusual(c.items)],
    outside=log_identity,
    work=prepare,
    leaves=("data",),
    help="read the log and split it at the cut-off",
    does="reads the log, splits it, writes RUN/data",
)
