# SPDX-License-Identifier: Apache-2.0
"""The command `pocketrec` as its script starts it, for tests that want a process of its own."""

from __future__ import annotations

import sys

PROGRAM = "from pocketrec.cli import program; program()"
POCKETREC = [sys.executable, "-c", PROGRAM]
