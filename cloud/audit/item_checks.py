# SPDX-License-Identifier: Apache-2.0
"""Checks of what a model knows: its vocabulary, its order of popularity, its candidate sets."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from pocketrec.cloud.audit.case import Case
from pocketrec.cloud.audit.finding import CANNOT_TELL, FAIL, INFO, OK, WARN, Finding

_DRAWS: Final = 1000  # of users, for an interval


def vocabulary(case: Case) -> Finding:
    """Items or users that the model knows without a training event."""
    trained = set(case.item_ids[case.train_counts > 0].tolist())
    items = [item for item in case.parts.items or [] if item not in trained]
    people = set(case.user_ids[case.train["user"].unique()].tolist())
    users = [user for user in case.parts.users or [] if user not in people]
    number, known = len(items) + len(users), len(case.parts.items or []) + len(case.parts.users or [])
    example = f", such as {(items or users)[0]!r}" if number else ""
    return Finding(FAIL if number else OK, f"{len(items):,} known items and {len(users):,} known users have no "
                   f"training event{example}.", number, number / max(1, known))  # fmt: skip


def popularity(case: Case) -> Finding:
    """Whether an order of popularity, or its counts, are those of the whole log."""
    items = case.parts.items or []
    place = pd.Index(case.item_ids).get_indexer(pd.Index(items))
    claimed, known = case.parts.item_counts, place >= 0
    train = np.where(known, case.train_counts[place], 0)
    whole = np.where(known, case.whole_counts[place], 0)
    if len(items) < 2:
        return Finding(CANNOT_TELL, "Cannot tell: fewer than two items.")
    if claimed is not None:
        misses = [int((claimed != counts).sum()) for counts in (train, whole)]
        like = [_spearman(claimed, counts) for counts in (train, whole)]
        unit = "counts differ from those of"
    elif case.parts.items_in_order:
        misses = [int((np.diff(counts) > 0).sum()) for counts in (train, whole)]
        like = [_spearman(-np.arange(len(items)), counts) for counts in (train, whole)]
        unit = "neighbours are out of order by the counts of"
    else:
        return Finding(CANNOT_TELL, "Cannot tell: the items come without counts and in no promised order.")
    figures = {"spearman_training": like[0], "spearman_whole": like[1], "misses_whole": misses[1]}
    words = (f"{misses[0]:,} {unit} training, {misses[1]:,} {unit} the whole log (Spearman "
             f"{like[0]:.4f} and {like[1]:.4f})")  # fmt: skip
    if not misses[0]:
        return Finding(OK, f"The order of popularity is that of training: {words}.", 0, 0.0, figures)
    if not misses[1]:
        return Finding(FAIL, f"The order of popularity is that of the whole log: {words}.", misses[0],
                       misses[0] / len(items), figures)  # fmt: skip
    return Finding(CANNOT_TELL, f"Cannot tell: the order is of neither: {words}.", misses[0], None, figures)


def candidate_items(case: Case) -> Finding:
    """Candidates that training has never seen."""
    items = case.frame("candidates")["item"].to_numpy()
    unknown = case.train_counts[items] == 0
    number = int(unknown.sum())
    return Finding(FAIL if number else OK, f"{number:,} of {len(items):,} candidates are items without a training "
                   "event.", number, number / max(1, len(items)))  # fmt: skip


def candidate_recall(case: Case) -> Finding:
    """Whether candidate sets hold more of the test than sets that ALS makes of the training events."""
    sets = case.frame("candidates")[["user", "item"]].drop_duplicates()
    try:
        from pocketrec.cloud.audit.als import als_sets
    except ImportError:
        return Finding(CANNOT_TELL, "Cannot tell: the package implicit is missing (pip install implicit).")
    users = np.intersect1d(np.intersect1d(sets["user"], case.train["user"]), case.test["user"])
    if len(users) < 10:
        return Finding(CANNOT_TELL, f"Cannot tell: {len(users)} users have candidates, training and test events.")
    sets = sets[sets["user"].isin(users)]
    size = int(sets.groupby("user").size().max())
    targets = case.test_pairs[np.isin(case.test_pairs // len(case.item_ids), users)]
    who = np.searchsorted(users, targets // len(case.item_ids))
    hits = [np.bincount(who, np.isin(targets, keys), len(users)) / np.bincount(who, minlength=len(users))
            for keys in (case.keys(sets), *als_sets(case, users, size))]  # fmt: skip
    hits = [hits[0], max(hits[1:], key=np.mean)]  # the better of ALS with and without what users have had
    theirs, ours = (float(values.mean()) for values in hits)
    low, high = _interval(hits[0] - hits[1], case.parts.seed)
    words = (f"The candidates hold {100 * theirs:.1f} % of the test, sets of {size} items by ALS {100 * ours:.1f} % "
             f"(difference {theirs - ours:+.3f}, 95 % {low:+.3f} to {high:+.3f}).")  # fmt: skip
    return Finding(WARN if low > 0 else OK, words, round(theirs - ours, 4), theirs, {"als": ours, "low": low,
                   "high": high, "users": len(users)})  # fmt: skip


def constant_popularity(case: Case) -> Finding:
    """Predictions that are the same for everybody: of which counts are they?"""
    frame = case.frame("predictions")
    spread = frame.groupby("item")["score"].agg(["min", "max", "size"])
    if (spread["min"] != spread["max"]).any() or spread["size"].max() < 2 or len(spread) < 2:
        return Finding(INFO, "The predictions differ between users: no popularity baseline.")
    scores, items = spread["max"].to_numpy(), spread.index.to_numpy()
    like = [_spearman(scores, counts[items]) for counts in (case.train_counts, case.whole_counts)]
    figures = {"spearman_training": like[0], "spearman_whole": like[1]}
    words = (f"Scores are the same for every user; Spearman {like[0]:.4f} with training, {like[1]:.4f} with the "
             "whole log.")  # fmt: skip
    if like[1] > 1 - 1e-9 > like[0]:
        return Finding(FAIL, f"A popularity baseline of the whole log. {words}", round(like[1], 4), None, figures)
    return Finding(OK, words, round(like[0], 4), None, figures)


def _spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of ranks, tied places averaged; 0 where one does not vary."""
    ranks = [pd.Series(values).rank().to_numpy() for values in (one, other)]
    if any(np.ptp(values) == 0 for values in ranks):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _interval(values: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    draws = np.random.default_rng(seed).integers(0, len(values), (_DRAWS, len(values)))
    low, high = np.quantile(values[draws].mean(1), (0.025, 0.975))
    return float(low), float(high)
