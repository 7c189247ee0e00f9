# SPDX-License-Identifier: Apache-2.0
"""The candidate source latest: the items that the user had last, then popular ones."""

import numpy as np

from ours.lines import LatestOptions
from pocketrec.cloud.candidates import Candidates, Past, popular_rows


class Latest:
    """See `pocketrec.cloud.candidates.source.CandidateSource`."""

    def build(self, options: LatestOptions, k: int, past: Past) -> Candidates:
        """See `CandidateSource.build`."""
        rows = np.zeros((len(past.before), k), np.int32)
        for user in range(len(rows)):
            seen = past.before.of(user)[0]
            own = [] if past.mask_seen else [row for row in dict.fromkeys(seen[::-1].tolist()) if row > 0]
            own = own[: options.own or k]
            gone = set(seen.tolist()) if past.mask_seen else set(own)
            popular = [row for row in range(1, min(past.items, k + len(gone)) + 1) if row not in gone]
            best = [*own, *popular][:k]
            rows[user, : len(best)] = best
        return Candidates(past.before.users, rows, popular_rows(past.items, k))
