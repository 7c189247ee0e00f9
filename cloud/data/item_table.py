# SPDX-License-Identifier: Apache-2.0
"""Reading a table of items: CSV, TSV or Parquet, one row for each item.

This module knows columns and their texts, not which items have a row in a model. Bad input is a `DataError` of one
line that names the file, the line and what to do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.items import ItemsConfig
from pocketrec.cloud.data.location import data_root
from pocketrec.device.base.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ItemRows:
    """A table of items as read, in the order of the file."""

    ids: list[str]
    """Item ids, each once."""
    titles: list[str]
    """Titles; empty where there is no column."""
    categories: dict[str, list[list[str]]]
    """Column -> the categories of each item, each once."""
    numbers: dict[str, np.ndarray]
    """Column -> float64 [n]; NaN where the field is empty."""


def find_items(items: ItemsConfig, data: DataConfig) -> Path:
    """The file of `items.path`: as named, or in the folder of the data set.

    Raises:
        DataError: there is no such file.
    """
    named = Path(items.path).expanduser()
    beside = data_root() / data.set / items.path
    for path in (named, *([beside] if data.set and not data.path else [])):
        if path.is_file():
            return path
    raise DataError(f"no file {named}: correct items.path")


def read_items(path: Path, config: ItemsConfig) -> ItemRows:
    """Read the columns that the configuration names.

    Raises:
        DataError: the file cannot be read, a column is missing, an id is empty or there twice, or a number is none.
    """
    frame = _frame(path)
    columns = [config.item, *config.categories, *config.numbers, *([config.title] if config.title else [])]
    for name in columns:
        if name not in frame.columns:
            there = ", ".join(map(str, frame.columns[:12]))
            raise DataError(f"{path} has no column {name!r} (it has {there}): correct [items]")
    if not len(frame):
        raise DataError(f"{path} has no row: name another file with items.path")
    ids = _texts(frame[config.item])
    seen: dict[str, int] = {}
    for line, item in enumerate(ids, start=2):
        if not item or "\n" in item or "\r" in item or "\0" in item:
            raise DataError(f"{path}: the item id in line {line} is empty or has a line break: correct the file")
        if item in seen:
            raise DataError(f"{path}: item {item} is in lines {seen[item]} and {line}: keep one of them")
        seen[item] = line
    return ItemRows(
        ids,
        _texts(frame[config.title]) if config.title else [],
        {name: [_split(text, config.separator) for text in _texts(frame[name])] for name in config.categories},
        {name: _numbers(path, name, _texts(frame[name])) for name in config.numbers},
    )


def read_ids(path: Path, column: str) -> list[str]:
    """The item ids of a table, each once, in the order of the file.

    Raises:
        DataError: the file cannot be read, or has no such column.
    """
    frame = _frame(path)
    if column not in frame.columns:
        raise DataError(f"{path} has no column {column!r}: name one so, as items.item is")
    return list(dict.fromkeys(text for text in _texts(frame[column]) if text))


def _frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        if ".parquet" in path.suffixes:
            return pd.read_parquet(path)
        tabs = ".tsv" in path.suffixes
        return pd.read_csv(path, sep="\t" if tabs else ",", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ImportError as error:
        raise DataError(f"reading {path} needs pyarrow ({error}): pip install 'pyarrow<21'") from None
    except Exception as error:  # pandas and pyarrow raise kinds of their own
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"cannot read {path}: {first}: repair or replace the file") from None


def _texts(column: pd.Series) -> list[str]:
    """A column as text; whole numbers without a point, nothing as an empty text."""
    return [_text(value) for value in column.tolist()]


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _split(text: str, separator: str) -> list[str]:
    parts = text.split(separator) if separator else [text]
    return list(dict.fromkeys(part for part in (part.strip() for part in parts) if part))


def _numbers(path: Path, name: str, texts: list[str]) -> np.ndarray:
    values = np.full(len(texts), np.nan)
    for place, text in enumerate(texts):
        if not text:
            continue
        try:
            values[place] = float(text)
        except ValueError:
            values[place] = np.inf
        if not math.isfinite(values[place]):
            raise DataError(f"{path}: {name} in line {place + 2} is {text!r}, which is not a number: correct the file "
                            "or leave the column out of items.numbers")  # fmt: skip
    return values
