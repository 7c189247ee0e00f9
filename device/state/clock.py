# SPDX-License-Identifier: Apache-2.0
"""Which events lie in the future, as far as this device's clock can tell.

An event that is dated after now (a clock that was set wrong, a typing error) would stay the latest one for ever. It is
kept, and waits: it is neither context nor a target until its time has come. Clocks are wrong too, and logs have
their own units, so nothing is called future unless the clock and the log's cut-off agree: the cut-off is a Unix time,
in whatever unit, that this clock has passed. This module knows nothing about models and files.
"""

from __future__ import annotations

import math
from typing import Final

from pocketrec.device.base.times import per_second

#: Seconds that an event may lie ahead of the clock, for time zones and clocks that are a little wrong.
TOLERANCE: Final = 86_400.0


def future_from(now: float, cut_off: float | int | None) -> float:
    """The time after which an event lies in the future, in the log's unit; infinite where nothing can be said.

    Args:
        now: the clock, Unix seconds.
        cut_off: of the bundle's manifest, in the log's unit; None = the log has none.
    """
    unit = 0.0 if cut_off is None else per_second(cut_off)
    if cut_off is None or not unit or cut_off > now * unit:
        return math.inf  # a place in an order; or the clock of a device without a battery, which begins at 1970
    return (now + TOLERANCE) * unit
