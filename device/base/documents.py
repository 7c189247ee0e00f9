# SPDX-License-Identifier: Apache-2.0
"""JSON in one place: how a document is written, how a line is, and what may be wrong with one that is read.

Files that a person may open are documents: indented by one, with a line feed at their end. Notes, metadata and the last
line of a command's output are one line.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Final

from pocketrec.device.base.files import write_atomic


class DocumentError(ValueError):
    """A text is not JSON, or not of the form that was asked for. The message says in what way, and not what to do."""


_ABSENT: Final = object()
#: Made once: json.dumps with separators makes an encoder at each call, which took a tenth of reading a store.
_COMPACT: Final = json.JSONEncoder(separators=(",", ":"))


def document(value: Any, *, ordered: bool = False) -> bytes:
    """The content of a JSON file; `ordered` puts the keys in their order, so that equal values give equal bytes."""
    return (json.dumps(value, indent=1, sort_keys=ordered) + "\n").encode()


def line(value: Any, *, ascii_only: bool = True) -> str:
    """JSON in one line, without a line feed."""
    return json.dumps(value, ensure_ascii=ascii_only)


def compact(value: Any) -> str:
    """JSON in one line without a space, where bytes count; the keys stay in their order."""
    return _COMPACT.encode(value)


def parse(content: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        DocumentError: it is not valid.
    """
    try:
        return json.loads(content)
    except ValueError as error:  # text that is not UTF-8 too
        raise DocumentError(f"it is not JSON: {error}") from None
    except RecursionError:
        raise DocumentError("it is not JSON: it is nested too deeply") from None


def parse_table(content: bytes | str) -> dict[str, Any]:
    """The table that a JSON text holds.

    Raises:
        DocumentError: it is not JSON, or something else than a table.
    """
    value = parse(content)
    if not isinstance(value, dict):
        raise DocumentError("it is not a table")
    return value


def read(path: str | Path) -> Any:
    """The value that a JSON file holds.

    Raises:
        OSError: the file is missing or unreadable.
        DocumentError: it is not JSON.
    """
    return parse(Path(path).read_bytes())


def write(path: str | Path, value: Any, *, ordered: bool = False, mode: int = 0o644) -> None:
    """Write a JSON file in one step.

    Raises:
        StorageError: it could not be written; the file is as it was.
    """
    write_atomic(path, document(value, ordered=ordered), mode=mode)


def holds(path: str | Path, value: Any) -> bool:
    """Whether a note that `note` wrote holds this value; False where there is no note, or it is damaged."""
    found: Any = _ABSENT
    with contextlib.suppress(OSError, DocumentError):
        found = read(path)
    return bool(found == value)


def note(path: str | Path, value: Any, *, mode: int = 0o644) -> None:
    """Write a note of our own, one line, in one step.

    Raises:
        StorageError: it could not be written.
    """
    write_atomic(path, line(value).encode(), mode=mode)
