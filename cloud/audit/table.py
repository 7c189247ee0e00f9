# SPDX-License-Identifier: Apache-2.0
"""THE table of checks: what each is called, what it may find, what it takes, what to do about it.

A new check is a function from a `Case` to a `Finding`, one entry here, one paragraph in docs/audit.md, and a planted
leak with its clean twin in tests/cloud/audit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pocketrec.cloud.audit import choice_checks, item_checks, negative_checks, pair_checks, score_checks, time_checks
from pocketrec.cloud.audit.case import Case, Parts
from pocketrec.cloud.audit.finding import FAIL, INFO, WARN, Finding, Row, Verdict
from pocketrec.cloud.base.progress import Progress, no_progress


@dataclass(frozen=True)
class Check:
    """One line of the table."""

    id: str
    level: str
    """The worst that it can find: fail, warn or info."""
    says: str
    """What it looks for, a few words."""
    run: Callable[[Case], Finding]
    advice: str
    """What to do about it."""
    needs: tuple[str, ...] = ()
    """Fields of `Parts`, one of which it takes; () = the split alone."""
    option: str = ""
    """How a user gives that."""
    quick: bool = True
    """Whether it belongs to the quick part at the end of every run."""


_GLOBAL = "Split at one time for all: everything before it is training, everything after it is test."

CHECKS: Final[tuple[Check, ...]] = (
    Check("recount", FAIL, "counts of the split differ from those of the log", pair_checks.recount,
          "Run `pocketrec prepare` again; if it stays, report it: the splitter is wrong.", ("recount",),
          "a run or a configuration", quick=False),
    Check("future_in_train", FAIL, "training events after the first test event", time_checks.future_in_train, _GLOBAL),
    Check("future_per_target", INFO, "share of training that lies after the target", time_checks.future_per_target,
          f"Quote this share beside the figures. {_GLOBAL}"),
    Check("future_items", WARN, "targets whose item is new to training at their time", time_checks.future_items,
          f"Such items could not be recommended then. {_GLOBAL}"),
    Check("tied_at_cut", WARN, "equal times on both sides", time_checks.tied_at_cut,
          "Put all events of one time on one side, or use finer times."),
    Check("duplicates_across", FAIL, "same user, item and time on both sides", time_checks.duplicates_across,
          "Drop exact duplicates before the split."),
    Check("session_crosses_cut", WARN, "sessions on both sides of the split", time_checks.session_crosses_cut,
          "Keep a session whole: put all of it where its first event lies."),
    Check("learn_before_test", FAIL, "devices that learn after their test", time_checks.learn_before_test,
          "Let each user learn from events before the own test only.", ("learn",), "a run or a configuration"),
    Check("valid_in_test", FAIL, "validation events that are test events", time_checks.valid_in_test,
          "Choose on events before the test that are not test events.", ("valid",), "--valid"),
    Check("trained_before_cut", FAIL, "events on the wrong side of the cut-off", choice_checks.trained_before_cut,
          "Run `pocketrec prepare` again.", ("cut_off",), "a run or a configuration with one cut-off"),
    Check("known_positives", FAIL, "test pairs that training has", pair_checks.known_positives,
          "Drop them from the test, or say that items repeat and do not mask what users have had."),
    Check("users_across", FAIL, "users on both sides", pair_checks.users_across,
          "A test of cold users takes users without a training event."),
    Check("preprocessing", FAIL, "a least count that holds over the whole log only", pair_checks.preprocessing,
          "Count for filters and k-cores in training alone, and let the test be what it is."),
    Check("bots", INFO, "users with very many events", pair_checks.bots,
          "Look whether they are people; means over events are mostly theirs."),
    Check("vocabulary", FAIL, "items or users known without a training event", item_checks.vocabulary,
          "Build the vocabulary from training alone.", ("items",), "--items"),
    Check("popularity", FAIL, "popularity counted over the whole log", item_checks.popularity,
          "Count popularity in training alone.", ("items",), "--items"),
    Check("popularity_scores", FAIL, "a popularity baseline of the whole log", item_checks.constant_popularity,
          "Count popularity in training alone.", ("predictions",), "--predictions"),
    Check("candidate_items", FAIL, "candidates that training has not seen", item_checks.candidate_items,
          "Make candidates from items of training alone.", ("candidates",), "--candidates"),
    Check("candidate_recall", WARN, "candidates that hold too much of the test", item_checks.candidate_recall,
          "See that whatever made them saw no test event, such as a model trained on all; else be glad.",
          ("candidates",), "--candidates", quick=False),
    Check("negatives_avoid_test", FAIL, "a sampler that knows the test", negative_checks.negatives_avoid_test,
          "Let the sampler of training avoid training positives only.", ("negatives",), "--negatives"),
    Check("negatives_known", WARN, "negatives that are training positives", negative_checks.negatives_known,
          "Leave the user's training positives out of the draw.", ("negatives", "test_negatives"), "--negatives"),
    Check("negatives_hold_target", WARN, "negatives of the evaluation that are targets",
          negative_checks.negatives_hold_target, "Leave the user's test positives out of the evaluation's draw.",
          ("test_negatives",), "--negatives with the evaluation's"),
    Check("evaluation_negatives", WARN, "an evaluation among sampled negatives", score_checks.evaluation_negatives,
          "Rank over all items; a sampled figure needs `sampled` in its name.", ("test_negatives",),
          "--negatives with the evaluation's"),
    Check("sampled_metric", FAIL, "sampled figures under a plain name", score_checks.sampled_metric,
          "Report the full ranking, and name a sampled figure as such.", ("ranks", "predictions"), "--predictions"),
    Check("ties", FAIL, "figures that equal scores decide", score_checks.ties,
          "Rank by unsaturated scores (logits in float32 or better), and count ties against the target.",
          ("predictions",), "--predictions"),
    Check("not_a_number", FAIL, "NaN or infinite numbers", score_checks.not_a_number,
          "Find where training diverged; a ranking of NaN puts targets anywhere.", ("predictions", "arrays"),
          "--predictions"),
    Check("chosen_on_test", WARN, "the best of several trials by the test", choice_checks.chosen_on_test,
          "Choose by a validation that ends before the test, and report the one trial that it chose.", ("trials",),
          "--results"),
)  # fmt: skip


def audit(parts: Parts, *, quick: bool = False, progress: Progress = no_progress) -> Verdict:
    """Run every check for which there is what it needs.

    Args:
        parts: what is known.
        quick: only the checks that belong to the end of every run.
        progress: called with the checks done.

    Raises:
        DataError: training or test is empty, or they have no item in common.
    """
    case = Case.of(parts)
    rows, skipped = [], {}
    for done, check in enumerate(CHECKS):
        progress(done, len(CHECKS), check.id)
        if quick and not check.quick:
            continue
        if check.needs and not any(case.given(need) for need in check.needs):
            skipped[check.id] = check.option
            continue
        finding = check.run(case)
        told = finding.verdict in (FAIL, WARN) or (check.level == INFO and bool(finding.share) and "future" in check.id)
        rows.append(Row(check.id, finding, check.advice if told else ""))
    progress(len(CHECKS), len(CHECKS))
    return Verdict(parts.name, tuple(rows), skipped, parts.notes)
