"""Table ``[data]``: which interaction log is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from pocketrec.cloud.config.checks import one_of, require

#: Names that a configuration may hold; a test compares them with what is there.
FORMATS: Final = ("auto", "csv", "tsv", "parquet", "inter", "taobao", "yoochoose", "movielens", "ratings")


@dataclass(frozen=True)
class DataConfig:
    """Which interaction log is read, and how its columns are named."""

    set: str = ""
    """Name of a data set (a folder under the data root), or ``synthetic``; empty when `path` names a file."""
    path: str = ""
    """A file; wins over `set`."""
    format: str = "auto"
    """auto, csv, tsv, parquet, inter (RecBole), taobao, yoochoose, movielens or ratings (user,item,rating,timestamp
    without a header, as Amazon's reviews are published)."""
    user: str = "user"
    """Column of the user (or session) id."""
    item: str = "item"
    """Column of the item id; any column will do, such as a category."""
    timestamp: str = "timestamp"
    """Column of the time: a number (any unit, larger is later) or an ISO 8601 date."""
    category: str = ""
    """Column of the item's category (``category`` in Taobao's file), by which items outside a small table share a row;
    empty = none. An item of several categories has the one that most of its events before the cut-off carry."""
    keep: dict[str, list[str]] = field(default_factory=dict)
    """Rows kept: column -> allowed values, such as ``behavior = ["buy"]``. Empty keeps all."""
    max_bad_share: float = 0.01
    """Share of unreadable rows above which the log is refused, in [0, 1]."""
    min_item_count: int = 1
    """Items with fewer events before the cut-off are not in the vocabulary (row 0, unknown)."""
    synthetic: dict[str, Any] = field(default_factory=dict)
    """Arguments of the synthetic generator, where `set` is ``synthetic``."""

    def __post_init__(self) -> None:
        require(bool(self.set) != bool(self.path) or bool(self.path), "data", "name a `set` or a `path`")
        one_of(self.format, FORMATS, "data", "format")
        require(0 <= self.max_bad_share <= 1, "data", "max_bad_share must lie in [0, 1]")
        require(self.min_item_count >= 1, "data", "min_item_count must be at least 1")
