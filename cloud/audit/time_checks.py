# SPDX-License-Identifier: Apache-2.0
"""Checks of what lies before and after what. Each takes a `Case` and gives a `Finding`."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from pocketrec.cloud.audit.case import Case
from pocketrec.cloud.audit.finding import CANNOT_TELL, FAIL, INFO, OK, WARN, Finding

SHARE: Final = 0.001  # share of training after the first test event above which the split fails


def future_in_train(case: Case) -> Finding:
    """Training events that are later than the first event that is to be predicted."""
    if case.no_time:
        return Finding(CANNOT_TELL, f"Cannot tell: {case.no_time}.")
    first = case.later["time"].min()
    number = int((case.train["time"] > first).sum())
    share = number / len(case.train)
    verdict = FAIL if share > SHARE else WARN if number else OK
    return Finding(verdict, f"{number:,} of {len(case.train):,} training events are later than the first test event.",
                   number, share)  # fmt: skip


def future_per_target(case: Case) -> Finding:
    """Mean share of the training events that is later than a target."""
    if case.no_time:
        return Finding(CANNOT_TELL, f"Cannot tell: {case.no_time}.")
    times = np.sort(case.train["time"].to_numpy())
    later = len(times) - np.searchsorted(times, case.test["time"].to_numpy(), "right")
    share = float(later.mean() / len(times))
    return Finding(INFO, f"For a target, {100 * share:.1f} % of the training events lie after it, in the mean.",
                   round(float(later.mean()), 1), share)  # fmt: skip


def future_items(case: Case) -> Finding:
    """Targets whose item had its first training event after the target."""
    if case.no_time:
        return Finding(CANNOT_TELL, f"Cannot tell: {case.no_time}.")
    first = case.train.groupby("item")["time"].min()
    born = case.test["item"].map(first).to_numpy(float)
    number = int((born > case.test["time"].to_numpy()).sum())
    return Finding(WARN if number else OK, f"Targets whose item training saw for the first time later: {number:,}.",
                   number, number / len(case.test))  # fmt: skip


def tied_at_cut(case: Case) -> Finding:
    """Events of equal time on both sides of the split."""
    if case.no_time:
        return Finding(CANNOT_TELL, f"Cannot tell: {case.no_time}.")
    number = int((case.train["time"] == case.later["time"].min()).sum())
    moments = pd.MultiIndex.from_frame(case.later[["user", "time"]].drop_duplicates())
    both = pd.MultiIndex.from_frame(case.train[["user", "time"]].drop_duplicates()).isin(moments)
    users = int(case.train[["user", "time"]].drop_duplicates()["user"][both].nunique())
    return Finding(
        WARN if number or users else OK,
        f"Training events at the time of the first test event: {number:,}; users with events of one time on both "
        f"sides: {users:,}.", number, None, {"users": users},
    )  # fmt: skip


def duplicates_across(case: Case) -> Finding:
    """The same user, item and time on both sides."""
    if not all("time" in frame for frame in (case.train, case.test)):
        return Finding(CANNOT_TELL, "Cannot tell: the events have no times; see known_positives for equal pairs.")
    columns = ["user", "item", "time"]
    known = pd.MultiIndex.from_frame(case.train[columns].drop_duplicates())
    number = int(pd.MultiIndex.from_frame(case.later[columns]).isin(known).sum())
    return Finding(FAIL if number else OK, f"Events that stand on both sides, same user, item and time: {number:,}.",
                   number, number / len(case.later))  # fmt: skip


def session_crosses_cut(case: Case) -> Finding:
    """Users whose session continues across the split."""
    if case.no_time:
        return Finding(CANNOT_TELL, f"Cannot tell: {case.no_time}.")
    if case.gap is None:
        return Finding(CANNOT_TELL, "Cannot tell: the times are not unix times; give --session-gap in their unit.")
    left = case.later[["user", "time"]].sort_values("time").assign(at=lambda frame: frame["time"].astype(float))
    right = case.train[["user", "time"]].sort_values("time").assign(other=lambda frame: frame["time"].astype(float))
    left["time"], right["time"] = left["at"], right["other"]
    near = pd.merge_asof(left, right, on="time", by="user", direction="nearest")
    crossing = near["user"][(near["at"] - near["other"]).abs() < case.gap]
    number, users = int(crossing.nunique()), int(case.later["user"].nunique())
    return Finding(WARN if number else OK,
                   f"{number:,} of {users:,} test users have a session on both sides (pause below {case.gap:g}).",
                   number, number / users)  # fmt: skip


def learn_before_test(case: Case) -> Finding:
    """Whether each device learns from events before its own test only."""
    learn = case.frame("learn")
    if "time" not in learn or "time" not in case.test:
        return Finding(CANNOT_TELL, "Cannot tell: the events have no times.")
    last, first = learn.groupby("user")["time"].max(), case.test.groupby("user")["time"].min()
    late = last.reindex(first.index) > first
    number = int(late.sum())
    return Finding(FAIL if number else OK, f"{number:,} of {len(first):,} users learn from events after their first "
                   "test event.", number, number / len(first))  # fmt: skip


def valid_in_test(case: Case) -> Finding:
    """Events that serve for choosing and for the final figure."""
    valid = case.frame("valid")
    columns = [name for name in ("user", "item", "time") if name in valid and name in case.test]
    judged = pd.MultiIndex.from_frame(case.test[columns].drop_duplicates())
    number = int(pd.MultiIndex.from_frame(valid[columns]).isin(judged).sum())
    late = 0
    if not case.no_time and "time" in valid:
        late = int((valid["time"] > case.test["time"].min()).sum())
    verdict = FAIL if number else WARN if late else OK
    return Finding(verdict, f"Validation events that are test events: {number:,}; that are later than the first test "
                   f"event: {late:,}.", number, number / max(1, len(valid)), {"late": late})  # fmt: skip
