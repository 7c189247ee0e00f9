# SPDX-License-Identifier: Apache-2.0
"""Table ``[items]``: what is known of items beside the log."""

from __future__ import annotations

from dataclasses import dataclass, field

from pocketrec.cloud.config.checks import require


@dataclass(frozen=True)
class ItemsConfig:
    """A table of items, one row for each: titles for people, and what `model.content` makes embeddings of."""

    path: str = ""
    """A file: CSV, TSV or Parquet, also packed; its name alone is enough for one in the folder of `data.set`. Empty =
    none."""
    item: str = "item"
    """Column of the item id, as the log has it."""
    title: str = ""
    """Column of the title, which the bundle carries and lists for people show; empty = none."""
    categories: list[str] = field(default_factory=list)
    """Columns of categories; a field may hold several, see `separator`."""
    separator: str = "|"
    """What lies between several categories in one field; empty = a field is one category."""
    numbers: list[str] = field(default_factory=list)
    """Columns of numbers, such as a price or a year; an empty field is a number that is missing."""

    def __post_init__(self) -> None:
        require(bool(self.item), "items", "item names the column of the item id")
        columns = [self.item, *self.categories, *self.numbers, *([self.title] if self.title else [])]
        require(len(set(columns)) == len(columns), "items", "a column is named twice")
        described = bool(self.categories or self.numbers or self.title)
        require(not self.path or described, "items", "name columns in title, categories or numbers")
        require(all(self.categories) and all(self.numbers), "items", "a column has an empty name")
