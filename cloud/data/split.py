"""The one split of a log that everything after it uses (feature D1).

The cloud's part lies before the cut-off; vocabulary and counts are made of it alone. Of each user's later events the
first share is for the device to learn from and the rest is the test. This module knows nothing about files.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.data.categories import Categories, build_categories
from pocketrec.cloud.data.log import Log
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.times import iso_date
from pocketrec.cloud.data.vocabulary import Vocabulary, build_vocabulary
from pocketrec.device.base.errors import ConfigError, DataError

TINY = 1e-9  # so that .3 of 10 events is 3 and not 2.9999999999999996


@dataclass(frozen=True)
class Prepared:
    """A split log. Unknown items (no row in the vocabulary) are in no sequence; `later` counts them."""

    vocabulary: Vocabulary
    """Items before the cut-off, in the order of popularity."""
    counts: np.ndarray
    """int64 (N+1,): events before the cut-off by item row; 0 for row 0."""
    before: Sequences
    """Events before the cut-off: all that the cloud sees."""
    after: Sequences
    """Events at or after the cut-off."""
    learn: np.ndarray
    """int64 (len(after),): number of first events of each user in `after` that the device learns from; the rest is
    the test. All 0 for kind column."""
    cut_off: int | float | None
    """First time that is not seen by the cloud; None for kinds per_user and column, which have no such time."""
    personal: bool
    """Whether users have events to learn from; False for kind column: then the global model alone is judged."""
    past: dict[str, Any]
    """Counts that follow from the events before the cut-off alone."""
    later: dict[str, Any]
    """Counts of the events after it."""
    categories: Categories | None = None
    """Of the items, where the log has any; made of the events before the cut-off."""

    @property
    def summary(self) -> dict[str, Any]:
        """All counts, flat."""
        return {**self.past, **self.later}


def split_log(log: Log, split: SplitConfig, data: DataConfig) -> Prepared:
    """Split a log as `split` says.

    Raises:
        ConfigError: `split.time` is neither a number nor a date.
        DataError: one side of the cut-off has no event, or no item is frequent enough for the vocabulary.
    """
    early, cut_off = _early(log, split)
    check_sides(int(early.sum()), int((~early).sum()), cut_off, log.timestamps.min(), log.timestamps.max())
    vocabulary, counts, row_of = build_vocabulary(
        log.items.values, log.items.codes[early], log.timestamps[early], data.min_item_count
    )
    if not len(vocabulary):
        raise DataError(f"no item has {data.min_item_count} events before the cut-off: lower data.min_item_count")
    rows = row_of[log.items.codes]
    before = _part(log, rows, early & (rows > 0))
    after = _part(log, rows, ~early & (rows > 0))
    categories = None
    if log.categories is not None:
        past = np.where(early, rows, 0)
        categories = build_categories(log.categories.values, log.categories.codes, past, log.timestamps, counts)
    unknown = np.flatnonzero(~early & (rows == 0))
    return assemble(
        vocabulary, counts, before, after, categories, split,
        cut_off=cut_off, unknown=Unknown(int((early & (rows == 0)).sum()), len(unknown),
                                         len(np.unique(log.items.codes[unknown]))),
    )  # fmt: skip


@dataclass(frozen=True)
class Unknown:
    """What has no row in the vocabulary, and so is in no sequence."""

    before: int
    """Events before the cut-off."""
    after: int
    """Later events."""
    items_after: int
    """Items of the later events."""


def assemble(
    vocabulary: Vocabulary,
    counts: np.ndarray,
    before: Sequences,
    after: Sequences,
    categories: Categories | None,
    split: SplitConfig,
    *,
    cut_off: int | float | None,
    unknown: Unknown,
) -> Prepared:
    """Put the parts of a split log together and count them; the arguments are those of `Prepared`."""
    personal = split.kind != "column"
    learn = _share(after.lengths, split.learn_share) if personal else np.zeros(len(after), np.int64)
    past = {
        "personal": personal,
        "cut_off": cut_off,
        "items": len(vocabulary),
        "events_before": before.events,
        "users_before": len(before),
        "one_event_users_before": int((before.lengths == 1).sum()),
        "unknown_before": unknown.before,
    }
    old = before.find_all(after.users) >= 0
    later = {
        "events_after": after.events,
        "users_after": len(after),
        "users_old": int(old.sum()),
        "users_new": int((~old).sum()),
        "one_event_users_after": int((after.lengths == 1).sum()),
        "events_learn": int(learn.sum()),
        "events_test": int(after.events - learn.sum()),
        "unknown_after": unknown.after,
        "unknown_items_after": unknown.items_after,
    }
    return Prepared(vocabulary, counts, before, after, learn, cut_off, personal, past, later, categories)


def rehearsal_split(
    before: Sequences, quantile: float, *, per_user: bool = False, learn_share: float = 0.5
) -> tuple[Sequences, Sequences, np.ndarray]:
    """Play the split again on the past: a second, earlier cut-off, with the same rules.

    Items that no user had before the earlier cut-off are left out of the later part, as unknown items are in the true
    split. Nothing but `before` is looked at.

    Args:
        before: events before the true cut-off.
        quantile: share of them that lies before the earlier one.
        per_user: cut each user's sequence by itself (for kind per_user) and not all at one time.
        learn_share: share of each user's later events that the device learns from.

    Returns:
        earliest: what the early model is trained on; later: events between the two cut-offs; learn: int64
        (len(later),), number of first events of `later` to learn from, the rest is for judging.

    Raises:
        DataError: the past is too short to be cut again.
    """
    if per_user:
        earliest, later = before.cut_heads(_heads(before.lengths, quantile))
    else:
        earliest, later = before.cut(quantile_time(before.timestamps, quantile))
    later = later.keep(np.isin(later.items, earliest.items))
    if not earliest.events or not later.events:
        raise DataError("the events before the cut-off cannot be cut again for rehearsal: set rehearse.enabled=false")
    return earliest, later, _share(later.lengths, learn_share)


def quantile_time(timestamps: np.ndarray, quantile: float) -> int | float:
    """The time of the event at a quantile of all events, counted from the earliest; the first that lies after."""
    place = quantile_place(len(timestamps), quantile)
    value: int | float = np.partition(timestamps, place)[place].item()
    return value


def quantile_place(events: int, quantile: float) -> int:
    """Place of the cut-off among so many sorted times."""
    return min(int(events * quantile + TINY), events - 1)


def _early(log: Log, split: SplitConfig) -> tuple[np.ndarray, int | float | None]:
    """bool (n,): which events the cloud sees; and the cut-off, where there is one for all."""
    if split.kind == "column":
        if log.labels is None:
            raise ConfigError("this log has no split column: use split.kind quantile, time or per_user")
        return ~log.labels.isin(split.test_values), None
    if split.kind == "per_user":
        sequences = Sequences.build(log.users.values, log.users.codes, np.arange(len(log)), log.timestamps)
        early = np.zeros(len(log), bool)
        heads = _heads(sequences.lengths, split.quantile)
        early[sequences.items[sequences.positions() < np.repeat(heads, sequences.lengths)]] = True
        return early, None
    cut_off = _cut_off(log, split)
    return log.timestamps < cut_off, cut_off


def _cut_off(log: Log, split: SplitConfig) -> int | float:
    if split.kind == "quantile":
        return quantile_time(log.timestamps, split.quantile)
    return parse_cut_off(split.time, lambda: float(np.median(np.abs(log.timestamps))))


def _part(log: Log, rows: np.ndarray, chosen: np.ndarray) -> Sequences:
    return Sequences.build(log.users.values, log.users.codes[chosen], rows[chosen], log.timestamps[chosen])


def _share(lengths: np.ndarray, share: float) -> np.ndarray:
    """int64: the number that is this share of each length, rounded down."""
    return np.floor(lengths * share + TINY).astype(np.int64)


def _heads(lengths: np.ndarray, quantile: float) -> np.ndarray:
    """int64: events of each user before a cut of its own; at least one."""
    return np.maximum(1, _share(lengths, quantile))


def parse_cut_off(text: str, typical: Callable[[], float]) -> int | float:
    """`SplitConfig.time` in the unit of the log: a number as it stands, a date in unix time.

    Args:
        text: the configured value.
        typical: the median of the log's absolute times, asked for where a date needs a unit.

    Raises:
        ConfigError: it is neither.
    """
    try:
        number = float(text)
        if not math.isfinite(number):
            raise ConfigError(f"split.time {text!r} is not a finite number: give a time of the log")
        return int(number) if number.is_integer() else number
    except ValueError:
        pass
    try:
        date = datetime.datetime.fromisoformat(iso_date(text))
    except ValueError:
        what = f"split.time {text!r} is neither a number nor an ISO 8601 date"
        raise ConfigError(f"{what}: write it as 2020-09-13T12:00:00") from None
    seconds = (date if date.tzinfo else date.replace(tzinfo=datetime.UTC)).timestamp()
    size = typical()
    scale = 1 if size < 1e11 else 1e3 if size < 1e14 else 1e6 if size < 1e17 else 1e9  # s, ms, us or ns
    return int(seconds * scale) if (seconds * scale).is_integer() else seconds * scale


def check_sides(before: int, after: int, cut_off: int | float | None, first: int | float, last: int | float) -> None:
    """See that both sides of the cut-off have events; `first` and `last` are the log's first and last time.

    Raises:
        DataError: one has none.
    """
    if before and after:
        return
    where = "" if cut_off is None else f" {cut_off} (the log runs from {first} to {last})"
    side = "after" if before else "before"
    raise DataError(f"the split leaves no event {side} the cut-off{where}: change [split]")
