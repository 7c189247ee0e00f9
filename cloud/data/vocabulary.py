# SPDX-License-Identifier: Apache-2.0
"""Which item ids have a row, and which row that is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pocketrec.device.base.errors import DataError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.contract.names import PADDING


@dataclass(frozen=True)
class Vocabulary:
    """External item ids in row order: row 1 is `ids[0]`. Row 0 is padding, and stands for every unknown id.

    Rows are in the order of decreasing count before the cut-off (ties: first seen, then id), so that the row order
    is the order of popularity.
    """

    ids: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {item: row for row, item in enumerate(self.ids, start=1)}

    def row(self, item: str) -> int:
        """Row of one id, 0 where it is unknown."""
        return self._rows.get(item, PADDING)

    def rows(self, items: Iterable[str]) -> np.ndarray:
        """int32: row of each id, 0 where it is unknown."""
        rows = self._rows
        return np.fromiter((rows.get(item, PADDING) for item in items), np.int32)

    @property
    def sha256(self) -> str:
        """SHA-256 of the file that `save` writes, 64 hexadecimal digits."""
        return hashlib.sha256(self._bytes()).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write one id a line, UTF-8, each line ended with a line feed; line i is row i.

        Raises:
            StorageError: the file cannot be written.
        """
        write_atomic(path, self._bytes())

    @staticmethod
    def load(path: str | Path) -> Vocabulary:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, cut short, not UTF-8, or holds an id twice.
        """
        try:
            text = Path(path).read_bytes().decode("utf-8")
        except FileNotFoundError:
            raise DataError(f"no file {path}: run `pocketrec prepare` first") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read {path} ({type(error).__name__}): run `pocketrec prepare` again") from None
        *ids, rest = text.split("\n")  # not splitlines: an id may hold any other separator that Unicode knows
        if rest or len(set(ids)) != len(ids):
            raise DataError(f"{path} is cut short or holds an item twice: run `pocketrec prepare` again")
        return Vocabulary(ids)

    def _bytes(self) -> bytes:
        return "".join(f"{item}\n" for item in self.ids).encode("utf-8")


def build_vocabulary(
    ids: np.ndarray, codes: np.ndarray, timestamps: np.ndarray, min_count: int = 1
) -> tuple[Vocabulary, np.ndarray, np.ndarray]:
    """Make the vocabulary of some events.

    Args:
        ids: object (V,), different item ids.
        codes: integer (n,), place of each event's item in `ids`.
        timestamps: (n,), times of the events; decides between items of equal count.
        min_count: items with fewer events get no row.

    Returns:
        The vocabulary; counts int64 (N+1,) by row, 0 for row 0; row_of int32 (V,), the row of each of `ids` or 0.
    """
    counts = np.bincount(codes, minlength=len(ids))
    first = np.full(len(ids), np.inf if timestamps.dtype.kind == "f" else np.iinfo(np.int64).max, timestamps.dtype)
    np.minimum.at(first, codes, timestamps)
    chosen = np.flatnonzero(counts >= max(min_count, 1))
    chosen = chosen[sorted(range(len(chosen)), key=[ids[i] for i in chosen].__getitem__)]
    chosen = chosen[np.lexsort((first[chosen], -counts[chosen]))]  # stable: the id decides last
    row_of = np.zeros(len(ids), np.int32)
    row_of[chosen] = np.arange(1, len(chosen) + 1)
    return Vocabulary([ids[i] for i in chosen]), np.concatenate([[0], counts[chosen]]).astype(np.int64), row_of
