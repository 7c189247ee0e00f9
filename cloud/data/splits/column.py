# SPDX-License-Identifier: Apache-2.0
"""Kind column: the log's own split."""

from __future__ import annotations

import numpy as np

from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.data.log import Log
from pocketrec.device.base.errors import ConfigError


def early(log: Log, split: SplitConfig) -> tuple[np.ndarray, None]:
    """See `pocketrec.cloud.data.splits`.

    Raises:
        ConfigError: the log has no such column.
    """
    if log.labels is None:
        raise ConfigError("this log has no split column: use split.kind quantile, time or per_user")
    return ~log.labels.isin(split.test_values), None
