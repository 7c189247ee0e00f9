# SPDX-License-Identifier: Apache-2.0
"""How many examples a property test tries: ten times as many in the long suite (POCKETREC_LONG=1)."""

from __future__ import annotations

import os

from hypothesis import settings

LONG = os.environ.get("POCKETREC_LONG", "") not in ("", "0")


def examples(count: int, times: int = 10) -> settings:
    """The setting of a property test that tries `count` examples, and in the long suite `times` as many: ten times, or
    three where an example computes with TensorFlow, or writes and reads files."""
    return settings(max_examples=count * (times if LONG else 1), deadline=None)
