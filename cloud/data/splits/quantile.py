# SPDX-License-Identifier: Apache-2.0
"""Kind quantile: one time for all, at a quantile of the events."""

from __future__ import annotations

import numpy as np

from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.data.cuts import quantile_time
from pocketrec.cloud.data.log import Log


def early(log: Log, split: SplitConfig) -> tuple[np.ndarray, int | float]:
    """See `pocketrec.cloud.data.splits`."""
    cut_off = quantile_time(log.timestamps, split.quantile)
    return log.timestamps < cut_off, cut_off
