# SPDX-License-Identifier: Apache-2.0
"""The whole log as the past, for a model that is trained again after its evaluation. Nothing is left to judge it by.

Of a log with privacy classes (`DataConfig.privacy`) it has what the cloud may use.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.data.categories import build_categories
from pocketrec.cloud.data.prepared import items_of_run, write_items, write_prepared
from pocketrec.cloud.data.privacy import allowed
from pocketrec.cloud.data.readers import read_log
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.sessions import by_gap
from pocketrec.cloud.data.split import Prepared, Unknown, assemble
from pocketrec.cloud.data.vocabulary import build_vocabulary
from pocketrec.device.base.errors import DataError


def prepare_whole(config: RunConfig, folder: str | Path, progress: Progress = no_progress) -> Prepared:
    """Read the log of `config` and write it into the run directory `folder`, as `prepare` does, with all before a cut.

    Where the log has privacy classes, later events that are not business-necessary are left out.
    The cut-off is the first time after the log's end; None for splits that have no such time.

    Raises:
        DataError: the log is missing or unreadable, or no item is frequent enough.
        StorageError: a file cannot be written.
    """
    column = config.split.column if config.data.privacy and config.split.kind == "column" else None
    log = read_log(config.data, column, progress=progress)
    log = allowed(by_gap(log, config.split.gap) if config.split.gap else log, config.split)
    times, least = log.timestamps, config.data.min_item_count
    vocabulary, counts, row_of = build_vocabulary(log.items.values, log.items.codes, times, least)
    if not len(vocabulary):
        raise DataError(f"no item has {least} events: lower data.min_item_count")
    rows = row_of[log.items.codes]
    known = rows > 0
    users, nothing = log.users, np.zeros(0, np.int64)
    before = Sequences.build(users.values, users.codes[known], rows[known], times[known])
    after = Sequences.build(users.values, nothing, nothing, times[:0])
    categories = None
    if log.categories is not None:
        categories = build_categories(log.categories.values, log.categories.codes, rows, times, counts)
    timed = config.split.kind not in ("per_user", "column")
    prepared = assemble(
        vocabulary, counts, before, after, categories, config.split,
        cut_off=_after(times) if timed else None, unknown=Unknown(int((~known).sum()), 0, 0),
    )  # fmt: skip
    items = items_of_run(config, vocabulary)
    write_prepared(prepared, log.report, folder)
    write_items(items, folder)
    return prepared


def _after(times: np.ndarray) -> int | float:
    """The first time after the latest one."""
    latest = times.max()
    found: int | float = latest.item() + 1 if times.dtype.kind == "i" else float(np.nextafter(latest, np.inf))
    return found
