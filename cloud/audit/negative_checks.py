# SPDX-License-Identifier: Apache-2.0
"""Checks of negatives: which were drawn, and whether who drew them knew the test."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from pocketrec.cloud.audit.case import Case
from pocketrec.cloud.audit.finding import CANNOT_TELL, FAIL, OK, WARN, Finding

EXPECTED: Final = 10.0  # hits that have to be expected before their absence says anything
CHANCE: Final = 1e-4
_CELLS = 20_000_000  # of the exact distribution; above, a bound


def negatives_avoid_test(case: Case) -> Finding:
    """Whether the negatives of training avoid the test's positives more than chance can explain.

    Given how many different negatives a user has, the number of test positives among them is hypergeometric where the
    sampler draws evenly from all items without the user's training positives, and does not know the test. A sampler
    that favours some items is allowed for: how much is counted over the users for whom an item is not a test positive,
    and of the two explanations the one that makes so few hits likelier counts.
    """
    width = len(case.item_ids)
    drawn = np.unique(case.keys(case.frame("negatives")))
    drawn = drawn[~np.isin(drawn, case.train_pairs, assume_unique=True)]
    positives = case.test_pairs[~np.isin(case.test_pairs, case.train_pairs, assume_unique=True)]
    users = np.bincount(drawn // width, minlength=len(case.user_ids))  # (U,) different negatives of each
    positives = positives[users[positives // width] > 0]
    hits = int(np.isin(positives, drawn, assume_unique=True).sum())
    pool = width - np.bincount(case.train_pairs // width, minlength=len(case.user_ids))  # (U,) items to draw from
    even = users / np.maximum(pool, 1)
    weights = _favours(case, drawn, even)
    total = weights.sum() - np.bincount(case.train_pairs // width, weights[case.train_pairs % width], len(users))
    who, what = positives // width, positives % width
    chosen = np.minimum(1.0, users[who] * weights[what] / np.maximum(total[who], 1e-12))
    flat, shaped = even[who], chosen
    expected = min(float(flat.sum()), float(shaped.sum()))
    if expected < EXPECTED:
        return Finding(CANNOT_TELL, f"Cannot tell: {hits:,} test positives among the negatives, {expected:.1f} "
                       f"expected of a sampler that does not know the test; {EXPECTED:g} have to be expected.", hits,
                       None, {"expected": expected})  # fmt: skip
    chance = max(_at_most(hits, flat), _at_most(hits, shaped))
    verdict = FAIL if chance < CHANCE else OK
    return Finding(verdict, f"{hits:,} test positives are among the negatives of training, {expected:.1f} expected of "
                   f"a sampler that does not know the test (p {chance:.2g}).", hits, hits / max(1, len(positives)),
                   {"expected": expected, "expected_even": float(flat.sum()), "p": chance})  # fmt: skip


def negatives_known(case: Case) -> Finding:
    """Negatives that are positives of training."""
    counts = [(int(np.isin(keys, case.train_pairs).sum()), len(keys))
              for name in ("negatives", "test_negatives") if name in case.frames
              for keys in (case.keys(case.frame(name)),)]  # fmt: skip
    number, drawn = (sum(pair[place] for pair in counts) for place in (0, 1))
    return Finding(WARN if number else OK, f"{number:,} of {drawn:,} negatives are training positives of their user.",
                   number, number / max(1, drawn))  # fmt: skip


def negatives_hold_target(case: Case) -> Finding:
    """Negatives of the evaluation that are test positives of their user."""
    keys = case.keys(case.frame("test_negatives"))
    number = int(np.isin(keys, case.test_pairs).sum())
    return Finding(WARN if number else OK, f"{number:,} of {len(keys):,} negatives of the evaluation are test "
                   "positives of their user.", number, number / max(1, len(keys)))  # fmt: skip


def _favours(case: Case, drawn: np.ndarray, even: np.ndarray) -> np.ndarray:
    """float64 (N,): how often each item was drawn, relative to an even draw.

    Counted over the users who could have it and for whom it is not a test positive, so that what a sampler does with
    the test does not enter.

    Args:
        drawn: `Case.keys` of the negatives, each once.
        even: float64 (U,): chance that an even sampler gives a user a certain item.
    """
    width = len(case.item_ids)
    free = drawn[~np.isin(drawn, case.test_pairs, assume_unique=True)]
    barred = np.union1d(case.train_pairs, case.test_pairs)
    expected = even.sum() - np.bincount(barred % width, even[barred // width], width)
    favours: np.ndarray = np.bincount(free % width, minlength=width) / np.maximum(expected, 1e-9)
    return favours


def _at_most(hits: int, chances: np.ndarray) -> float:
    """Probability of at most so many successes of independent trials with these chances.

    Exact for a user with one target. With several, hits of one user hinder each other a little (hypergeometric), so
    that their true number varies less and the probability given is too large: the check errs on the safe side.
    """
    expected = float(chances.sum())
    if hits >= expected:
        return 1.0
    if (hits + 1) * len(chances) > _CELLS:  # Chernoff's bound, which is never too small
        return math.exp(hits - expected + (hits * math.log(expected / hits) if hits else 0.0))
    odds = np.zeros(hits + 1)
    odds[0] = 1.0
    for chance in chances.tolist():
        odds[1:] = odds[1:] * (1 - chance) + odds[:-1] * chance
        odds[0] *= 1 - chance
    return float(min(1.0, odds.sum()))
