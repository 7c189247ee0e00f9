# SPDX-License-Identifier: Apache-2.0
"""Titles of items, for people: what stands beside an id in a list.

`TITLES_FILE` is an optional file of a bundle: UTF-8, one title a line, line i (from 1) that of item row i, empty where
there is none. A device of a version that does not know the file shows ids. This module knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from pocketrec.device.contract.vocabulary import Vocabulary

#: Name of the file in a bundle.
TITLES_FILE: Final = "titles.txt"


def titles_file(titles: Sequence[str]) -> bytes:
    """Content of the file; what would break a line is a space, and spaces at the ends are left out."""
    return "".join(f"{' '.join(title.split())}\n" for title in titles).encode(errors="replace")


class Titles:
    """The titles of a bundle, looked up in the file itself, as the ids are.

    Args:
        path: the file, already checked against the manifest.
        count: number of items that the manifest promises.

    Raises:
        BundleError: the file is missing, or has another number of lines.
    """

    def __init__(self, path: str | Path, count: int) -> None:
        self._lines = Vocabulary(path, count)

    def of(self, rows: Iterable[int]) -> list[str]:
        """The title of each row; "" of a row that has none, or is not of the file (0, or beyond its end).

        Raises:
            BundleError: a title is not UTF-8.
        """
        return [self._lines.ids([row])[0] if 1 <= row <= len(self._lines) else "" for row in rows]
