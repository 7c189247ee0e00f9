# SPDX-License-Identifier: Apache-2.0
"""Memory of this process, as the operating system counts it."""

from __future__ import annotations

import sys


def resident_mb() -> float:
    """Resident set size now, in MB (10^6 bytes); 0 where the system does not tell."""
    return _status("VmRSS")


def peak_resident_mb() -> float:
    """Largest resident set size since the process started, in MB (10^6 bytes); 0 where the system does not tell."""
    if peak := _status("VmHWM"):
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _status(field: str) -> float:
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            for line in file:
                if line.startswith(field):
                    return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return 0.0
