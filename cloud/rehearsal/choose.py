# SPDX-License-Identifier: Apache-2.0
"""From what rehearsed users went through to a decision: the guard's prior, the winner, the forecast.

Everything is judged on users that it was not fitted to: users are dealt into folds, the prior that decides for a
fold's users is fitted to the others, and the forecast chooses the recipe again on the others too. So the best of many
recipes is not taken at its own word. This module knows nothing about models or files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.metrics.metrics import MARGIN, bootstrap_mean, gained_harmed, length_groups
from pocketrec.cloud.rehearsal.folds import folds_of
from pocketrec.cloud.rehearsal.harm import fit_spread
from pocketrec.device.contract.recipe import CHOICES, GuardRecipe, Line, Prior, Signal
from pocketrec.device.personal.guard import GLOBAL, Decision, decide, posterior_gain
from pocketrec.device.personal.judgement import Judgement, Observed

Floats = NDArray[np.float64]
Name = TypeVar("Name")

#: Standard errors taken off a mean gain before recipes are compared with each other.
CAUTION: Final = 1.0
#: Standard errors by which the winner's gain must exceed zero, or nobody is made personal (5 % one-sided).
CLEAR: Final = 1.645
#: Users that should gain for each one that is harmed, where the configuration does not say.
GAINED_FOR_HARMED: Final = 5.0
#: Users that must gain for each one that is harmed, or nobody is made personal: where fewer did in rehearsal, hardly
#: more gained than were harmed later (docs/decisions.md). Less where the configuration asks for less.
LEAST_FOR_HARMED: Final = 2.0
#: Posterior gains that the guard may ask for before it uses personal weights.
THRESHOLDS: Final = (0.01, 0.005, 0.0)
#: Share of a rehearsed gain that comes in the future, and how far the share differs between periods and logs (one
#: standard deviation). The final model has seen more than the early one and leaves less to gain: docs/decisions.md has
#: the logs and cuts that both are taken from.
COMES: Final = 0.85
COMES_SPREAD: Final = 0.15
_TWO_SIDED: Final = 1.96  # standard deviations of a 95 % interval
_STRENGTHS: Final = (2.0, 5.0, 10.0, 20.0, 50.0)
_HALF: Final = 5.0  # test positions at which a user's own mean is half trusted
_TINY: Final = 1e-12


@dataclass(frozen=True)
class DressRehearsal:
    """One recipe in dress rehearsal, users in a fixed order."""

    judgements: list[Judgement]
    """What the guard would see."""
    gains: dict[str, Floats]
    """By choice: [users], the real gain in mean reciprocal rank."""
    weights: Floats
    """[users] how far a user's gain is trusted, by the number of test positions."""

    @classmethod
    def read(cls, entries: Sequence[Mapping[str, Any]], trial: str) -> DressRehearsal:
        """From the lines of the dress rehearsal."""
        dressed = [entry["trials"][trial] for entry in entries]
        judgements = [
            Judgement(one["events"], one["heldback"],
                      {choice: Observed(**seen) for choice, seen in one["observed"].items()}, one["diverged"])
            for one in dressed
        ]  # fmt: skip
        gains = {choice: np.array([one["gain"][choice] for one in dressed]) for choice in CHOICES}
        tests = np.array([entry["test"] for entry in entries], dtype=np.float64)
        return cls(judgements, gains, tests / (tests + _HALF))


def fit_priors(dressed: DressRehearsal, users: NDArray[np.int64]) -> dict[str, Prior]:
    """The guard's priors of all choices, from some of the rehearsed users."""
    found = {}
    for choice in dressed.gains:
        prior = _fit_prior(dressed, choice, users)
        judgements = [dressed.judgements[user] for user in users]
        expected = [posterior_gain(prior, one.events, one.heldback, one.observed.get(choice)) for one in judgements]
        events = np.array([one.events for one in judgements], dtype=np.float64)
        spread = fit_spread(np.array(expected), events, dressed.gains[choice][users])
        found[choice] = dataclasses.replace(prior, spread=spread)
    return found


def guarded(
    dressed: DressRehearsal, users: NDArray[np.int64], guard: GuardRecipe
) -> tuple[Floats, list[Decision]]:
    """Real gain of some users, and what the guard decides for each of them."""
    decisions = [decide(guard, dressed.judgements[user]) for user in users]
    pairs = zip(decisions, users, strict=True)
    gain = [0.0 if one.choice == GLOBAL else dressed.gains[one.choice][user] for one, user in pairs]
    return np.array(gain, dtype=np.float64), decisions


