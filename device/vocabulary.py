"""Item ids of a bundle, looked up in the file itself: a catalogue of millions costs no memory of its own."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.device.contract import PADDING
from pocketrec.device.errors import BundleError


class Vocabulary:
    """items.txt, memory-mapped: line i (from 1) is the id of item row i.

    Args:
        path: the file, already checked against the manifest.
        count: number of lines that the manifest promises.

    Raises:
        BundleError: the file is missing, or has another number of lines.
    """

    def __init__(self, path: str | Path, count: int) -> None:
        try:
            with open(path, "rb") as file:
                self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            raise BundleError(f"no item ids in {path}: fetch or export the bundle again") from None
        ends = np.flatnonzero(np.frombuffer(self._text, np.uint8) == 10)  # (N,), place of each line feed
        if len(ends) != count:
            raise BundleError(f"{path} has {len(ends)} lines and not {count}: fetch or export the bundle again")
        self._ends = ends.astype(np.uint32 if len(self._text) < 2**32 else np.uint64)

    def __len__(self) -> int:
        return len(self._ends)

    def learn(self, items: Iterable[str], categories: Iterable[str]) -> None:
        """Nothing to do: every item has a row of its own, or none. See `pocketrec.device.lean.LeanVocabulary`."""

    def are_items(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """bool: whether each row is an item's own; always."""
        return np.ones(len(rows), bool)

    def rows(self, ids: Iterable[str]) -> np.ndarray[Any, Any]:
        """int32: row of each id, 0 where it is unknown. One pass over the file, whatever the number of ids."""
        keys = [item.encode(errors="surrogatepass") for item in ids]  # what is not UTF-8 is no item, and no error
        wanted = set(keys)
        found: dict[bytes, int] = {}
        self._text.seek(0)
        for row, line in enumerate(iter(self._text.readline, b""), start=1):
            if (key := line[:-1]) in wanted:
                found[key] = row
                if len(found) == len(wanted):
                    break
        return np.array([found.get(key, PADDING) for key in keys], dtype=np.int32)

    def ids(self, rows: Iterable[int] | Sequence[int]) -> list[str]:
        """The id of each row.

        Raises:
            IndexError: a row is not in 1..N.
        """
        texts = []
        for row in rows:
            if not 1 <= row <= len(self._ends):
                raise IndexError(f"row {row} is not in 1..{len(self._ends)}")
            start = int(self._ends[row - 2]) + 1 if row > 1 else 0
            texts.append(self._text[start : int(self._ends[row - 1])].decode())
        return texts
