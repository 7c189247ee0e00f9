# SPDX-License-Identifier: Apache-2.0
"""What each part of the later events is worth, by who may use it (feature D2): differences between judged systems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Part -> the system that has it, the one that lacks it, and what the difference is, in words.
PARTS: Final = {
    "necessary": ("necessary", "global", "business-necessary events, in the cloud"),
    "withheld": ("central", "necessary", "all other events, if the cloud had them"),
    "device": ("personal", "global", "all events, on the device alone"),
    "device_after": ("necessary_personal", "necessary", "personal training on all, after the cloud has retrained"),
    "federated": ("federated", "necessary", "all events in federated rounds, instead of retraining on necessary ones"),
}
#: The model of the cut-off with what is added to the scores of ``necessary`` too, the first that was judged: the bonus
#: for repeats and the neighbours, the neighbours alone, nothing.
_ALIKE: Final = ("repeats", "neighbours", "global")


def worth(values: Mapping[str, Floats], compare: Callable[[Floats, Floats], dict[str, Any]]) -> dict[str, Any]:
    """What each part brings, of the parts whose two systems were judged.

    ``necessary`` is compared with the model of the cut-off that has the same bonus and neighbours: these are not what
    the cloud's later events are worth.

    Args:
        values: system -> MRR@20 of each user, [users].
        compare: of two such arrays the first less the second, with its interval and the users gained and harmed.

    Returns:
        Name of a part of `PARTS` -> difference; nothing where no model was trained on business-necessary events.
    """
    if "necessary" not in values:
        return {}
    pairs = {part: (has, lacks) for part, (has, lacks, _) in PARTS.items()}
    pairs["necessary"] = ("necessary", next((name for name in _ALIKE if name in values), "global"))
    return {part: compare(values[has], values[lacks]) for part, (has, lacks) in pairs.items()
            if has in values and lacks in values}  # fmt: skip