def crossfit(
    dressed: DressRehearsal, count: int, seed: int, price: float = 0.0
) -> dict[float, tuple[Floats, list[Decision]]]:
    """Guarded gain and decision for every user, [count], under priors fitted to other users, for each threshold."""
    found: dict[float, tuple[Floats, list[Decision]]] = {
        threshold: (np.zeros(count), [Decision(GLOBAL, "")] * count) for threshold in THRESHOLDS
    }
    for others, own in folds_of(count, seed):
        priors = fit_priors(dressed, others)
        for threshold, (gain, decisions) in found.items():
            gain[own], decided = guarded(dressed, own, GuardRecipe(prior=priors, threshold=threshold, price=price))
            for user, decision in zip(own, decided, strict=True):
                decisions[user] = decision
    return found


def bound(gain: Floats, errors: float = CAUTION) -> float:
    """Mean gain less some standard errors; minus infinity for fewer than two users."""
    if len(gain) < 2:
        return -np.inf
    return float(gain.mean() - errors * gain.std(ddof=1) / np.sqrt(len(gain)))


def choose(
    gains: Mapping[Name, Floats],
    errors: float = CLEAR,
    aim: float = GAINED_FOR_HARMED,
    least: float = LEAST_FOR_HARMED,
) -> Name | None:
    """The winner among recipes, by the guarded gains of the same users; None where nothing gains clearly and harms few.

    Recipes with at least `aim` users gained for each one harmed are preferred. Among them the one with
    the highest bound (mean less one standard error) leads. Others that are as good, that is within half a standard
    error of the paired difference, win if they harm fewer users; of equals the first named wins, so name the gentler
    ones first. Whoever does not exceed zero by `errors` standard errors, or has fewer than `least` users gained for
    each one harmed, is not considered.
    """
    counts = {name: gained_harmed(gain) for name, gain in gains.items()}
    clear = [name for name, gain in gains.items()
             if bound(gain, errors) > 0 and counts[name][0] >= min(least, aim) * counts[name][1]]  # fmt: skip
    mild = [name for name in clear if counts[name][0] >= aim * counts[name][1]]
    eligible = mild or clear
    if not eligible:
        return None
    leader = max(eligible, key=lambda name: (bound(gains[name]), -eligible.index(name)))
    equals = [name for name in eligible if name == leader or _as_good(gains[name], gains[leader])]
    return min(equals, key=lambda name: counts[name][1])


def honest_gain(gains: Mapping[Name, Floats], seed: int, aim: float = GAINED_FOR_HARMED) -> Floats:
    """Gain of every user under the recipe that the other folds' users would choose: what the choice itself is worth.

    A gain must be as clear there as it had to be on all users, for as many as there are: else the forecast would be of
    a recipe that gains next to nothing and harms nobody, where devices get another. Asked where some recipe has won on
    all users: a fold in which none will do asks for less, first of gained for harmed, for a winner near the limit is
    below it among some of the users.
    """
    count = len(next(iter(gains.values())))
    result = np.zeros(count)
    for others, own in folds_of(count, seed + 1):
        part = {name: gain[others] for name, gain in gains.items()}
        clear = CLEAR * float(np.sqrt(len(others) / count))
        for errors, least in ((clear, LEAST_FOR_HARMED), (clear, 0.0), (0.0, 0.0)):
            winner = choose(part, errors, aim, least)
            if winner is not None:
                result[own] = gains[winner][own]
                break
    return result


def minimum_events(gain: Floats, events: NDArray[np.int64], steps: Sequence[int] = (1, 3, 6, 11, 21)) -> int:
    """Fewest events worth training on: raised past the shortest histories as long as they clearly lose."""
    least = steps[0]
    for step in steps[1:]:
        shortest = gain[(events >= least) & (events < step)]
        if len(shortest) < 2 or shortest.mean() + shortest.std(ddof=1) / np.sqrt(len(shortest)) >= 0:
            break
        least = step
    return least


def forecast(gain: Floats, learn: NDArray[np.int64], samples: int, seed: int) -> dict[str, Any]:
    """Expected gain in MRR@20 of a device that follows the recipe, overall and by history length.

    ``rehearsed`` is what the rehearsed users gained; ``mean``, ``low`` and ``high`` say what may come (`_estimate`).
    """
    return {
        "gain": _estimate(gain, samples, seed),
        "spread": {f"p{p}": float(np.percentile(gain, p)) for p in (5, 25, 50, 75, 95)} if len(gain) else {},
        "by_length": [
            {"low": low, "high": high, "users": len(index), "gain": _estimate(gain[index], samples, seed)}
            for low, high, index in length_groups(learn)
        ],
    }


def summary(gain: Floats) -> dict[str, Any]:
    """Mean gain, its standard error, and users gained and harmed (by more than `MARGIN`)."""
    gained, harmed = gained_harmed(gain, MARGIN)
    error = float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else None
    return {"mean": float(gain.mean()) if len(gain) else 0.0, "error": error, "gained": gained, "harmed": harmed}


