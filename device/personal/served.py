# SPDX-License-Identifier: Apache-2.0
"""Which items a device ranks when nobody names any: one definition for devices and for the fleet that measures them.

The cloud chose a user's candidates before the cut-off. What the user came to since, and comes back to, is known on the
device alone, so the own history's items join the candidates; they cost no bytes. This module knows nothing about
scores.
"""

from __future__ import annotations

import numpy as np

from pocketrec.device.base.array import Array


def served_set(candidates: Array, rows: Array, mask_seen: bool = False) -> Array:
    """The items to rank: the candidates, then the own history's other items, the latest first.

    Args:
        candidates: int32 [c], the user's candidates (or the popular items), each once; 0 = padding.
        rows: int32 [n], the own history, oldest first; 0 = unknown item.
        mask_seen: seen items are left out, of the candidates too, and none are added.

    Returns:
        int32 [m], each item once, no 0.
    """
    candidates = candidates[candidates > 0]
    if mask_seen:
        return np.asarray(candidates[~np.isin(candidates, rows)], np.int32)
    both = np.concatenate([candidates, rows[::-1][rows[::-1] > 0]])
    _, first = np.unique(both, return_index=True)
    return np.asarray(both[np.sort(first)], np.int32)
