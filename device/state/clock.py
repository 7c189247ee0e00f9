"""Which events lie in the future, as far as this device's clock can tell.

An event that is dated after now (a clock that was set wrong, a typing error) would stay the latest one for ever. It is
kept, and waits: it is neither context nor a target until its time has come. Clocks are wrong too, and logs have
their own units, so nothing is called future unless the clock and the log's cut-off agree: the cut-off is a time in
Unix seconds that this clock has passed. This module knows nothing about models and files.
"""

from __future__ import annotations

import math
from typing import Final

#: Seconds that an event may lie ahead of the clock, for time zones and clocks that are a little wrong.
TOLERANCE: Final = 86_400.0

_SECONDS: Final = 1e8  # from 1973 on; a smaller cut-off is a place in a log and not a time


def future_from(now: float, cut_off: float | int | None) -> float:
    """The time after which an event lies in the future; infinite where nothing can be said.

    Args:
        now: the clock, Unix seconds.
        cut_off: of the bundle's manifest, in the log's unit; None = the log has none.
    """
    if cut_off is None or not _SECONDS <= cut_off <= now:
        return math.inf  # the clock of a device without a battery begins at 1970; milliseconds are beyond any clock
    return now + TOLERANCE
