# SPDX-License-Identifier: Apache-2.0
"""Item ids of a bundle, looked up in the file itself: a catalogue of millions costs no memory of its own."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from pocketrec.device.base import held
from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract.names import PADDING

# Bytes that are looked through at a time, a multiple of every page size; then their pages are given back.
_CHUNK: Final = 1 << 18
# Lines for each kept offset: 4 million items need 4 thousand numbers.
_STRIDE: Final = 1024


class Vocabulary:
    """items.txt, in memory where it is small, else mapped: line i (from 1) is the id of item row i.

    Neither memory nor resident memory grows with the file: of its lines every 1,024th one's place is kept, and what is
    looked through is given back page by page.

    Args:
        path: the file, already checked against the manifest.
        count: number of lines that the manifest promises.

    Raises:
        BundleError: the file is missing, or has another number of lines.
    """

    def __init__(self, path: str | Path, count: int) -> None:
        try:
            self._text, self._watched = held.hold(path)
        except (OSError, ValueError):
            raise BundleError(f"no item ids in {path}: fetch or export the bundle again") from None
        lines, starts = 0, [0]
        for place, chunk in self._chunks():
            ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == 10)  # (n,), place of each line feed
            first = -lines % _STRIDE or _STRIDE  # of these, the one that ends a stride
            starts += (ends[first - 1 :: _STRIDE] + place + 1).tolist()
            lines += len(ends)
        if lines != count:
            raise BundleError(f"{path} has {lines} lines and not {count}: fetch or export the bundle again")
        # starts[k] is the place of line 1 + 1024 k; the last one is beyond the end.
        self._count, self._starts = count, [*starts, len(self._text) + 1]

    def __len__(self) -> int:
        return self._count

    def learn(self, items: Iterable[str], categories: Iterable[str]) -> None:
        """Nothing to do: every item has a row of its own, or none.

        See `pocketrec.device.contract.lean.LeanVocabulary`.
        """

    def are_items(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """bool: whether each row is an item's own; always."""
        return np.ones(len(rows), bool)

    def rows(self, ids: Iterable[str]) -> np.ndarray[Any, Any]:
        """int32: row of each id, 0 where it is unknown. At most one pass over the file, whatever the number of ids."""
        keys = [item.encode(errors="surrogatepass") for item in ids]  # what is not UTF-8 is not an item, and no error
        wanted = set(keys)
        found: dict[bytes, int] = {}
        before, rest = 0, b""  # lines before this chunk; the beginning of a line that it ends
        for _, chunk in self._chunks() if wanted else ():
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            for key in wanted.intersection(lines):
                found[key] = before + lines.index(key) + 1
            wanted -= found.keys()
            before += len(lines)
            if not wanted:
                break
        return np.array([found.get(key, PADDING) for key in keys], dtype=np.int32)

    def where(self, holds: Callable[[str], bool]) -> np.ndarray[Any, Any]:
        """int32: rows whose id passes, ascending; one pass over the file.

        Raises:
            BundleError: an id is not UTF-8.
        """
        found: list[int] = []
        before, rest = 0, b""
        for _, chunk in self._chunks():
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            try:
                found += [place for place, line in enumerate(lines, before + 1) if holds(line.decode())]
            except UnicodeDecodeError:
                raise BundleError("an item id is not UTF-8: fetch or export the bundle again") from None
            before += len(lines)
        return np.array(found, np.int32)

    def ids(self, rows: Iterable[int] | Sequence[int]) -> list[str]:
        """The id of each row.

        Raises:
            IndexError: a row is not in 1..N.
            BundleError: an id is not UTF-8.
        """
        texts = []
        if self._watched is not None:
            self._watched.check()
        for row in rows:
            if not 1 <= row <= self._count:
                raise IndexError(f"row {row} is not in 1..{self._count}")
            stride, line = divmod(row - 1, _STRIDE)
            lines = self._text[self._starts[stride] : self._starts[stride + 1]].split(b"\n", line + 1)
            try:
                texts.append(lines[line].decode())
            except UnicodeDecodeError:
                raise BundleError(f"the id of item {row} is not UTF-8: fetch or export the bundle again") from None
        return texts

    def _chunks(self) -> Iterator[tuple[int, bytes]]:
        """The file's bytes in order, each part with its place."""
        if self._watched is not None:
            self._watched.check()
        for place in range(0, len(self._text), _CHUNK):
            yield place, self._text[place : place + _CHUNK]
            if isinstance(self._text, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                self._text.madvise(mmap.MADV_DONTNEED, place, min(_CHUNK, len(self._text) - place))
