# SPDX-License-Identifier: Apache-2.0
"""How long, and up to which temperature, a personal training may continue at a time; it continues the next time.

Temperatures are Linux's thermal zones: the hottest one counts. This module knows nothing about training.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pocketrec.device.base.errors import ConfigError

_ZONES: Final = Path("/sys/class/thermal")
_INTERVAL: Final = 1.0  # seconds between two readings of the temperature


@dataclass(frozen=True)
class Budget:
    """Limits of one call of `personalise`."""

    seconds: float | None = None
    """Wall time, above 0, of adding, training and judging; at least one step is made. None = no limit."""
    celsius: float | None = None
    """Temperature at which it stops, and does not begin; None = no limit."""
    zones: Path = _ZONES
    """Folder of the thermal zones."""
    started: float | None = None
    """Moment of ``time.monotonic`` from which the seconds count; None = when `personalise` is called."""

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.seconds > 0:
            raise ConfigError(f"the seconds of a budget must be above 0, not {self.seconds}: give a larger number")
        if self.celsius is not None and not -50 < self.celsius < 200:
            raise ConfigError(f"{self.celsius} degrees Celsius are no limit: give a number such as 70")

    def start(self) -> Callable[[], str]:
        """A function to be called before each step of training and comparison: why to stop here, "" = continue.

        Raises:
            ConfigError: there is a limit of the temperature, and none can be read here.
        """
        if self.celsius is not None and hottest(self.zones) is None:
            raise ConfigError(f"no temperature can be read in {self.zones}: leave the limit out on this machine")
        started, steps, read = time.monotonic() if self.started is None else self.started, 0, -_INTERVAL

        def reason() -> str:
            nonlocal steps, read
            now = time.monotonic()
            if self.celsius is not None and now - started - read >= _INTERVAL:
                read = now - started
                degrees = hottest(self.zones)
                if degrees is not None and degrees >= self.celsius:
                    read = -_INTERVAL  # look again at the next call
                    return f"{degrees:.0f} degrees Celsius, the limit is {self.celsius:g}"
            steps += 1
            if self.seconds is not None and steps > 1 and now - started >= self.seconds:
                return f"{self.seconds:g} s are over"
            return ""

        return reason


def hottest(zones: Path = _ZONES) -> float | None:
    """Temperature of the hottest thermal zone, in degrees Celsius; None where none can be read."""
    degrees = []
    for zone in zones.glob("thermal_zone*/temp"):
        try:
            degrees.append(int(zone.read_text()) / 1000)
        except (OSError, ValueError):  # a sensor that is asleep
            continue
    return max(degrees, default=None)
