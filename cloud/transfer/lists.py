# SPDX-License-Identifier: Apache-2.0
"""Files of PeterRec's form: a user a line, ``x1,..,xn`` to pretrain on, ``x1,..,xn,,t1,..,tm`` to tune on.

Items are text without commas, oldest first. Empty lines are passed over. This module knows nothing about models.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketrec.device.base.errors import DataError
from pocketrec.device.base.files import write_atomic

_SEPARATOR = ",,"


@dataclass(frozen=True)
class Line:
    """One user of a file."""

    source: tuple[str, ...]
    """Items that the user had, oldest first; at least one."""
    targets: tuple[str, ...] = ()
    """Items to be told; at least one in a file to tune on, none in one to pretrain on."""


def read_sources(path: Path) -> list[Line]:
    """The lines ``x1,..,xn`` of a file to pretrain on; of lines with targets, what stands before them.

    Raises:
        DataError: the file is missing or unreadable, or an item is empty.
    """
    return [Line(_items(text.partition(_SEPARATOR)[0], path, number, "an item")) for number, text in _lines(path)]


def read_lists(path: Path) -> list[Line]:
    """The lines ``x1,..,xn,,t1,..,tm`` of a file to tune on.

    Raises:
        DataError: the file is missing or unreadable, a line has no ``,,`` or several, or has no source or no target.
    """
    found = []
    for number, text in _lines(path):
        parts = text.split(_SEPARATOR)
        if len(parts) == 1:
            raise DataError(f"line {number} of {path} has no ',,' between source and targets: write x1,..,xn,,t1,..,tm")
        if len(parts) > 2 or parts[1].startswith(","):
            raise DataError(f"line {number} of {path} has an empty item, or ',,' twice: write x1,..,xn,,t1,..,tm")
        source, targets = (_items(part, path, number, word) for part, word in
                           zip(parts, ("a source item", "a target"), strict=True))  # fmt: skip
        found.append(Line(source, targets))
    return found


def write_lists(path: Path, lines: Iterable[Line]) -> None:
    """Write a file that `read_lists` reads, whole or not at all.

    Raises:
        DataError: an item has a comma or a line break, which the form cannot hold.
        StorageError: the file cannot be written.
    """
    texts = []
    for line in lines:
        for item in (*line.source, *line.targets):
            if "," in item or len(item.splitlines()) != 1:
                raise DataError(f"item {item!r} has a comma or a line break: a file of source,,targets cannot hold it")
        texts.append(f"{','.join(line.source)}{_SEPARATOR}{','.join(line.targets)}\n")
    write_atomic(path, "".join(texts).encode("utf-8"))


def _lines(path: Path) -> Sequence[tuple[int, str]]:
    """Number, from 1, and text of each line that is not empty."""
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        text = content.decode("utf-8-sig")
    except (OSError, EOFError) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}: correct its path") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text: write one user a line, as x1,..,xn,,t1,..,tm") from None
    found = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not found:
        raise DataError(f"{path} has no line: write one user a line, as x1,..,xn,,t1,..,tm")
    return found


def _items(text: str, path: Path, number: int, what: str) -> tuple[str, ...]:
    items = tuple(item.strip() for item in text.split(","))
    if not all(items):
        raise DataError(f"line {number} of {path}: {what} is empty: write x1,..,xn,,t1,..,tm, at least one of each")
    return items
