# SPDX-License-Identifier: Apache-2.0
"""One row of the event store: a mark by which equal events are known, and a value with a checksum of its own.

The value is JSON [item, time, nth] or [item, time, nth, category, checksum of these four], sealed where there is a key;
the mark is the checksum of the first three. `nth` counts the equal events of one batch; an event without a time has a
random text there, so that it is always new. SQLite has no checksums, so it needs these.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from pocketrec.device.base import documents
from pocketrec.device.store.connection import damaged
from pocketrec.device.store.sealing import Seal, SealError

_PADDING: Final = 32  # the length of a sealed event is a multiple of this, and 28 bytes


def encode(
    seal: Seal | None, item: str, time: float | None, nth: int | str, category: str
) -> tuple[bytes, str | bytes]:
    """Mark and value of an event."""
    fields = [item, time, nth]
    marked = text = _text(fields)
    if category:
        fields.append(category)
        text = _text([*fields, _checksum(_text(fields)).hex()])
    if seal is None:
        return _checksum(marked), text
    mark = seal.mark(marked.encode())
    return mark, seal.seal((text + " " * (-len(text) % _PADDING)).encode(), mark)


def decode(seal: Seal | None, path: Path, mark: bytes, value: str | bytes) -> tuple[str, float | None, str]:
    """Item, time and category of an event.

    Raises:
        StoreError: its checksum is wrong.
    """
    try:
        if seal is not None:
            value = seal.open(bytes(value), mark)  # type: ignore[arg-type]
        fields = documents.parse(value)
        (item, time, _), rest = fields[:3], fields[3:]
        # Without a category the value is the marked text itself, and need not be written out again.
        if seal is None and (rest or _checksum(str(value)) != mark) and _checksum(_text(fields[:3])) != mark:
            raise ValueError
        if rest and (len(rest) != 2 or _checksum(_text(fields[:4])).hex() != rest[1]):
            raise ValueError
        return str(item), None if time is None else float(time), str(*rest[:1])
    except (SealError, ValueError, TypeError):
        raise damaged(path, "an event has a wrong checksum") from None


def _text(fields: list[Any]) -> str:
    return documents.compact(fields)


def _checksum(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
