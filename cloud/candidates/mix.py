# SPDX-License-Identifier: Apache-2.0
"""Candidate sets of several sources, each with its share of the places."""

from __future__ import annotations

import dataclasses
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.candidates.sets import Candidates, popular_rows
from pocketrec.cloud.candidates.source import Past
from pocketrec.cloud.config.candidates import MixOptions


class MixCandidates:
    """See `pocketrec.cloud.candidates.source.CandidateSource`."""

    def build(self, options: MixOptions, k: int, past: Past) -> Candidates:
        """See `CandidateSource.build`; each source has the options of its own table's defaults."""
        from pocketrec.cloud.candidates import source
        from pocketrec.cloud.config.candidates import CANDIDATES

        sets = []
        for name in options.shares:
            own = CANDIDATES[name].options_class()
            alone = dataclasses.replace(past, scratch=None)  # which belongs to one source
            sets.append(source(name).build(own() if own else None, k, alone).rows)
        return Candidates(past.before.users, mixed(sets, list(options.shares.values()), k), popular_rows(past.items, k))


def mixed(sets: list[NDArray[np.int32]], shares: list[float], k: int) -> NDArray[np.int32]:
    """Each source's best in turn, as often as its share says, until a user has k different rows.

    Args:
        sets: int32 [U, k] of each source, best first, padded with 0.
        shares: of each source, above 0.
        k: rows for each user.

    Returns:
        int32 [U, k], padded with 0; a source's best stands before its second.
    """
    due = np.array([(place + 1) / share for share in shares for place in range(k)])
    which = np.repeat(np.arange(len(shares)), k)
    order = np.lexsort((which, due))  # which source, and of that the next place
    columns = [(int(which[turn]), int(turn % k)) for turn in order]
    found = np.zeros((len(sets[0]), k), np.int32)
    for row, *own in zip(found, *sets, strict=True):
        rows = dict.fromkeys(int(own[source][place]) for source, place in columns)
        rows.pop(0, None)
        for place, item in zip_longest(range(k), list(rows)[:k], fillvalue=0):
            row[place] = item
    return found
