# SPDX-License-Identifier: Apache-2.0
"""Whether the network costs money, as NetworkManager tells it. What cannot be known is no reason to wait."""

from __future__ import annotations

import subprocess


def is_metered() -> bool:
    """Whether a connected network is metered, or NetworkManager guesses so; False where there is no NetworkManager."""
    try:
        asked = ["nmcli", "-t", "-f", "GENERAL.STATE,GENERAL.METERED", "device", "show"]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    connected = metered = False
    for line in told.splitlines():
        name, _, value = line.partition(":")
        if name == "GENERAL.STATE":
            connected = value.startswith("100 ")
        elif name == "GENERAL.METERED":
            metered |= connected and value.startswith("yes")
    return metered
