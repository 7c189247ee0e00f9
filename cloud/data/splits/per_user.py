# SPDX-License-Identifier: Apache-2.0
"""Kind per_user: the last share of each user's events; for logs that have only an order."""

from __future__ import annotations

import numpy as np

from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.data.cuts import heads_of
from pocketrec.cloud.data.log import Log
from pocketrec.cloud.data.sequences import Sequences


def early(log: Log, split: SplitConfig) -> tuple[np.ndarray, None]:
    """See `pocketrec.cloud.data.splits`."""
    sequences = Sequences.build(log.users.values, log.users.codes, np.arange(len(log)), log.timestamps)
    seen = np.zeros(len(log), bool)
    heads = heads_of(sequences.lengths, split.quantile)
    seen[sequences.items[sequences.positions() < np.repeat(heads, sequences.lengths)]] = True
    return seen, None