def _as_good(gain: Floats, leader: Floats) -> bool:
    difference = gain - leader
    if len(difference) < 2:
        return False
    return bool(difference.mean() >= -0.5 * difference.std(ddof=1) / np.sqrt(len(difference)) - _TINY)


def _estimate(gain: Floats, samples: int, seed: int) -> dict[str, float | None]:
    """What is to be expected of later users in a later period.

    The 95 % interval holds how users differ (bootstrap) and how periods do (`COMES_SPREAD`), which are independent.
    """
    seen = bootstrap_mean(gain, samples, seed)
    between = _TWO_SIDED * COMES_SPREAD * abs(seen.mean)
    mean = COMES * seen.mean
    interval = {
        "mean": mean, "low": mean - float(np.hypot(COMES * (seen.mean - seen.low), between)),
        "high": mean + float(np.hypot(COMES * (seen.high - seen.mean), between)), "rehearsed": seen.mean,
    }  # fmt: skip
    return {name: value if np.isfinite(value) else None for name, value in interval.items()}


def _fit_prior(dressed: DressRehearsal, choice: str, users: NDArray[np.int64]) -> Prior:
    gain = dressed.gains[choice][users]
    weights = dressed.weights[users]
    judgements = [dressed.judgements[user] for user in users]
    events = np.array([one.events for one in judgements], dtype=np.float64)
    line = _fit_line(events, gain, weights)
    judged = np.array([bool(one.observed) for one in judgements], dtype=bool)
    if judged.sum() < 8:  # too few to say what a signal is worth
        return Prior(gain=line, loglik=Signal(), rr=Signal())
    m = np.array([one.heldback for one in judgements], dtype=np.float64)[judged]
    seen = [one.observed[choice] for one in judgements if one.observed]
    signals = {"loglik": np.array([one.loglik for one in seen]), "rr": np.array([one.rr for one in seen])}
    expected = {name: _fit_line(events[judged], values, m / (m + _HALF)) for name, values in signals.items()}
    rest = gain[judged] - _at(line, events[judged])
    surprise = {name: values - _at(expected[name], events[judged]) for name, values in signals.items()}
    best: tuple[float, dict[str, Signal]] | None = None
    for strength in _STRENGTHS:
        columns = {name: m / (m + strength) * values for name, values in surprise.items()}
        worth = _fit_weights(columns, rest, weights[judged])
        left = rest - sum(worth[name] * columns[name] for name in columns)
        cost = float((weights[judged] * left**2).sum())
        if best is None or cost < best[0] - _TINY:
            best = cost, {name: Signal(expected[name], worth[name], strength) for name in columns}
    fitted = best[1] if best else {}
    return Prior(line, fitted.get("loglik", Signal()), fitted.get("rr", Signal()))


def _fit_weights(columns: Mapping[str, Floats], rest: Floats, weights: Floats) -> dict[str, float]:
    """Weighted least squares without intercept; signals that would count negatively are left out, noise is shrunk."""
    names = list(columns)
    while names:
        X = np.stack([columns[name] for name in names], axis=1)  # (n, S)
        normal = X.T @ (weights[:, None] * X) + _TINY * np.eye(len(names))
        solution = np.linalg.solve(normal, X.T @ (weights * rest))
        if (solution >= 0).all():
            left = rest - X @ solution
            noise = (weights * left**2).sum() / max(1.0, len(rest) - len(names))
            error = np.sqrt(np.maximum(noise * np.diag(np.linalg.inv(normal)), _TINY))
            shrunk = [float(value * _trust(value, spread)) for value, spread in zip(solution, error, strict=True)]
            return {name: 0.0 for name in columns} | dict(zip(names, shrunk, strict=True))
        names.pop(int(solution.argmin()))
    return {name: 0.0 for name in columns}


def _fit_line(events: Floats, values: Floats, weights: Floats) -> Line:
    """Weighted least squares on log(1 + n), the slope shrunk by how sure it is."""
    if not len(values) or weights.sum() <= 0:
        return Line()
    x = np.log1p(events)
    center, mean = np.average(x, weights=weights), np.average(values, weights=weights)
    scatter = (weights * (x - center) ** 2).sum()
    if len(values) < 3 or scatter < _TINY:
        return Line(float(mean), 0.0)
    slope = (weights * (x - center) * (values - mean)).sum() / scatter
    left = values - mean - slope * (x - center)
    error = np.sqrt(max((weights * left**2).sum() / (len(values) - 2) / scatter, _TINY))
    slope *= _trust(slope, error)
    return Line(float(mean - slope * center), float(slope))


def _trust(value: float, error: float) -> float:
    """Between 0 (noise) and 1 (certain): t^2 / (1 + t^2)."""
    t = value / error
    return float(t * t / (1 + t * t))


def _at(line: Line, events: Floats) -> Floats:
    return line.intercept + line.slope * np.log1p(events)
