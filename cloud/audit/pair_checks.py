# SPDX-License-Identifier: Apache-2.0
"""Checks of who and what stands on both sides, without regard to time."""

from __future__ import annotations

from typing import Final

import numpy as np

from pocketrec.cloud.audit.case import Case
from pocketrec.cloud.audit.finding import FAIL, INFO, OK, WARN, Finding

BOTS: Final = 0.999
EDGE: Final = 10  # items (users) with exactly the least count that make the least count a filter and no chance


def known_positives(case: Case) -> Finding:
    """Test pairs that training has."""
    number = int(np.isin(case.test_pairs, case.train_pairs, assume_unique=True).sum())
    verdict = INFO
    if number and case.parts.new_items_only:
        verdict = FAIL
    elif number and case.parts.masks_seen:
        verdict = WARN
    words = " These targets are masked, so every system misses them." if verdict == WARN else ""
    return Finding(verdict, f"{number:,} of {len(case.test_pairs):,} test pairs of user and item are training pairs "
                   f"too.{words}", number, number / len(case.test_pairs))  # fmt: skip


def users_across(case: Case) -> Finding:
    """Users on both sides."""
    users = case.test["user"].unique()
    number = int(np.isin(users, case.train["user"].unique()).sum())
    verdict = FAIL if number and case.parts.cold_users else INFO
    return Finding(verdict, f"{number:,} of {len(users):,} test users have training events.", number,
                   number / len(users))  # fmt: skip


def bots(case: Case) -> Finding:
    """Users with very many events."""
    counts = np.bincount(case.whole["user"])
    counts = counts[counts > 0]
    limit = np.quantile(counts, BOTS)
    heavy = counts[counts > limit]
    share = float(heavy.sum() / counts.sum())
    return Finding(INFO, f"Users with more than {limit:,.0f} events (the {BOTS} quantile): {len(heavy):,}, with "
                   f"{100 * share:.1f} % of all events.", len(heavy), share)  # fmt: skip


def preprocessing(case: Case) -> Finding:
    """A smallest number of events (k-core) that holds in the whole log and not in training.

    A filter shows as an edge: many items with exactly k events, none with fewer. Without a filter the least count of a
    log is that of one or two.
    """
    found = {}
    for name in ("item", "user"):
        size = len(case.item_ids) if name == "item" else len(case.user_ids)
        whole, train = (np.bincount(frame[name], minlength=size) for frame in (case.whole, case.train))
        k = int(whole[whole > 0].min())
        few = (whole > 0) & (train < k) & ((train > 0) | (name == "item"))  # a user of the test alone is no sign
        edge, size = int((whole == k).sum()), int((whole > 0).sum())
        if k >= 2 and EDGE <= edge < size / 2 and (fewer := int(few.sum())):  # equal counts of all are not a filter
            found[name] = (k, fewer, fewer / size)
    if not found:
        return Finding(OK, "No least number of events was asked of items or users over the whole log.", 0)
    words = [f"every {name} has at least {k} events in the whole log, and {fewer:,} have fewer in training"
             for name, (k, fewer, _) in found.items()]  # fmt: skip
    _, number, share = found.get("item", found.get("user", (0, 0, 0.0)))
    sentence = "; ".join(words)
    return Finding(FAIL if "item" in found else WARN, f"{sentence[0].upper()}{sentence[1:]}.", number, share,
                   {name: {"k": k, "fewer": fewer} for name, (k, fewer, _) in found.items()})  # fmt: skip


def recount(case: Case) -> Finding:
    """The counts of the split against those that pandas makes of the log's file."""
    counts = case.parts.recount or {}
    wrong = {name: pair for name, pair in counts.items() if pair[0] != pair[1]}
    if not wrong:
        return Finding(OK, f"{len(counts)} counts of the split are those that pandas finds in the log.", 0)
    words = ", ".join(f"{name} {said:,.0f} and not {found:,.0f}" for name, (said, found) in wrong.items())
    return Finding(FAIL, f"The split says {words}.", len(wrong), len(wrong) / len(counts))
