# SPDX-License-Identifier: Apache-2.0
"""A user for tests of the device: one who only uses a few items, so that there is something to learn."""

from __future__ import annotations

import numpy as np


def loyal(count: int, seed: int = 0, items: tuple[int, ...] = (5, 9, 13)) -> np.ndarray:
    """int32 [count] rows drawn from `items`."""
    return np.random.default_rng(seed).choice(np.array(items, np.int32), count)
