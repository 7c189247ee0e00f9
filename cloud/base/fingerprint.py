# SPDX-License-Identifier: Apache-2.0
"""The one way in which the cloud names what a result depends on: a SHA-256 of plain values, arrays and files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.device.base.digest import canonical
from pocketrec.device.base.files import sha256_file

if TYPE_CHECKING:  # the table of stages is light
    import numpy as np


def fingerprint(plain: Any, parts: Iterable[np.ndarray[Any, Any] | Path | None] = ()) -> str:
    """64 lower-case hexadecimal digits that change with everything given.

    Without `parts` it is the SHA-256 of the values as JSON with ordered keys, which the markers of runs hold.

    Args:
        plain: what JSON knows.
        parts: arrays (their type, shape and numbers), files (their content), and None, in this order.

    Raises:
        OSError: a file is missing or unreadable.
    """
    digest = hashlib.sha256(canonical(plain, spaced=True))
    for part in parts:
        if part is None:
            digest.update(b"-")
        elif isinstance(part, Path):
            digest.update(sha256_file(part).encode())
        else:
            digest.update(f"{part.dtype.str}{part.shape}".encode() + part.tobytes())
    return digest.hexdigest()
