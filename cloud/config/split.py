# SPDX-License-Identifier: Apache-2.0
"""Table ``[split]``: where the past ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from pocketrec.cloud.config.checks import LATER, at_least, require
from pocketrec.cloud.config.section import Section
from pocketrec.device.base.choices import Choice, Table

SPLITS: Final = Table(
    "split.kind",
    {
        "quantile": Choice(
            "pocketrec.cloud.data.splits.quantile:early", "one time for all, at a quantile of the events"
        ),
        "time": Choice("pocketrec.cloud.data.splits.time:early", "one time for all, a given one"),
        "column": Choice("pocketrec.cloud.data.splits.column:early", "the log's own split, the value of a column"),
        "per_user": Choice(
            "pocketrec.cloud.data.splits.per_user:early",
            "the last share of each user's events; for logs that have only an order",
        ),
        "sessions": Choice(
            "pocketrec.cloud.data.splits.sessions:early",
            "one time for all, at a quantile of the events; each session lies on the side where it began; for sessions "
            "that never come back, so that nothing is personal",
        ),
    },
)


@dataclass(frozen=True)
class SplitConfig(Section):
    """Where the past ends: what the cloud may see, what the device learns from, what is tested."""

    kind: str = "quantile"
    """Which events lie before the cut-off."""
    quantile: float = 0.8
    """Share of the events before the cut-off, for kinds quantile, per_user and sessions; in (0, 1)."""
    time: str = ""
    """Cut-off for kind time: a number in the log's unit or an ISO 8601 date, quoted or not."""
    column: str = "split"
    """Column of the log's own split, for kind column."""
    test_values: list[str] = field(default_factory=lambda: ["test"])
    """Values of `column` that mark the test part; every other row is training."""
    learn_share: float = 0.5
    """Share of each user's later events that the device learns from; the rest is the test. Ignored for kinds column
    and sessions."""
    gap: float = field(default=0.0, metadata=LATER)
    """For kind sessions, seconds without an event after which a user's next event begins another session; 0: each id of
    `data.user` is one session."""
    anonymous: bool = field(default=False, metadata=LATER)
    """For kind column: ids of `data.user` are sessions that never come back, as always for kind sessions. There are no
    candidate sets then, which nobody would fetch, and reports speak of sessions."""

    SECTION: ClassVar[str] = "split"
    CHOICES: ClassVar = {"kind": SPLITS}

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.quantile < 1, "split", "quantile must lie in (0, 1)")
        require(0 < self.learn_share < 1, "split", "learn_share must lie in (0, 1)")
        require(self.kind != "time" or bool(self.time), "split", "kind time needs `time`")
        at_least(0, self, "split", "gap")
        require(not self.gap or self.kind == "sessions", "split", "gap needs kind sessions")
        require(not self.anonymous or not self.personal, "split", "anonymous needs kind column or sessions")

    @property
    def personal(self) -> bool:
        """Whether users come back, so that devices have events to learn from."""
        return self.kind not in ("column", "sessions")

    @property
    def of_sessions(self) -> bool:
        """Whether ids are sessions that never come back."""
        return self.kind == "sessions" or self.anonymous
