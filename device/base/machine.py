# SPDX-License-Identifier: Apache-2.0
"""What this machine says of itself, for a benchmark's result. Nothing is asked that needs a privilege."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

_GOVERNOR: Final = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_PROCESSOR: Final = Path("/proc/cpuinfo")
#: Environment variable by which whoever starts an emulator says so: "1" = yes.
EMULATED_VARIABLE: Final = "POCKETREC_EMULATED"


def machine() -> dict[str, Any]:
    """System, architecture, processor, number of cores, and the governor of the processor's frequency ("" where the
    system does not tell: most virtual machines)."""
    system = os.uname() if hasattr(os, "uname") else None
    return {
        "system": f"{system.sysname} {system.release}" if system else sys.platform,
        "architecture": system.machine if system else "",
        "processor": _processor(_text(_PROCESSOR)),
        "cores": os.cpu_count() or 0,
        "governor": _text(_GOVERNOR).strip(),
    }


def emulated(architecture: str | None = None, processor_file: Path = _PROCESSOR) -> bool:
    """Whether another architecture's instructions are interpreted here, so that times and memory mean nothing.

    True where POCKETREC_EMULATED is "1", or where an ARM program sees an x86 processor, as under qemu's user mode.
    An emulator of a whole machine cannot be told: set the variable.
    """
    if os.environ.get(EMULATED_VARIABLE) == "1":
        return True
    if architecture is None:
        architecture = str(machine()["architecture"])
    return architecture.startswith(("arm", "aarch")) and "vendor_id" in _text(processor_file)


def _processor(text: str) -> str:
    found = ""
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip().lower() == "model name":
            return value.strip()
        if colon and name.strip().lower() in ("hardware", "model"):
            found = value.strip()
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
