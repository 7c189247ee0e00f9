# SPDX-License-Identifier: Apache-2.0
"""What a split log can be known to be worth before anything is trained on it: refusals, and lines for the terminal."""

from __future__ import annotations

import numpy as np

from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.split import Prepared
from pocketrec.device.base.errors import DataError


def check_usable(prepared: Prepared) -> None:
    """Refuse a split log that no later stage could use.

    Raises:
        DataError: one item only, nobody with two known events to train on, or nobody who could be judged.
    """
    if len(prepared.vocabulary) < 2:
        raise DataError(
            "the events before the cut-off have one item only, so there is nothing to rank: name another data.item, "
            "lower data.min_item_count, or give a longer log"
        )
    if not (prepared.before.lengths > 1).any():
        raise DataError("no user has two known events before the cut-off: give a longer log or another cut-off")
    if prepared.personal:
        if not ((prepared.learn > 0) & (prepared.after.lengths > prepared.learn)).any():
            raise DataError("no user has both events to learn from and a known event to test: move the cut-off")
    elif not (prepared.after.lengths > 1).any():
        raise DataError("no event of the test part can be ranked: no user has two known events there: change [split]")


def masked_share(before: Sequences, after: Sequences, learn: np.ndarray, personal: bool) -> float:
    """Share of the test targets that their user has had before, which `EvaluateConfig.mask_seen` leaves out.

    Args:
        before: events before the cut-off; not looked at where `personal` is false, as the evaluation does not either.
        after: later events.
        learn: int64 (len(after),), number of first events of each user that are not targets.
        personal: false: the first event of each user is not a target.
    """
    judged = (learn > 0) & (after.lengths > learn) if personal else after.lengths > 1
    first = np.maximum(learn, 0 if personal else 1)
    targets = (after.positions() >= np.repeat(first, after.lengths)) & np.repeat(judged, after.lengths)
    if not targets.any():
        return 0.0
    earlier = np.repeat(after.find_all(before.users), before.lengths) if personal else np.zeros(0, np.int64)
    users = np.concatenate([earlier[earlier >= 0], after.event_users()])
    items = np.concatenate([before.items[: len(earlier)][earlier >= 0], after.items]).astype(np.int64)
    _, places = np.unique(users * (int(items.max()) + 1) + items, return_index=True)  # of each item's first event
    fresh = np.zeros(len(users), bool)
    fresh[places] = True
    return float((~fresh[-len(targets) :])[targets].mean())


def warnings(prepared: Prepared, evaluate: EvaluateConfig) -> list[str]:
    """Lines about what will make the figures say little."""
    if not evaluate.mask_seen:
        return []
    share = masked_share(prepared.before, prepared.after, prepared.learn, prepared.personal)
    if share < 0.5:
        return []
    part = f"{100 * share:.0f} % of the test targets"
    return [f"{part} are items that the user has had, which evaluate.mask_seen leaves out: set it to false"]
