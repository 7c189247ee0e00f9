# SPDX-License-Identifier: Apache-2.0
"""What items are made of, as numbers: categories as a set of values, numbers normalised, with a flag where missing.

All statistics (which values there are, mean and standard deviation of each number) come from items with an event
before the cut-off only; other items are described in the same terms. This module knows nothing about models.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pocketrec.cloud.base.arrays import pack_texts, save_arrays, unpack_texts
from pocketrec.cloud.data.item_table import ItemRows
from pocketrec.device.base.errors import DataError

#: A normalised number beyond this many standard deviations is cut off there.
LIMIT: Final = 4.0


@dataclass(frozen=True)
class FeatureSpace:
    """The terms in which items are described."""

    values: np.ndarray
    """object [V]: ``column=category`` of each value; value v is number v + 1 in `ItemFeatures.values`."""
    numbers: np.ndarray
    """object [D]: columns of numbers."""
    mean: np.ndarray
    """float64 [D]."""
    deviation: np.ndarray
    """float64 [D], above 0."""

    @property
    def size(self) -> int:
        """F: length of an item's features as one vector: a place for each value, each number and each flag."""
        return len(self.values) + 2 * len(self.numbers)


@dataclass(frozen=True)
class ItemFeatures:
    """Features of n items (of a model: n = N + 1 rows, row 0 padding and without features)."""

    space: FeatureSpace
    """The terms."""
    values: np.ndarray
    """int32 [n, M]: numbers of an item's values from 1, padded with 0; M is at least 1."""
    numbers: np.ndarray
    """float32 [n, 2 D]: each number, normalised and 0 where missing, then for each 1 where it is missing."""

    def __len__(self) -> int:
        """Number n of items."""
        return len(self.values)

    def known(self) -> np.ndarray:
        """bool [n]: whether anything is known of an item."""
        count = len(self.space.numbers)
        return (self.values > 0).any(axis=1) | (self.numbers[:, count:] < 1).any(axis=1)

    def dense(self) -> np.ndarray:
        """float32 [n, F]: one vector an item: 1 for each of its values, its numbers, its flags."""
        found = np.zeros((len(self), len(self.space.values) + 1), np.float32)
        found[np.arange(len(self))[:, None], self.values] = 1
        return np.concatenate([found[:, 1:], self.numbers], axis=1)

    def save(self, path: str | Path) -> None:
        """Write an .npz without pickled objects, atomically.

        Raises:
            StorageError: the file cannot be written.
        """
        arrays = {"values": self.values, "numbers": self.numbers, "mean": self.space.mean,
                  "deviation": self.space.deviation}  # fmt: skip
        for name, texts in (("value", self.space.values), ("column", self.space.numbers)):
            arrays[f"{name}_bytes"], arrays[f"{name}_offsets"] = pack_texts(texts)
        save_arrays(path, arrays)

    @staticmethod
    def load(path: str | Path) -> ItemFeatures:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                texts = {name: unpack_texts(file[f"{name}_bytes"], file[f"{name}_offsets"])
                         for name in ("value", "column")}  # fmt: skip
                space = FeatureSpace(texts["value"], texts["column"], file["mean"], file["deviation"])
                return ItemFeatures(space, file["values"], file["numbers"])
        except FileNotFoundError:
            raise DataError(f"no file {path}: run `pocketrec prepare` first") from None
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"cannot read {path} ({type(error).__name__}): run `pocketrec prepare` again") from None


def feature_space(table: ItemRows, past: set[str]) -> FeatureSpace:
    """The terms of a table of items.

    Args:
        table: the items.
        past: ids of the items that had an event before the cut-off; no other is looked at.
    """
    chosen = [place for place, item in enumerate(table.ids) if item in past]
    values = sorted({f"{name}={value}" for name, column in table.categories.items() for place in chosen
                     for value in column[place]})  # fmt: skip
    names = list(table.numbers)
    mean, deviation = np.zeros(len(names)), np.ones(len(names))
    for place, name in enumerate(names):
        known = table.numbers[name][chosen]
        known = known[~np.isnan(known)]
        if len(known):
            mean[place], deviation[place] = known.mean(), known.std() or 1.0
    return FeatureSpace(_objects(values), _objects(names), mean, deviation)


def describe(table: ItemRows, space: FeatureSpace, ids: list[str], width: int = 1) -> ItemFeatures:
    """Features of some items in given terms; an item that the table does not have has none.

    Args:
        table: the items.
        space: the terms; categories that are not in it are left out.
        ids: the items wanted, in this order; an empty id has no features.
        width: M, at least; grows where an item has more values.

    Returns:
        Features [len(ids)].
    """
    number_of = {value: number for number, value in enumerate(space.values, start=1)}
    place_of = {item: place for place, item in enumerate(table.ids)}
    places = np.array([place_of.get(item, -1) for item in ids], np.int64)
    lists = [[number_of[value] for name, column in table.categories.items() for text in column[place]
              if (value := f"{name}={text}") in number_of] if place >= 0 else []
             for place in places.tolist()]  # fmt: skip
    values = np.zeros((len(ids), max([width, 1, *map(len, lists)])), np.int32)
    for row, found in zip(values, lists, strict=True):
        row[: len(found)] = found
    count = len(space.numbers)
    numbers = np.zeros((len(ids), 2 * count), np.float32)
    for column, name in enumerate(space.numbers):
        raw = np.append(table.numbers[name], np.nan)[places]
        missing = np.isnan(raw)
        normal = (raw - space.mean[column]) / space.deviation[column]
        numbers[:, column] = np.where(missing, 0, np.clip(normal, -LIMIT, LIMIT))
        numbers[:, count + column] = missing
    return ItemFeatures(space, values, numbers)


def features_of_vocabulary(table: ItemRows, ids: list[str]) -> ItemFeatures:
    """Features of the items of a vocabulary, which all had an event before the cut-off; row 0 has none.

    Raises:
        DataError: the table has none of them.
    """
    past = set(ids)
    if past.isdisjoint(table.ids):
        raise DataError("[items] names a file that has none of the log's items: is items.item the id of the log?")
    found = describe(table, feature_space(table, past), ["", *ids])
    found.numbers[0] = 0
    return found


def _objects(texts: list[str]) -> np.ndarray:
    found = np.empty(len(texts), dtype=object)
    found[:] = texts
    return found
