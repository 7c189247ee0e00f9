# SPDX-License-Identifier: Apache-2.0
"""Whether this machine is idle enough to train: load, power supply and temperature, as Linux reports them.

What cannot be read is no reason to wait. This module knows nothing about training.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pocketrec.device.base.errors import ConfigError
from pocketrec.device.personal.budget import hottest

#: Exit status of a command that found the machine busy: sysexits.h's "try again later".
BUSY: Final = 75


@dataclass(frozen=True)
class Idle:
    """What counts as idle and cool."""

    load: float = 0.5
    """Load average of the last minute, for each core, from which the machine is busy."""
    celsius: float = 60.0
    """Temperature of the hottest thermal zone from which it is too warm."""
    load_file: Path = Path("/proc/loadavg")
    """Where the load average is told."""
    zones: Path = Path("/sys/class/thermal")
    """Folder of the thermal zones."""
    supplies: Path = Path("/sys/class/power_supply")
    """Folder of batteries and mains."""

    def __post_init__(self) -> None:
        if not 0 < self.load < 1000:
            raise ConfigError(f"a load of {self.load:g} a core is not a limit: give a number such as 0.5")

    def reason(self) -> str:
        """Why not to train now, "" = the machine is idle, cool, and not on battery."""
        load, degrees = load_a_core(self.load_file), hottest(self.zones)
        if on_battery(self.supplies):
            return "on battery"
        if load is not None and load >= self.load:
            return f"load {load:.2f} a core, the limit is {self.load:g}"
        if degrees is not None and degrees >= self.celsius:
            return f"{degrees:.0f} degrees Celsius, the limit is {self.celsius:g}"
        return ""


def load_a_core(file: Path) -> float | None:
    """Load average of the last minute over the number of cores; None where it is not told."""
    try:
        return float(file.read_text().split()[0]) / (os.cpu_count() or 1)
    except (OSError, ValueError, IndexError):
        return None


def on_battery(supplies: Path) -> bool:
    """Whether a battery of this machine (not of a mouse) discharges while no mains or USB supply is on."""
    discharging = False
    for supply in sorted(supplies.glob("*")):
        kind = _text(supply / "type")
        if kind in ("Mains", "USB") and _text(supply / "online") == "1":
            return False
        own = _text(supply / "scope") != "Device"
        discharging |= kind == "Battery" and own and _text(supply / "status") == "Discharging"
    return discharging


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
