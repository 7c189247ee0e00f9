# SPDX-License-Identifier: Apache-2.0
"""The category of each item: what items outside a small table share a row by.

This module knows item rows and category ids, not where either comes from.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketrec.cloud.base.arrays import pack_texts, save_arrays, unpack_texts
from pocketrec.device.base.errors import DataError

_PART = 1 << 22  # events looked at at a time


@dataclass(frozen=True)
class Categories:
    """A category for each item row, made of the events before the cut-off alone.

    Categories are numbered from 1 in the order of decreasing events before the cut-off of their items (ties: by id);
    0 stands for no category.
    """

    ids: np.ndarray
    """object (C,): external ids as `str`; category c is `ids[c - 1]`. Each has at least one item."""
    of_row: np.ndarray
    """int32 (N+1,): category of each item row, 0 for row 0 and for items that have none."""

    def __len__(self) -> int:
        return len(self.ids)

    def save(self, path: str | Path) -> None:
        """Write an uncompressed .npz, atomically.

        Its members: ``id_bytes`` uint8 and ``id_offsets`` int64 (C+1,), the ids in UTF-8 one after another, id c - 1
        being ``id_bytes[id_offsets[c - 1]:id_offsets[c]]``; ``of_row`` int32 (N+1,), as here.

        Raises:
            StorageError: the file cannot be written.
        """
        raw, offsets = pack_texts(self.ids)
        save_arrays(path, {"id_bytes": raw, "id_offsets": offsets, "of_row": self.of_row})

    @staticmethod
    def load(path: str | Path) -> Categories:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                result = Categories(unpack_texts(file["id_bytes"], file["id_offsets"]), file["of_row"])
        except FileNotFoundError:
            raise DataError(f"no file {path}: run `pocketrec prepare` first") from None
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"cannot read {path} ({type(error).__name__}): run `pocketrec prepare` again") from None
        if len(result.of_row) and not 0 <= result.of_row.min() <= result.of_row.max() <= len(result):
            raise DataError(f"{path} does not fit together: run `pocketrec prepare` again")
        return result


def build_categories(
    ids: np.ndarray, codes: np.ndarray, rows: np.ndarray, timestamps: np.ndarray, counts: np.ndarray
) -> Categories:
    """Take for each item the category that most of its events carry (ties: the one seen first, then by id).

    Args:
        ids: object (V,), different category ids; an empty one does not count.
        codes: integer (n,), place of each event's category in `ids`, -1 where it has none.
        rows: int32 (n,), item row of each event; events with row 0 are passed over.
        timestamps: (n,), times of the events.
        counts: int64 (N+1,), events by item row; decides the numbers of the categories.
    """
    named = np.append([bool(text) for text in ids], False)
    parts = [slice(begin, begin + _PART) for begin in range(0, len(rows), _PART)]

    def known(part: slice) -> np.ndarray:
        return part.start + np.flatnonzero((rows[part] > 0) & named[codes[part]])

    chosen = np.full(len(counts), -1, np.int64)
    for part in parts:
        chosen[rows[known(part)]] = codes[known(part)]
    several = np.zeros(len(counts), bool)
    for part in parts:
        place = known(part)
        several[rows[place][chosen[rows[place]] != codes[place]]] = True
    several_of = (known(part) for part in parts)
    events = np.concatenate([place[several[rows[place]]] for place in several_of]) if parts else np.zeros(0, np.int64)
    if len(events):  # as a rule few: nearly every item has one category
        keys, place, number = np.unique(rows[events] * np.int64(len(ids)) + codes[events], return_inverse=True,
                                        return_counts=True)  # fmt: skip
        first = np.full(len(keys), timestamps[events].max())
        np.minimum.at(first, place, timestamps[events])
        item, code = keys // len(ids), keys % len(ids)
        rank = np.empty(len(ids), np.int64)
        rank[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
        best = np.lexsort((rank[code], first, -number, item))[::-1]  # the last written is the best of an item
        chosen[item[best]] = code[best]
    weight = np.bincount(chosen[chosen >= 0], counts[chosen >= 0], len(ids))
    used = np.unique(chosen[chosen >= 0])
    order = sorted(used.tolist(), key=lambda code: (-weight[code], ids[code]))
    number_of = np.zeros(len(ids) + 1, np.int32)
    number_of[order] = np.arange(1, len(order) + 1)
    names = np.empty(len(order), dtype=object)
    names[:] = [ids[code] for code in order]
    return Categories(names, number_of[chosen])
