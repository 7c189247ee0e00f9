# SPDX-License-Identifier: Apache-2.0
"""Item-kNN as devices get it: fewer neighbours of each item, similarities of one byte."""

from __future__ import annotations

import numpy as np

from pocketrec.cloud.baselines.neighbours import ItemNeighbours
from pocketrec.device.contract.neighbours import LARGEST, Neighbours


def shipped(fitted: ItemNeighbours, strength: float = 1.0) -> Neighbours:
    """The table that a device reads.

    Args:
        fitted: whose neighbours are in the order of their similarity.
        strength: see `pocketrec.device.contract.neighbours`.
    """
    counts = np.diff(fitted.offsets)
    scales = np.zeros(len(counts), np.float32)
    some = np.flatnonzero(counts)
    if len(some):
        scales[some] = np.maximum.reduceat(fitted.similarities, fitted.offsets[some])
    share = fitted.similarities / np.repeat(scales, counts)
    codes = np.clip(np.round(share * LARGEST), 1, LARGEST).astype(np.int8)
    return Neighbours(fitted.offsets, fitted.items, codes, scales, fitted.decay, strength)
