# SPDX-License-Identifier: Apache-2.0
"""Kind time: one time for all, a given one."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable

import numpy as np

from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.data.log import Log
from pocketrec.cloud.data.times import iso_date
from pocketrec.device.base.errors import ConfigError


def early(log: Log, split: SplitConfig) -> tuple[np.ndarray, int | float]:
    """See `pocketrec.cloud.data.splits`.

    Raises:
        ConfigError: `split.time` is neither a number nor a date.
    """
    cut_off = parse_cut_off(split.time, lambda: float(np.median(np.abs(log.timestamps))))
    return log.timestamps < cut_off, cut_off


def parse_cut_off(text: str, typical: Callable[[], float]) -> int | float:
    """`SplitConfig.time` in the unit of the log: a number as it stands, a date in unix time.

    Args:
        text: the configured value.
        typical: the median of the log's absolute times, asked for where a date needs a unit.

    Raises:
        ConfigError: it is neither.
    """
    try:
        number = float(text)
        if not math.isfinite(number):
            raise ConfigError(f"split.time {text!r} is not a finite number: give a time of the log")
        return int(number) if number.is_integer() else number
    except ValueError:
        pass
    try:
        date = datetime.datetime.fromisoformat(iso_date(text))
    except ValueError:
        what = f"split.time {text!r} is neither a number nor an ISO 8601 date"
        raise ConfigError(f"{what}: write it as 2020-09-13T12:00:00") from None
    seconds = (date if date.tzinfo else date.replace(tzinfo=datetime.UTC)).timestamp()
    size = typical()
    scale = 1 if size < 1e11 else 1e3 if size < 1e14 else 1e6 if size < 1e17 else 1e9  # s, ms, us or ns
    return int(seconds * scale) if (seconds * scale).is_integer() else seconds * scale
