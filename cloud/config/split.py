"""Table ``[split]``: where the past ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from pocketrec.cloud.config.checks import one_of, require


@dataclass(frozen=True)
class SplitConfig:
    """Where the past ends: what the cloud may see, what the device learns from, what is tested."""

    kind: str = "quantile"
    """quantile (one time for all, at a quantile of the events), time (a given time), column (the log's own split),
    or per_user (the last share of each user's events; for logs that have only an order)."""
    quantile: float = 0.8
    """Share of the events before the cut-off, for kinds quantile and per_user; in (0, 1)."""
    time: str = ""
    """Cut-off for kind time: a number in the log's unit or an ISO 8601 date, quoted or not."""
    column: str = "split"
    """Column of the log's own split, for kind column."""
    test_values: list[str] = field(default_factory=lambda: ["test"])
    """Values of `column` that mark the test part; every other row is training."""
    learn_share: float = 0.5
    """Share of each user's later events that the device learns from; the rest is the test. Ignored for kind column."""

    def __post_init__(self) -> None:
        one_of(self.kind, ("quantile", "time", "column", "per_user"), "split", "kind")
        require(0 < self.quantile < 1, "split", "quantile must lie in (0, 1)")
        require(0 < self.learn_share < 1, "split", "learn_share must lie in (0, 1)")
        require(self.kind != "time" or bool(self.time), "split", "kind time needs `time`")
