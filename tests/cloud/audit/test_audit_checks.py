# SPDX-License-Identifier: Apache-2.0
"""Every check finds its planted fault, passes the twin without it, and says when it cannot tell (feature N4)."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from audit_planted import (
    CUT,
    INFORM,
    PLANTED,
    change,
    clean,
    events,
    joined,
    negatives,
    scores,
    trials,
    uneven,
)

from pocketrec.cloud.audit import negative_checks
from pocketrec.cloud.audit.case import Case
from pocketrec.cloud.audit.finding import CANNOT_TELL, FAIL, INFO, OK, VERDICTS, WARN, as_text
from pocketrec.cloud.audit.table import CHECKS, audit
from pocketrec.device.base.errors import DataError

BY_ID = {check.id: check for check in CHECKS}


def finding(name: str, parts):  # type: ignore[no-untyped-def]
    return BY_ID[name].run(Case.of(parts))


def test_every_check_has_a_planted_fault() -> None:
    assert set(PLANTED) | set(INFORM) == set(BY_ID)
    assert len(CHECKS) == len(BY_ID)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_and_its_twin_passes(name: str) -> None:
    verdict, leaky, twin = PLANTED[name]()
    whole = audit(leaky)
    found = whole.of(name)
    assert found.verdict == verdict, found.sentence
    assert found.number is not None
    assert BY_ID[name].level in (FAIL, verdict)
    other = audit(twin)
    if name not in other.skipped:
        assert other.of(name).verdict in (OK, INFO), other.of(name).sentence
    assert whole.status == int(FAIL in whole.counts())


def test_a_clean_split_has_no_finding_but_for_information() -> None:
    verdict = audit(clean())
    assert set(verdict.counts()) <= {OK, INFO}
    assert verdict.status == 0


@pytest.mark.parametrize("name", BY_ID)
def test_every_check_is_described(name: str) -> None:
    check = BY_ID[name]
    assert check.level in VERDICTS
    assert check.says
    assert check.advice.endswith(".")
    text = (Path(__file__).resolve().parents[3] / "docs" / "audit.md").read_text(encoding="utf-8")
    paragraph = re.search(rf"^### {name}\n\n(.+?)(?=\n### |\n## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert paragraph, f"docs/audit.md has no paragraph {name}"
    for word in ("**What.**", "**Why.**", "**How.**", "**What to do.**"):
        assert word in paragraph[1], f"{name}: no {word}"


def test_the_figure_to_quote_is_the_mean_share_of_training_after_a_target() -> None:
    train = events([("a", "x", 1), ("a", "y", 5), ("b", "x", 7), ("b", "y", 9)])
    parts = change(clean(), train=train, test=events([("a", "x", 6), ("b", "y", 9)]))
    found = finding("future_per_target", parts)
    assert (found.verdict, found.share) == (INFO, pytest.approx((0.5 + 0.0) / 2))


@pytest.mark.parametrize("name", ["future_in_train", "future_per_target", "future_items", "tied_at_cut",
                                  "session_crosses_cut", "duplicates_across"])  # fmt: skip
def test_without_times_no_check_of_time_says_ok(name: str) -> None:
    split = clean()
    bare = change(split, train=split.train[["user", "item"]], test=split.test[["user", "item"]])
    assert finding(name, bare).verdict == CANNOT_TELL
    assert audit(bare).status == 0


def test_places_in_a_history_are_no_times() -> None:
    log = joined(clean().train, clean().test).sort_values("time", kind="stable")
    log["time"] = log.groupby("user").cumcount()
    last = ~log.duplicated("user", keep="last")
    parts = change(clean(), train=log[~last], test=log[last])
    found = finding("future_in_train", parts)
    assert found.verdict == CANNOT_TELL
    assert "places" in found.sentence


def test_one_later_event_of_many_is_a_warning() -> None:
    split = clean(users=200, each=20)
    one = change(split, train=joined(split.train, events([("u0", "i1", CUT + 10**6)])))
    assert finding("future_in_train", one).verdict == WARN


def test_known_positives_inform_unless_the_protocol_denies_them() -> None:
    split = clean()
    again = change(split, test=joined(split.test, split.train.head(2).assign(time=CUT + 10**6)))
    assert finding("known_positives", again).verdict == INFO
    assert finding("known_positives", change(again, masks_seen=True)).verdict == WARN
    assert finding("known_positives", change(again, new_items_only=True)).verdict == FAIL


# --- negatives --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.0, 1.0, -1.0])
def test_an_uneven_sampler_that_does_not_know_the_test_is_not_accused(power: float) -> None:
    split = clean(users=150)
    drawn = negatives(split, 15, knows_test=False, power=power)
    found = finding("negatives_avoid_test", change(split, negatives=drawn))
    assert found.verdict == OK, found.sentence
    assert found.figures["p"] > 0.01


def test_few_negatives_cannot_tell() -> None:
    split = clean()
    found = finding("negatives_avoid_test", change(split, negatives=negatives(split, 1, knows_test=True)))
    assert found.verdict == CANNOT_TELL
    assert found.figures["expected"] < 10


def test_the_chance_of_so_few_is_that_of_the_binomial() -> None:
    chances = np.full(40, 0.3)
    exact = sum(math.comb(40, k) * 0.3**k * 0.7 ** (40 - k) for k in range(5))
    assert negative_checks._at_most(4, chances) == pytest.approx(exact)
    assert negative_checks._at_most(0, np.array([0.5, 0.2])) == pytest.approx(0.4)


def test_the_bound_for_large_numbers_is_never_below_the_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    chances = np.full(300, 0.2)
    exact = [negative_checks._at_most(hits, chances) for hits in (0, 10, 40)]
    monkeypatch.setattr(negative_checks, "_CELLS", 0)
    bounds = [negative_checks._at_most(hits, chances) for hits in (0, 10, 40)]
    assert all(bound >= chance for bound, chance in zip(bounds, exact, strict=True))
    assert bounds[1] < 1e-6


# --- scores -----------------------------------------------------------------------------------------------------


def saturated(generator: np.random.Generator, size: int) -> np.ndarray:
    values: np.ndarray = (1 / (1 + np.exp(-generator.normal(12.0, 6.0, size)))).astype(np.float32).astype(float)
    return values


def test_constant_scores_give_every_figure_from_0_to_1() -> None:
    split = clean(items=200)
    found = finding("ties", change(split, predictions=scores(split, lambda generator, size: np.ones(size))))
    assert (found.verdict, found.figures["worst"], found.figures["best"]) == (FAIL, 0.0, 1.0)


def test_saturated_scores_are_found() -> None:
    split = clean(items=200)
    found = finding("ties", change(split, predictions=scores(split, saturated)))
    assert found.verdict == FAIL, found.sentence
    assert 0 < found.figures["best"] - found.figures["worst"] < 1


def test_ranks_are_counted_with_the_users_own_items_left_out() -> None:
    train = events([("a", "x", 1), ("b", "y", 1), ("b", "z", 2), ("b", "w", 2)])
    test = events([("a", "z", 5)])
    table = pd.DataFrame([("a", "x", 9.0), ("a", "y", 5.0), ("a", "z", 4.0), ("a", "w", 4.0)],
                         columns=["user", "item", "score"])  # fmt: skip
    from pocketrec.cloud.audit.score_checks import _ranks

    best, worst = _ranks(Case.of(change(clean(), train=train, test=test, predictions=table)))
    assert (best.tolist(), worst.tolist()) == ([2.0], [3.0])
    short = table[table["item"] != "z"]  # a list of the best without the target: a miss
    best, worst = _ranks(Case.of(change(clean(), train=train, test=test, predictions=short)))
    assert (best.tolist(), worst.tolist()) == ([np.inf], [np.inf])


def test_lists_of_the_best_are_full_rankings_and_no_samples() -> None:
    split = clean(items=200)
    best = scores(split, uneven).sort_values("score", ascending=False).groupby("user").head(50)
    found = finding("sampled_metric", change(split, predictions=best))
    assert found.verdict == INFO
    whole = finding("sampled_metric", change(split, predictions=scores(split, uneven)))
    assert found.figures["full"]["recall@20"] == whole.figures["full"]["recall@20"]


def test_predictions_of_a_sample_are_named_as_such() -> None:
    split = clean(items=400)
    found = finding("sampled_metric", change(split, predictions=scores(split, uneven, items=20)))
    assert found.verdict == WARN
    assert "sampled" in found.sentence


def test_a_sampled_figure_under_its_own_name_is_fine() -> None:
    _, leaky, _ = PLANTED["sampled_metric"]()
    honest = change(leaky, figures={f"sampled_{name}": value for name, value in (leaky.figures or {}).items()})
    assert finding("sampled_metric", honest).verdict == OK


def test_infinity_is_no_number() -> None:
    split = clean()
    assert finding("not_a_number", change(split, arrays={"w": np.array([1.0, np.inf])})).verdict == FAIL


# --- choice -----------------------------------------------------------------------------------------------------


def test_the_best_of_many_equal_trials_gains_by_luck_alone() -> None:
    found = finding("chosen_on_test", change(clean(), trials=trials(30)))
    assert found.verdict == WARN
    assert found.figures["gain"] > 0.05  # the standard error of a trial's mean is .29 / 50 ** .5 = .041
    few = finding("chosen_on_test", change(clean(), trials=trials(2)))
    assert few.figures["gain"] < found.figures["gain"]


def test_aggregates_alone_give_the_best_less_the_mean() -> None:
    table = pd.DataFrame({"trial": ["1", "2", "3"], "test_ndcg@20": ["0.1", "0.2", "0.3"]})
    found = finding("chosen_on_test", change(clean(), trials=table))
    assert found.figures["gain"] == pytest.approx(0.1)


def test_one_trial_is_no_choice() -> None:
    found = finding("chosen_on_test", change(clean(), trials=trials(1)))
    assert found.verdict == OK


# --- the whole --------------------------------------------------------------------------------------------------


def test_nothing_to_compare_is_one_line() -> None:
    split = clean()
    with pytest.raises(DataError, match="no item in common"):
        audit(change(split, test=split.test.assign(item="other-" + split.test["item"])))
    with pytest.raises(DataError, match="test part of clean has no event"):
        audit(change(split, test=split.test.head(0)))


def test_quick_leaves_out_what_is_slow() -> None:
    parts = PLANTED["candidate_recall"]()[1]
    assert "candidate_recall" not in {row.check for row in audit(parts, quick=True).rows}
    assert "candidate_items" in {row.check for row in audit(parts, quick=True).rows}


def test_the_table_for_people_names_every_finding_and_what_to_do() -> None:
    verdict = audit(PLANTED["duplicates_across"]()[1])
    text = as_text(verdict)
    for row in verdict.rows:
        assert row.check in text
    assert "What to do: Drop exact duplicates" in text.replace("\n" + " " * 57, " ")
    assert all(len(line) <= 118 for line in text.splitlines()[1:] if not line.startswith("not checked"))
