# SPDX-License-Identifier: Apache-2.0
"""The table of TensorFlow Lite runtimes. Imports nothing heavy, so that help and configuration may read it."""

from __future__ import annotations

from typing import Final

from pocketrec.device.base.choices import Choice, Table

RUNTIMES: Final = Table(
    "resources.runtime",
    {
        "ai_edge_litert": Choice(
            "ai_edge_litert.interpreter:Interpreter", "Python 3.10 to 3.14, numpy 2; the faster one"
        ),
        "tflite_runtime": Choice(
            "tflite_runtime.interpreter:Interpreter", "Python up to 3.11, numpy below 2; also 32-bit ARM"
        ),
    },
)
"""The preferred one first."""

AUTO: Final = "auto"
"""The first that can be used here."""
