# SPDX-License-Identifier: Apache-2.0
"""The guard's chance of harm: fitted, judged on other users, and used only where it lowers harm by more than chance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.metrics.metrics import MARGIN, gained_harmed, is_harmed
from pocketrec.device.contract.recipe import Line
from pocketrec.device.personal.guard import Decision

Floats = NDArray[np.float64]

#: Standard errors by which fewer users must be harmed with the guard than without it: 5 % one-sided.
CLEARLY: Final = 1.645
#: Share of the gain that the guard may cost.
MOST_LOST: Final = 0.1
#: What harm costs the guard where no bonus was fitted, in MRR@20 of one user harmed.
USUAL_PRICE: Final = 0.2
_SPREADS: Final = np.geomspace(0.003, 0.6, 16)
_BINS: Final = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 1.0)


def fit_spread(expected: Floats, events: Floats, gain: Floats) -> Line:
    """The spread of the real gains under which the users who were harmed are likeliest (maximum likelihood).

    Args:
        expected: [users] posterior gain.
        events: [users] events to learn from, n.
        gain: [users] real gain.

    Returns:
        A line in log(1 + n), at least the smallest spread for all these users; `Line()` without users.
    """
    if not len(gain):
        return Line()
    x = np.log1p(events)
    low, high = float(x.min()), float(x.max())
    harmed = is_harmed(gain)
    best, found = -math.inf, Line()
    for first in _SPREADS:
        for last in _SPREADS if high > low else [first]:
            slope = (last - first) / (high - low) if high > low else 0.0
            scale = (first + slope * (x - low)) * math.sqrt(3) / math.pi
            z = np.clip((expected + MARGIN) / scale, -30, 30)
            likelihood = float(-np.log1p(np.exp(np.where(harmed, z, -z))).sum())
            likelihood -= 0.5 * math.log(last / first) ** 2  # a weak preference for one spread for all
            if likelihood > best + 1e-9:
                best, found = likelihood, Line(float(first - slope * low), float(slope))
    return found


def pays(guarded: Floats, plain: Floats) -> bool:
    """Whether a guard is worth having, by the gains of the same users with and without it.

    Either clearly fewer users are harmed (sign test of those for whom it matters) and at most `MOST_LOST` of the gain
    is lost, or the gain is clearly higher.
    """
    spared = int((is_harmed(plain) & ~is_harmed(guarded)).sum())
    added = int((is_harmed(guarded) & ~is_harmed(plain)).sum())
    fewer = spared - added > CLEARLY * math.sqrt(spared + added)
    better = guarded - plain
    clear = len(better) > 1 and better.mean() > CLEARLY * better.std(ddof=1) / math.sqrt(len(better))
    return bool((fewer and guarded.mean() >= (1 - MOST_LOST) * plain.mean()) or clear)


def reliability(decisions: Sequence[Decision], gain: Floats) -> list[dict[str, Any]]:
    """Predicted chance of harm beside the share harmed, for users who were made personal, in bins of the chance.

    Args:
        decisions: of each user, by a guard that was fitted to others.
        gain: [users] real gain under the decision.
    """
    pairs = [(one.chance[one.choice], value) for one, value in zip(decisions, gain, strict=True)
             if one.choice in one.chance]  # fmt: skip
    chance, harmed = np.array([c for c, _ in pairs]), is_harmed(np.array([value for _, value in pairs]))
    rows = []
    for low, high in itertools.pairwise(_BINS):
        inside = (chance >= low) & ((chance < high) | (high == _BINS[-1])) if len(chance) else np.zeros(0, bool)
        if inside.any():
            users, share = int(inside.sum()), float(harmed[inside].mean())
            rows.append({"low": low, "high": high, "users": users, "predicted": float(chance[inside].mean()),
                         "came": share, **_wilson(share, users)})  # fmt: skip
    return rows


def compared(guarded: Floats, plain: Floats) -> dict[str, Any]:
    """Gain and users gained and harmed with the guard and without it."""
    return {name: dict(zip(("gained", "harmed"), gained_harmed(gain), strict=True)) | {"mean": float(gain.mean())}
            for name, gain in (("with", guarded), ("without", plain))}  # fmt: skip


def _wilson(share: float, users: int) -> dict[str, float]:
    """95 % interval of a share (Wilson 1927)."""
    z = 1.96
    middle, wide = share + z * z / (2 * users), z * math.sqrt(share * (1 - share) / users + z * z / (4 * users**2))
    return {"came_low": (middle - wide) / (1 + z * z / users), "came_high": (middle + wide) / (1 + z * z / users)}
