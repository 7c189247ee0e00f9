# SPDX-License-Identifier: Apache-2.0
"""Whether a name has left a trace in the bytes of a file or of a message."""

from __future__ import annotations

SHORTEST = 5
"""Bytes of the shortest word that is looked for: five random bytes are a certain word once in 10^12, but two are `u3`
once in 65,536, so that a test which looks for it in some kilobytes of numbers, keys or noise fails now and then."""


def traces(content: bytes, *words: str) -> list[str]:
    """Those of `words` that stand in `content`; ValueError for a word so short that chance would write it."""
    short = [word for word in words if len(word.encode()) < SHORTEST]
    if short:
        raise ValueError(f"{short} may stand in random bytes by chance; look for {SHORTEST} bytes or more")
    return [word for word in words if word.encode() in content]
