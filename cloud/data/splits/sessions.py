# SPDX-License-Identifier: Apache-2.0
"""Kind sessions: one time for all, at a quantile of the events, each session on the side where it began."""

from __future__ import annotations

import numpy as np

from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.data.cuts import quantile_time
from pocketrec.cloud.data.log import Log
from pocketrec.cloud.data.sessions import starts


def early(log: Log, split: SplitConfig) -> tuple[np.ndarray, int | float]:
    """See `pocketrec.cloud.data.splits`. True for all of a session that goes on after the cut-off: what it has there is
    neither seen nor tested."""
    began = starts(log)
    cut_off = quantile_time(began, split.quantile)
    return began < cut_off, cut_off
