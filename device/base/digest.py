# SPDX-License-Identifier: Apache-2.0
"""Digests: the SHA-256 by which equal contents, settings and plans are known again.

A value is digested as its canonical JSON: keys in order, so that equal values give equal digests, whoever wrote them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any


def canonical(value: Any, *, spaced: bool = False) -> bytes:
    """Canonical JSON of plain values: keys in order, ASCII.

    Args:
        value: what JSON knows.
        spaced: with a space after each comma and colon, as fingerprints that devices and runs hold were made; off for
            what other languages write too.

    Raises:
        TypeError: it is nothing that JSON knows.
    """
    separators = (", ", ": ") if spaced else (",", ":")
    return json.dumps(value, sort_keys=True, separators=separators).encode()


def digest(value: Any, more: Iterable[bytes] = (), *, spaced: bool = False) -> str:
    """SHA-256, 64 lower-case hexadecimal digits, of plain values and of bytes that follow them.

    Args:
        value: plain values, see `canonical`.
        more: further content, such as little-endian arrays; they are joined without a mark between them.
        spaced: see `canonical`.
    """
    found = hashlib.sha256(canonical(value, spaced=spaced))
    for part in more:
        found.update(part)
    return found.hexdigest()


def sha256_of(content: bytes) -> str:
    """SHA-256 of bytes, 64 lower-case hexadecimal digits; of a file: `pocketrec.device.base.files.sha256_file`."""
    return hashlib.sha256(content).hexdigest()
