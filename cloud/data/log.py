# SPDX-License-Identifier: Apache-2.0
"""An interaction log in memory: what every reader and the synthetic generator give, and every split takes.

This module knows nothing about files, cut-offs or models.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Labels:
    """A column of strings, each different string held once."""

    values: np.ndarray
    """object (V,): the different strings, as `str`."""
    codes: np.ndarray
    """Integer (n,), int32 as a rule: place of each event's string in `values`; -1 where the field is empty."""

    faults: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Place in `values` -> why the string cannot be an id, and the string as it may be shown; `values` has "" there,
    unless it could be read as text."""

    def isin(self, wanted: list[str]) -> np.ndarray:
        """bool (n,): which events carry one of `wanted`."""
        allowed = set(wanted)
        found = np.fromiter((value in allowed for value in self.values), bool, len(self.values))
        return np.append(found, False)[self.codes]

    def take(self, chosen: np.ndarray) -> Labels:
        """The column at the events `chosen` (mask or indices); `values` stays whole."""
        return Labels(self.values, self.codes[chosen], self.faults)


@dataclass(frozen=True)
class Reason:
    """Rows left out for one reason."""

    column: str
    """Column whose value is at fault; empty where the row as a whole is."""
    why: str
    """What is wrong, such as ``is empty or missing``."""
    rows: int
    """Number of rows."""
    lines: list[int]
    """Line numbers of the first few."""
    value: str = ""
    """The value in the first of them, as it may be shown; empty where there is none."""


@dataclass(frozen=True)
class Details:
    """What reading found, for people."""

    unit: str = "line"
    """What line numbers count: line (of a text, from 1) or row (of Parquet, from 1; over part files in order)."""
    bad: list[Reason] = field(default_factory=list)
    """Why rows are bad: each row once, the most frequent reason first."""
    filtered: list[Reason] = field(default_factory=list)
    """Which filter left rows out."""
    duplicate_lines: list[int] = field(default_factory=list)
    """Lines of the first few events that equal an earlier one."""
    notes: list[str] = field(default_factory=list)
    """What was done about what could be meant otherwise."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(content: dict[str, Any]) -> Details:
        """The inverse of `to_dict`."""
        reasons = {name: [Reason(**entry) for entry in content[name]] for name in ("bad", "filtered")}
        return Details(**{**content, **reasons})


@dataclass(frozen=True)
class ReadReport:
    """What reading a log found. Counts are of rows of the file."""

    source: str = ""
    """The file, or ``synthetic``."""
    rows: int = 0
    """Rows read, without the header and empty lines."""
    events: int = 0
    """Rows that became events."""
    bad: int = 0
    """Rows left out: too many fields, an empty or unusable id, an unreadable time."""
    bad_lines: list[int] = field(default_factory=list)
    """Line numbers (the first line of the file is 1) of the first few bad rows."""
    filtered: int = 0
    """Good rows left out by `DataConfig.keep`."""
    duplicates: int = 0
    """Events with the user, item and time of another event. They are kept: two clicks in one tick are two."""

    details: Details = field(default_factory=Details)
    """Reasons and notes."""

    def to_dict(self) -> dict[str, Any]:
        """The counts as plain values, ready for JSON; without `details`."""
        counts = asdict(self)
        del counts["details"]
        return counts


@dataclass(frozen=True)
class Log:
    """Events in the order of their source; nothing is sorted and nothing is dropped here."""

    users: Labels
    """User (or session) of each event."""
    items: Labels
    """Item of each event."""
    timestamps: np.ndarray
    """int64 or float64 (n,), finite; larger is later. Dates are unix seconds."""
    labels: Labels | None = None
    """The log's own split, where one was asked for."""
    report: ReadReport = field(default_factory=ReadReport)
    """What reading found."""
    categories: Labels | None = None
    """Category of each event's item, where one was asked for; code -1 where there is none."""
    necessary: np.ndarray | None = None
    """bool (n,): whether the cloud may use the event after the cut-off (`DataConfig.privacy`); None = no classes."""

    def __len__(self) -> int:
        return len(self.timestamps)

    def take(self, kept: np.ndarray) -> Log:
        """The events of a mask, bool (n,); the report is that of the whole."""
        return replace(
            self, users=self.users.take(kept), items=self.items.take(kept), timestamps=self.timestamps[kept],
            labels=self.labels.take(kept) if self.labels else None,
            categories=self.categories.take(kept) if self.categories else None,
            necessary=None if self.necessary is None else self.necessary[kept],
        )  # fmt: skip
