# SPDX-License-Identifier: Apache-2.0
"""Privacy classes of events (feature D2): what the cloud may use of what came after the cut-off.

`DataConfig.privacy` names the events that the business needs anyway, such as purchases: what was bought has to be paid
and sent. After the cut-off the cloud may use those alone, and devices use all of their own. This module knows nothing
about files or models.
"""

from __future__ import annotations

import numpy as np

from pocketrec.cloud.config.split import SPLITS, SplitConfig
from pocketrec.cloud.data.log import Log
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.device.base.errors import DataError


def necessary_part(
    log: Log, late: np.ndarray, after: Sequences, learn: np.ndarray
) -> tuple[Sequences | None, dict[str, int]]:
    """What the cloud may use of the later events that devices learn from, and how many there are.

    Args:
        log: the whole log.
        late: bool (len(log),), the events that `after` was made of.
        after: later events.
        learn: int64 (len(after),), how many first events of each user of `after` the device learns from.

    Returns:
        The events, and ``necessary_after`` (of `after`) and ``necessary_learn`` (of those that devices learn from);
        None and nothing where the log has no privacy classes.

    Raises:
        DataError: no event after the cut-off is business-necessary.
    """
    if log.necessary is None:
        return None, {}
    order = Sequences.build(log.users.values, log.users.codes[late], np.flatnonzero(late), log.timestamps[late])
    necessary = log.necessary[order.items]  # (after.events,)
    if not necessary.any():
        raise DataError("no event after the cut-off is business-necessary: correct the column and values of "
                        "data.privacy")  # fmt: skip
    learned = after.positions() < np.repeat(learn, after.lengths)
    counts = {"necessary_after": int(necessary.sum()), "necessary_learn": int((necessary & learned).sum())}
    return after.keep(necessary & learned), counts


def allowed(log: Log, split: SplitConfig) -> Log:
    """The events that the cloud may use: all before the cut-off, and business-necessary ones after it.

    The log as it is where it has no privacy classes.
    """
    if log.necessary is None:
        return log
    early, cut_off = SPLITS.load(split.kind)(log, split)
    if cut_off is not None:
        early = early & (log.timestamps < cut_off)  # a session may go on after it
    return log.take(early | log.necessary)
