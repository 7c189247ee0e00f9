# SPDX-License-Identifier: Apache-2.0
"""Table ``[data]``: which interaction log is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from pocketrec.cloud.config.checks import LATER, one_of, require

#: Names that a configuration may hold; a test compares them with what is there.
FORMATS: Final = ("auto", "csv", "tsv", "parquet", "inter", "taobao", "yoochoose", "movielens", "ratings")


@dataclass(frozen=True)
class DataConfig:
    """Which interaction log is read, and how its columns are named."""

    set: str = ""
    """Name of a data set (a folder under the data root), or ``synthetic``; empty when `path` names a file."""
    path: str = ""
    """A file, also packed with gzip, bz2, xz or as a zip of one file, or a folder of Parquet files; wins over `set`."""
    format: str = "auto"
    """auto, csv, tsv, parquet, inter (RecBole), taobao, yoochoose, movielens or ratings (user,item,rating,timestamp
    without a header, as Amazon's reviews are published)."""
    user: str = "user"
    """Column of the user (or session) id."""
    item: str = "item"
    """Column of the item id; any column will do, such as a category."""
    timestamp: str = "timestamp"
    """Column of the time: a number (any unit, larger is later) or an ISO 8601 date, also with slashes (2020/09/13) or a
    final UTC. Empty: there is none, the rows are in the order of time."""
    time_format: str = field(default="", metadata=LATER)
    """What times are written in, where they are something else: codes of strftime, such as ``%d/%m/%Y %H:%M``."""
    category: str = ""
    """Column of the item's category (``category`` in Taobao's file), by which items outside a small table share a row;
    empty = none. An item of several categories has the one that most of its events before the cut-off carry."""
    keep: dict[str, list[str]] = field(default_factory=dict)
    """Rows kept: column -> allowed values, such as ``behavior = ["buy"]``. Empty keeps all."""
    privacy: dict[str, list[str]] = field(default_factory=dict, metadata=LATER)
    """Events that the business needs anyway: column -> values, such as ``behavior = ["buy"]``. Of what comes after the
    cut-off the cloud then uses those alone (a retrained model beside the global one, and [refit]), and devices use all.
    Empty = no such classes."""
    max_bad_share: float = 0.01
    """Share of unreadable rows above which the log is refused, in [0, 1]."""
    min_item_count: int = 1
    """Items with fewer events before the cut-off are not in the vocabulary (row 0, unknown)."""
    share: float = field(default=1.0, metadata=LATER)
    """Share of the users (or sessions) that the global model trains on, a seeded sample, in (0, 1]: for logs of which
    a part says enough. Vocabulary, baselines, candidate sets and the evaluation have all."""
    synthetic: dict[str, Any] = field(default_factory=dict)
    """Arguments of the synthetic generator, where `set` is ``synthetic``."""

    def __post_init__(self) -> None:
        require(bool(self.set) != bool(self.path) or bool(self.path), "data", "name a `set` or a `path`")
        one_of(self.format, FORMATS, "data", "format")
        require(not self.time_format or "%" in self.time_format, "data", "time_format has codes such as %Y-%m-%d")
        require(not self.time_format or bool(self.timestamp), "data", "time_format needs a column, `timestamp`")
        require(0 <= self.max_bad_share <= 1, "data", "max_bad_share must lie in [0, 1]")
        require(0 < self.share <= 1, "data", "share must lie in (0, 1]")
        require(self.min_item_count >= 1, "data", "min_item_count must be at least 1")
        require(all(self.privacy.values()), "data", 'privacy names values for each column, such as behavior = ["buy"]')
