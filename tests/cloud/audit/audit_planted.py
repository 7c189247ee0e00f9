# SPDX-License-Identifier: Apache-2.0
"""For every check of the table: an evaluation with the fault planted, and its twin without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pocketrec.cloud.audit.case import Parts
from pocketrec.cloud.audit.finding import FAIL, INFO, WARN

HOUR = 3600
CUT = 1_700_000_000

#: Check -> the verdict that the planted fault gets, the evaluation that has it, the same without it.
Planted = tuple[str, Parts, Parts]


def events(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    columns = ["user", "item", "time"][: len(rows[0])]
    return pd.DataFrame(rows, columns=columns).astype({"user": object, "item": object})


def clean(seed: int = 1, users: int = 60, items: int = 80, each: int = 20) -> Parts:
    """A split at one time for all; nobody takes an item twice; items of uneven popularity; a day between events."""
    generator = np.random.default_rng(seed)
    odds = 1 / np.arange(1, items + 1)
    rows = []
    for user in range(users):
        chosen = generator.choice(items, each, replace=False, p=odds / odds.sum())
        times = CUT + (np.arange(each) - 0.7 * each) * 24 * HOUR + generator.integers(0, 20 * HOUR)
        rows += [(f"u{user}", f"i{item}", int(time)) for item, time in zip(chosen, times, strict=True)]
    log = events(rows)
    later = log["time"] >= CUT
    known = log["item"].isin(log["item"][~later])
    return Parts("clean", log[~later].reset_index(drop=True), log[later & known].reset_index(drop=True))


def change(parts: Parts, **changes: Any) -> Parts:
    return dataclasses.replace(parts, **changes)


def joined(*frames: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)


def _recount() -> Planted:
    split = clean()
    return (FAIL, change(split, recount={"events before": (10, 11), "items": (3, 3)}),
            change(split, recount={"events before": (11, 11), "items": (3, 3)}))  # fmt: skip


def _leave_one_out(split: Parts) -> Parts:
    log = joined(split.train, split.test).sort_values("time", kind="stable")
    last = ~log.duplicated("user", keep="last")
    return change(split, train=log[~last], test=log[last])


def _future_in_train() -> Planted:
    return FAIL, _leave_one_out(clean()), clean()


def _future_items() -> Planted:
    split = clean()
    first, born = split.test["time"].min(), split.test["time"].max()
    leaky = change(split, train=joined(split.train, events([("u0", "newborn", born)])),
                   test=joined(split.test, events([("u1", "newborn", first)])))  # fmt: skip
    return WARN, leaky, split


def _tied() -> Planted:
    split = clean()
    return WARN, change(split, train=joined(split.train, events([("u0", "i0", split.test["time"].min())]))), split


def _duplicates() -> Planted:
    split = clean()
    return FAIL, change(split, test=joined(split.test, split.train.head(1))), split


def _session() -> Planted:
    split = clean()
    first = split.test.groupby("user")["time"].min()["u3"]
    return WARN, change(split, train=joined(split.train, events([("u3", "i0", first - 60)]))), split


def _learn() -> Planted:
    split = clean()
    place = split.test.groupby("user").cumcount()
    right = change(split, learn=split.test[place < 2], test=split.test[place >= 2])
    return FAIL, change(right, learn=right.test, test=right.learn), right


def _valid() -> Planted:
    split = clean()
    cut = split.train["time"].quantile(0.9)
    right = change(split, valid=split.train[split.train["time"] >= cut], train=split.train[split.train["time"] < cut])
    return FAIL, change(right, valid=split.test.head(5)), right


def _cut() -> Planted:
    split = clean()
    return FAIL, change(split, cut_off=float(CUT - 30 * HOUR)), change(split, cut_off=float(CUT))


def _positives() -> Planted:
    split = clean()
    again = split.train.head(1).assign(time=split.test["time"].max())
    promised = change(split, new_items_only=True)
    return FAIL, change(promised, test=joined(split.test, again)), promised


def _cold() -> Planted:
    split = clean()
    new = split.train["user"].isin([f"u{user}" for user in range(40)])
    right = change(split, train=split.train[new], cold_users=True,
                   test=split.test[~split.test["user"].isin(split.train["user"][new])])  # fmt: skip
    return FAIL, change(right, test=split.test), right


def core(log: pd.DataFrame, counted: pd.Series, k: int) -> pd.DataFrame:
    """The events of items with at least k of the counted events; and again, until nothing changes."""
    counts = log["item"][counted].value_counts()
    kept = log["item"].isin(counts.index[counts >= k])
    return log if kept.all() else core(log[kept], counted[kept], k)


def _core() -> Planted:
    split = clean(users=80, items=300, each=16)
    log = joined(split.train, split.test)
    early = log["time"] < CUT
    made = []
    for counted in (early | True, early):
        kept = core(log, counted, 4)
        made.append(change(split, train=kept[kept["time"] < CUT], test=kept[kept["time"] >= CUT]))
    return FAIL, made[0], made[1]


def _vocabulary() -> Planted:
    split = clean()
    known = split.train["item"].unique().tolist()
    return FAIL, change(split, items=[*known, "of the test alone"]), change(split, items=known)


def _popularity() -> Planted:
    split = clean()
    made = []
    for frame in (joined(split.train, split.test), split.train):
        counts = frame["item"].value_counts()
        made.append(change(split, items=counts.index.tolist(), items_in_order=True))
    return FAIL, made[0], made[1]


def _everybody(split: Parts, counts: pd.Series) -> pd.DataFrame:
    users = split.test["user"].unique()
    return pd.DataFrame({"user": np.repeat(users, len(counts)), "item": np.tile(counts.index, len(users)),
                         "score": np.tile(counts.to_numpy(float), len(users))})  # fmt: skip


def _popularity_scores() -> Planted:
    split = clean()
    items = split.train["item"].unique()
    counts = [frame["item"].value_counts().reindex(items) for frame in (joined(split.train, split.test), split.train)]
    leaky, right = (change(split, predictions=_everybody(split, count)) for count in counts)
    return FAIL, leaky, right


def _candidate_items() -> Planted:
    split = clean()
    sets = split.train[["user", "item"]].head(50)
    planted = pd.DataFrame({"user": ["u1"], "item": ["never trained"]})
    return FAIL, change(split, candidates=joined(sets, planted)), change(split, candidates=sets)


def _candidate_recall() -> Planted:
    """Sets of a model that saw the test, against sets drawn at random."""
    split, generator = clean(), np.random.default_rng(5)
    items = split.train["item"].unique()
    rows = [(user, item) for user in split.test["user"].unique() for item in generator.choice(items, 5, replace=False)]
    drawn = events(rows)
    return WARN, change(split, candidates=joined(drawn, split.test[["user", "item"]])), change(split, candidates=drawn)


def negatives(split: Parts, each: int, *, knows_test: bool, seed: int = 3, power: float = 0.0) -> pd.DataFrame:
    """Negatives of each user, drawn from all items but the training positives (and the test's, where it knows them)."""
    generator = np.random.default_rng(seed)
    items = np.array(sorted({*split.train["item"], *split.test["item"]}), dtype=object)
    odds = (1.0 + split.train["item"].value_counts().reindex(items).fillna(0).to_numpy()) ** power
    barred = split.train.groupby("user")["item"].agg(set).to_dict()
    later = split.test.groupby("user")["item"].agg(set).to_dict() if knows_test else {}
    rows = []
    for user, own in barred.items():
        free = np.array([item not in own and item not in later.get(user, ()) for item in items])
        weights = np.where(free, odds, 0.0)
        chosen = generator.choice(items, min(each, int(free.sum())), replace=False, p=weights / weights.sum())
        rows += [(user, item) for item in chosen]
    return events(rows)


def _negatives() -> Planted:
    split = clean()
    leaky, right = (change(split, negatives=negatives(split, 20, knows_test=knows)) for knows in (True, False))
    return FAIL, leaky, right


def _negatives_known() -> Planted:
    split = clean()
    right = negatives(split, 5, knows_test=False)
    return (
        WARN,
        change(split, negatives=joined(right, split.train[["user", "item"]].head(3))),
        change(split, negatives=right),
    )


def _negatives_hold_target() -> Planted:
    split = clean()
    right = negatives(split, 5, knows_test=True)
    return (
        WARN,
        change(split, test_negatives=joined(right, split.test[["user", "item"]].head(1))),
        change(split, test_negatives=right),
    )


def scores(split: Parts, make: Callable[[np.random.Generator, int], np.ndarray], items: int = 0) -> pd.DataFrame:
    """Scores of all (or so many) items for every user of the test; targets are among them."""
    generator = np.random.default_rng(9)
    known = split.train["item"].unique()
    frames = []
    for user, own in split.test.groupby("user")["item"]:
        among = known if not items else np.union1d(own.unique(), generator.choice(known, items, replace=False))
        frames.append(pd.DataFrame({"user": user, "item": among, "score": make(generator, len(among))}))
    return joined(*frames)


def uneven(generator: np.random.Generator, size: int) -> np.ndarray:
    values: np.ndarray = generator.normal(size=size)
    return values


def _ties() -> Planted:
    split = clean()
    flat = scores(split, lambda generator, size: np.full(size, 0.5))
    return FAIL, change(split, predictions=flat), change(split, predictions=scores(split, uneven))


def _evaluation_negatives() -> Planted:
    split = clean()
    return WARN, change(split, test_negatives=negatives(split, 5, knows_test=True)), split


def _sampled() -> Planted:
    """Ranks of a model in a catalogue of 400, and as figures of them those among 99 sampled."""
    from pocketrec.cloud.metrics import sampled

    split = clean(users=100, items=400, each=16)
    catalogue = split.train["item"].nunique()
    rank = np.random.default_rng(2).integers(1, catalogue, len(split.test)).astype(float)
    judged = change(split, ranks=pd.DataFrame({"user": split.test["user"], "rank": rank}))
    among = {"recall@20": float(sampled.expected(rank, catalogue)["recall@20"].mean())}
    return FAIL, change(judged, figures=among), change(judged, figures={"recall@20": float((rank <= 20).mean())})


def _nan() -> Planted:
    split = clean()
    right = scores(split, uneven)
    wrong = right.copy()
    wrong.loc[3, "score"] = np.nan
    return FAIL, change(split, predictions=wrong), change(split, predictions=right)


def trials(count: int, users: int = 50) -> pd.DataFrame:
    """Trials that differ by chance alone: the same skill, other luck, for every user."""
    generator = np.random.default_rng(4)
    rows = [(trial, user, generator.uniform()) for trial in range(count) for user in range(users)]
    return pd.DataFrame(rows, columns=["trial", "user", "ndcg@20"])


def _chosen() -> Planted:
    split, table = clean(), trials(30)
    return WARN, change(split, trials=table), change(split, trials=table.assign(valid_ndcg=table["ndcg@20"] * 0.9))


PLANTED: Mapping[str, Callable[[], Planted]] = {
    "recount": _recount,
    "future_in_train": _future_in_train,
    "future_items": _future_items,
    "tied_at_cut": _tied,
    "duplicates_across": _duplicates,
    "session_crosses_cut": _session,
    "learn_before_test": _learn,
    "valid_in_test": _valid,
    "trained_before_cut": _cut,
    "known_positives": _positives,
    "users_across": _cold,
    "preprocessing": _core,
    "vocabulary": _vocabulary,
    "popularity": _popularity,
    "popularity_scores": _popularity_scores,
    "candidate_items": _candidate_items,
    "candidate_recall": _candidate_recall,
    "negatives_avoid_test": _negatives,
    "negatives_known": _negatives_known,
    "negatives_hold_target": _negatives_hold_target,
    "evaluation_negatives": _evaluation_negatives,
    "sampled_metric": _sampled,
    "ties": _ties,
    "not_a_number": _nan,
    "chosen_on_test": _chosen,
}

#: Checks that only inform.
INFORM = {"future_per_target": INFO, "bots": INFO}
