# SPDX-License-Identifier: Apache-2.0
"""Checks of how a configuration was chosen: on the past, or on the test."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from pocketrec.cloud.audit.case import Case
from pocketrec.cloud.audit.finding import CANNOT_TELL, FAIL, OK, WARN, Finding

_DRAWS: Final = 1000
_MEASURES = ("recall", "hr", "hit", "mrr", "ndcg", "map", "auc", "precision", "score", "metric")
_VALID = ("val", "dev")


def trained_before_cut(case: Case) -> Finding:
    """Whether all that training, validation, rehearsal and search read lies before the cut-off."""
    cut = case.parts.cut_off
    if cut is None or "time" not in case.train:
        return Finding(CANNOT_TELL, "Cannot tell: the split has no one cut-off.")
    number = int((case.train["time"] >= cut).sum()) + int((case.later["time"] < cut).sum())
    return Finding(FAIL if number else OK, f"{number:,} events stand on the wrong side of the cut-off {cut:g}: what "
                   "training, validation, rehearsal and search read ends before it.", number,
                   number / (len(case.train) + len(case.later)))  # fmt: skip


def chosen_on_test(case: Case) -> Finding:
    """Whether the best of several trials was taken by a figure of the test, and what that alone gains."""
    trials = case.parts.trials
    assert trials is not None
    measures = [str(name) for name in trials if any(part in str(name).lower() for part in _MEASURES)]
    tests = [name for name in measures if not any(part in name.lower() for part in _VALID)]
    valids = [name for name in measures if name not in tests]
    if not tests:
        return Finding(OK, f"The results hold no figure of the test, only {', '.join(valids) or 'other columns'}.", 0)
    name = tests[0]
    numbers = pd.to_numeric(trials[name], errors="coerce").replace([np.inf, -np.inf], np.nan)
    values = trials.assign(**{name: numbers}).dropna(subset=[name])
    if "trial" in values and "user" in values:
        table = values.pivot_table(index="trial", columns="user", values=name).dropna(axis=1).to_numpy()
        means, gain = table.mean(1), _optimism(table, case.parts.seed) if table.shape[1] > 1 else 0.0
        how = f"choosing the best on the test alone gains {gain:+.4f}, by bootstrap over {table.shape[1]:,} users"
    else:
        means = values[name].to_numpy(float)
        gain = float(means.max() - means.mean()) if len(means) else 0.0
        how = f"the best is {gain:+.4f} above the mean of all (give a row for each trial and user for an estimate)"
    if len(means) < 2:
        return Finding(OK, "There is one trial: nothing was chosen.", len(means))
    if valids:
        return Finding(OK, f"{len(means)} trials, each with a figure of the validation ({valids[0]}) to choose by.",
                       len(means), None, {"gain": gain})  # fmt: skip
    return Finding(WARN, f"{name} of the test is given for {len(means)} trials and no figure of a validation: a "
                   f"maximum of {len(means)} trials; {how}.", len(means), None, {"gain": gain})  # fmt: skip


def _optimism(table: np.ndarray, seed: int) -> float:
    """Mean over bootstrap samples of users: figure of the best trial on the sample less its figure on the others."""
    generator, users = np.random.default_rng(seed), table.shape[1]
    gains = []
    for _ in range(_DRAWS):
        drawn = np.bincount(generator.integers(0, users, users), minlength=users)
        out = drawn == 0
        if not out.any():
            continue
        best = int((table @ drawn).argmax())
        gains.append(table[best] @ drawn / users - table[best, out].mean())
    return float(np.mean(gains)) if gains else 0.0
