# SPDX-License-Identifier: Apache-2.0
"""Checks of predictions and of the figures that are reported of them."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from pocketrec.cloud.audit.case import Case
from pocketrec.cloud.audit.finding import CANNOT_TELL, FAIL, INFO, OK, WARN, Finding
from pocketrec.cloud.metrics import sampled

K: Final = 20
TIES: Final = 0.005  # difference of Recall@20 above which ties decide the figure
_SCORED = 0.99  # share of targets with a score above which few scored items are a sample and no list of the best
_NEAR = 0.002  # a reported figure is one of ours where it is so near


def not_a_number(case: Case) -> Finding:
    """Scores, or numbers of the model, that are NaN or infinite."""
    arrays = dict(case.parts.arrays or {})
    if "predictions" in case.frames:
        arrays["the predictions"] = case.frame("predictions")["score"].to_numpy(float)
    bad = {name: int((~np.isfinite(values)).sum()) for name, values in arrays.items()}
    number, total = sum(bad.values()), sum(values.size for values in arrays.values())
    where = ", ".join(name for name, count in bad.items() if count)
    return Finding(FAIL if number else OK, f"{number:,} of {total:,} numbers are NaN or infinite"
                   f"{f': in {where}' if number else ''}.", number, number / max(1, total))  # fmt: skip


def ties(case: Case) -> Finding:
    """Recall@20 with equal scores counted for and against the target."""
    best, worst = _ranks(case)
    if not np.isfinite(best).any():
        return Finding(CANNOT_TELL, "Cannot tell: no test target has a score.")
    high, low = (float((ranks <= K).mean()) for ranks in (best, worst))
    return Finding(FAIL if high - low > TIES else OK, f"Recall@{K} is {low:.3f} with equal scores against the target "
                   f"and {high:.3f} with them for it.", round(high - low, 4), None,
                   {"worst": low, "best": high})  # fmt: skip


def sampled_metric(case: Case) -> Finding:
    """Whether reported figures are of samples of the catalogue, under a name that does not say so."""
    ranks, users, catalogue, partial = _full_ranks(case)
    if not np.isfinite(ranks).any():
        return Finding(CANNOT_TELL, "Cannot tell: no rank of a test target is known.")
    full, drawn = (_figures(ranks, users, catalogue, negatives) for negatives in (0, sampled.NEGATIVES))
    shown = f"Recall@{K} is {full[f'recall@{K}'][0]:.4f}"
    if partial:
        return Finding(WARN, f"Only {partial:.0f} items are scored for a user, of {catalogue:,}: figures of them are "
                       f"sampled figures, and the full ranking is not available. {shown} among them.", partial,
                       partial / catalogue)  # fmt: skip
    both = f"{shown} over all {catalogue:,} items, {drawn[f'recall@{K}'][0]:.4f} among 99 sampled."
    wrong: list[str] = []
    other: list[str] = []
    for name, value in (case.parts.figures or {}).items():
        key = _measure(name)
        if key not in full or "sampl" in name.lower():
            continue
        if _is_near(value, full[key]):
            continue
        if _is_near(value, drawn[key]):
            wrong.append(f"{name} {value:.4f}")
        elif key.startswith("recall") or len(np.unique(users)) == len(users):  # of several targets, others vary
            other.append(f"{name} {value:.4f}")
    if wrong:
        return Finding(FAIL, f"{', '.join(wrong)} is that of 99 sampled negatives, under the name of a full ranking. "
                       f"{both}", len(wrong), None, {"full": full, "sampled_99": drawn})  # fmt: skip
    if other:
        return Finding(WARN, f"{', '.join(other)} is neither the full ranking's nor that of 99 sampled negatives. "
                       f"{both}", len(other), None, {"full": full, "sampled_99": drawn})  # fmt: skip
    return Finding(OK if case.parts.figures else INFO, f"Reported figures are of the full ranking. {both}"
                   if case.parts.figures else both, 0, None, {"full": full, "sampled_99": drawn})  # fmt: skip


def evaluation_negatives(case: Case) -> Finding:
    """Negatives of the evaluation: figures over them are sampled ones."""
    frame = case.frame("test_negatives")
    each = frame.groupby("user").size()
    return Finding(WARN, f"The evaluation ranks among {each.median():.0f} negatives a user, of {len(case.item_ids):,} "
                   "items: its figures are sampled figures.", float(each.median()),
                   float(each.median()) / len(case.item_ids))  # fmt: skip


def _figures(ranks: np.ndarray, users: np.ndarray, catalogue: int, negatives: int) -> dict[str, tuple[float, float]]:
    """Measure -> mean over targets, mean over users; among so many sampled negatives, 0 = full."""
    if negatives:
        values = sampled.expected(ranks, catalogue, negatives)
        values = {name.replace("recall", other): value for name, value in values.items() for other in ("recall", "hr")}
    else:
        values = {}
        for k in (1, 5, 10, 20):
            hit = ranks <= k
            safe = np.where(np.isfinite(ranks), ranks, 1e18)
            values |= {f"recall@{k}": hit * 1.0, f"hr@{k}": hit * 1.0, f"mrr@{k}": hit / safe,
                       f"ndcg@{k}": hit / np.log2(safe + 1)}  # fmt: skip
    grouped = {name: pd.Series(value).groupby(users).mean().mean() for name, value in values.items()}
    return {name: (float(np.mean(value)), float(grouped[name])) for name, value in values.items()}


def _measure(name: str) -> str:
    """``Recall@20``, ``test_hit@10`` and the like under the names used here."""
    last = name.lower().replace(" ", "").replace("_at_", "@").split("/")[-1].split("_")[-1].split(".")[-1]
    return last.replace("hitrate@", "hr@").replace("hit@", "hr@").replace("hits@", "hr@")


def _is_near(value: float, pair: tuple[float, float]) -> bool:
    return min(abs(value - one) for one in pair) <= _NEAR


def _full_ranks(case: Case) -> tuple[np.ndarray, np.ndarray, int, float]:
    """Ranks of targets and their users; the size of the catalogue; items scored a user where they are a sample."""
    catalogue = int((case.train_counts > 0).sum())
    if case.parts.ranks is not None:
        return (case.parts.ranks["rank"].to_numpy(float), case.parts.ranks["user"].to_numpy(), catalogue, 0.0)
    frame = case.frame("predictions")
    each = float(frame.groupby("user").size().median())
    _, worst = _ranks(case)
    users = _judged(case) // len(case.item_ids)
    sample = each < 0.5 * catalogue and len(worst) > 0 and np.isfinite(worst).mean() > _SCORED
    return worst, users, catalogue, each if sample else 0.0


def _judged(case: Case) -> np.ndarray:
    """`Case.keys` of the test pairs of users for whom there are predictions."""
    users = case.test_pairs // len(case.item_ids)
    judged: np.ndarray = case.test_pairs[np.isin(users, case.frame("predictions")["user"].unique())]
    return judged


def _ranks(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """float64 (targets,) twice: ranks of the pairs `_judged`, ties for and against them; without a score infinity.

    Items that the user has had are taken out of the ranking where no target is such an item.
    """
    width = len(case.item_ids)
    frame = case.frame("predictions").drop_duplicates(["user", "item"])
    scores, keys = frame["score"].to_numpy(float), case.keys(frame)
    if not np.isin(case.test_pairs, case.train_pairs).any():
        kept = ~np.isin(keys, case.train_pairs)
        scores, keys = scores[kept], keys[kept]
    scores = np.where(np.isfinite(scores), scores, np.inf)  # a score that is not a number counts as better
    order = np.lexsort((scores, keys // width))
    users, values = (keys // width)[order], scores[order]
    by_key = np.argsort(keys)
    targets = _judged(case)
    at = np.searchsorted(keys, targets, sorter=by_key)
    found = at < len(keys)
    found[found] = keys[by_key[at[found]]] == targets[found]
    own = scores[by_key[np.where(found, at, 0)]] if len(keys) else np.zeros(len(targets))
    ends = np.searchsorted(users, targets // width, "right")
    begins = np.searchsorted(users, targets // width, "left")
    best, worst = np.full(len(targets), np.inf), np.full(len(targets), np.inf)
    for place in np.flatnonzero(found).tolist():
        mine = values[begins[place] : ends[place]]
        best[place] = len(mine) - np.searchsorted(mine, own[place], "right") + 1
        worst[place] = len(mine) - np.searchsorted(mine, own[place], "left")
    return best, worst
