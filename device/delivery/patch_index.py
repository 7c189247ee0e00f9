# SPDX-License-Identifier: Apache-2.0
"""Which patches a publisher offers for a model: ``patches/MODEL.json`` in the publisher's folder, beside its files.

The index is not signed: every patch is, with its task, model and number inside, so an index can only name patches that
the publisher made, and never an older one than a device has. This module opens neither files nor connections.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pocketrec.device.base import documents
from pocketrec.device.base.errors import FetchError
from pocketrec.device.contract.names import PATCHES_FOLDER
from pocketrec.device.contract.patch import is_task_name

#: Bytes of an index, and of a patch: more is refused before it is fetched.
INDEX_LIMIT: Final = 1 << 20
PATCH_LIMIT: Final = 1 << 28

_FORMAT: Final = 1
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Offered:
    """A patch as the index names it; it lies in the publisher's folder under its hash, as all files do."""

    sha256: str
    """SHA-256 of the file, 64 hexadecimal digits."""
    size: int
    """Its size."""
    former: str = ""
    """SHA-256 of the one before it, which stays for those who are fetching it; "" = none."""


def index_name(model: str) -> str:
    """Path of a model's index inside the publisher's folder."""
    return f"{PATCHES_FOLDER}/{model}.json"


def index_bytes(offered: Mapping[str, Offered]) -> bytes:
    """The content of an index: what is offered, by task."""
    tasks = {name: {"sha256": one.sha256, "bytes": one.size, **({"former": one.former} if one.former else {})}
             for name, one in sorted(offered.items())}  # fmt: skip
    return documents.document({"format": _FORMAT, "tasks": tasks})


def read_index(content: bytes, place: str) -> dict[str, Offered]:
    """The inverse of `index_bytes`.

    Raises:
        FetchError: it is not one, or of another format.
    """
    try:
        table = documents.parse_table(content)
        if table["format"] != _FORMAT:
            raise FetchError(f"{place} is of format {str(table['format'])[:40]!r} and this version of pocketrec reads "
                             f"{_FORMAT}: update pocketrec")  # fmt: skip
        return {name: _offered(name, entry) for name, entry in table["tasks"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FetchError(f"{place} is no index of patches ({str(error)[:200]!r}): ask the publisher") from None


def _offered(name: str, entry: Mapping[str, object]) -> Offered:
    sha256, size, former = entry["sha256"], entry["bytes"], entry.get("former", "")
    if not is_task_name(name) or not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= PATCH_LIMIT:
        raise ValueError("a name or a size is out of range")
    for digits in (sha256, former or sha256):
        if not isinstance(digits, str) or not _SHA256.fullmatch(digits):
            raise ValueError("a hash is malformed")
    return Offered(str(sha256), size, str(former))
