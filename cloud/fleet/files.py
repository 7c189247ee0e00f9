# SPDX-License-Identifier: Apache-2.0
"""Names of the files that a fleet leaves."""

from __future__ import annotations

from typing import Final

#: One line for each user.
USERS_FILE: Final = "users.jsonl"
#: What all users share: window, latencies, memory, who was left out.
FLEET_FILE: Final = "fleet.json"
