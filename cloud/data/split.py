# SPDX-License-Identifier: Apache-2.0
"""The one split of a log that everything after it uses (feature D1).

The cloud's part lies before the cut-off; vocabulary and counts are made of it alone. Of each user's later events the
first share is for the device to learn from and the rest is the test. This module knows nothing about files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.split import SPLITS, SplitConfig
from pocketrec.cloud.data.categories import Categories, build_categories
from pocketrec.cloud.data.cuts import heads_of, quantile_time, share_of
from pocketrec.cloud.data.log import Log
from pocketrec.cloud.data.privacy import necessary_part
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.sessions import by_gap
from pocketrec.cloud.data.vocabulary import Vocabulary, build_vocabulary
from pocketrec.device.base.errors import DataError


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
    the test. All 0 for kinds column and sessions."""
    cut_off: int | float | None
    """First time that is not seen by the cloud; None for kinds per_user and column, which have no such time."""
    personal: bool
    """Whether users have events to learn from; False for kinds column and sessions: then the global model alone is
    judged."""
    past: dict[str, Any]
    """Counts that follow from the events before the cut-off alone."""
    later: dict[str, Any]
    """Counts of the events after it."""
    categories: Categories | None = None
    """Of the items, where the log has any; made of the events before the cut-off."""
    necessary: Sequences | None = None
    """What the cloud may use of the later events that devices learn from; None where the log has no privacy classes."""

    @property
    def summary(self) -> dict[str, Any]:
        """All counts, flat."""
        return {**self.past, **self.later}


def split_log(log: Log, split: SplitConfig, data: DataConfig) -> Prepared:
    """Split a log as `split` says.

    Raises:
        ConfigError: `split.time` is neither a number nor a date.
        DataError: one side of the cut-off has no event, no item is frequent enough for the vocabulary, or no later
            event is business-necessary where some should be.
    """
    log = by_gap(log, split.gap) if split.gap else log
    early, cut_off = SPLITS.load(split.kind)(log, split)
    late = ~early
    if cut_off is not None:
        early = early & (log.timestamps < cut_off)  # what a session has after it is on neither side
    check_sides(int(early.sum()), int(late.sum()), cut_off, log.timestamps.min(), log.timestamps.max())
    vocabulary, counts, row_of = build_vocabulary(
        log.items.values, log.items.codes[early], log.timestamps[early], data.min_item_count
    )
    if not len(vocabulary):
        raise DataError(f"no item has {data.min_item_count} events before the cut-off: lower data.min_item_count")
    rows = row_of[log.items.codes]
    before = _part(log, rows, early & (rows > 0))
    after = _part(log, rows, late & (rows > 0))
    categories = None
    if log.categories is not None:
        past = np.where(early, rows, 0)
        categories = build_categories(log.categories.values, log.categories.codes, past, log.timestamps, counts)
    unknown = np.flatnonzero(late & (rows == 0))
    prepared = assemble(
        vocabulary, counts, before, after, categories, split,
        cut_off=cut_off, unknown=Unknown(int((early & (rows == 0)).sum()), len(unknown),
                                         len(np.unique(log.items.codes[unknown]))),
    )  # fmt: skip
    necessary, counted = necessary_part(log, late & (rows > 0), after, prepared.learn)
    return replace(prepared, necessary=necessary, later={**prepared.later, **counted})


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
    personal = split.personal
    learn = share_of(after.lengths, split.learn_share) if personal else np.zeros(len(after), np.int64)
    past = {
        "personal": personal,
        "cut_off": cut_off,
        "items": len(vocabulary),
        "events_before": before.events,
        "users_before": len(before),
        "one_event_users_before": int((before.lengths == 1).sum()),
        "unknown_before": unknown.before,
        **({"sessions": True} if split.of_sessions else {}),
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
    before: Sequences, quantile: float, *, per_user: bool = False, sessions: bool = False, learn_share: float = 0.5
) -> tuple[Sequences, Sequences, np.ndarray]:
    """Play the split again on the past: a second, earlier cut-off, with the same rules.

    Items that no user had before the earlier cut-off are left out of the later part, as unknown items are in the true
    split. Nothing but `before` is looked at.

    Args:
        before: events before the true cut-off.
        quantile: share of them that lies before the earlier one.
        per_user: cut each user's sequence by itself (for kind per_user) and not all at one time.
        sessions: each user is a session, which lies on the side where it began (for kind sessions); what it has after
            the earlier cut-off is left out.
        learn_share: share of each user's later events that the device learns from.

    Returns:
        earliest: what the early model is trained on; later: events between the two cut-offs; learn: int64
        (len(later),), number of first events of `later` to learn from, the rest is for judging.

    Raises:
        DataError: the past is too short to be cut again.
    """
    if per_user:
        earliest, later = before.cut_heads(heads_of(before.lengths, quantile))
    elif sessions:
        began = before.timestamps[before.offsets[:-1]]
        cut_off = quantile_time(np.repeat(began, before.lengths), quantile)
        earliest, later = before.select(began < cut_off).cut(cut_off)[0], before.select(began >= cut_off)
    else:
        earliest, later = before.cut(quantile_time(before.timestamps, quantile))
    later = later.keep(np.isin(later.items, earliest.items))
    if not earliest.events or not later.events:
        raise DataError("the events before the cut-off cannot be cut again for rehearsal: set rehearse.enabled=false")
    return earliest, later, share_of(later.lengths, learn_share)


def continued(earlier: Sequences, later: Sequences) -> tuple[Sequences, np.ndarray]:
    """The users of `later` with all that they had before.

    Args:
        earlier: events before a cut.
        later: events after it.

    Returns:
        Their whole sequences, and int64 [U], how many events of each lie before the cut.
    """
    context = earlier.select(np.isin(earlier.users, later.users))
    whole = context.followed_by(later)
    known = context.find_all(whole.users)
    first = np.where(known >= 0, context.lengths[known], 0) if len(context) else np.zeros(len(whole), np.int64)
    return whole, first


def _part(log: Log, rows: np.ndarray, chosen: np.ndarray) -> Sequences:
    return Sequences.build(log.users.values, log.users.codes[chosen], rows[chosen], log.timestamps[chosen])


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
