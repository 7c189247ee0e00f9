# SPDX-License-Identifier: Apache-2.0
"""What happened before a cut-off and after it, for a fleet that learns from the first part of the latter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.data.sequences import Sequences


@dataclass(frozen=True)
class LaterEvents:
    """Events on both sides of a cut-off."""

    before: Sequences
    """Events before it."""
    after: Sequences
    """Later events."""
    learn: NDArray[np.int64]
    """(len(after),), how many first events of each user of `after` the device learns from; the rest is for judging."""
