# SPDX-License-Identifier: Apache-2.0
"""The future played on the past: which recipe should the devices follow, and what may be expected of it?

Before the cut-off lies a second, earlier one. An early model that has seen nothing at or after it is made personal for
a sample of users with their events right after it, by the device's own code, and judged on the events that came next.

0. Without any training: how strongly item-kNN is added to the network (`pocketrec.cloud.rehearsal.neighbouring`), then
   the bonus for repeats (`pocketrec.cloud.rehearsal.bonus`). All that follows has the neighbours.
1. Screening: every recipe of the grid, without the guard; of many trainings the best ones alone go on to all users.
2. Dress rehearsal: the most promising ones with the guard; its prior is fitted here.
3. The winner by guarded gain, with uncertainty in mind, or none at all; forecast by history length.

Nothing at or after the cut-off is seen. This module never imports the exporter: the pipeline hands it the files.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.fingerprint import fingerprint
from pocketrec.cloud.base.processes import run_jobs
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.rehearse import RehearseConfig
from pocketrec.cloud.config.resources import ResourceConfig
from pocketrec.cloud.data.clock import clock_of
from pocketrec.cloud.fleet.device import DeviceUser, Settings
from pocketrec.cloud.fleet.fleet import device_users
from pocketrec.cloud.rehearsal import choose as choosing
from pocketrec.cloud.rehearsal import halving
from pocketrec.cloud.rehearsal.fitting import (
    BONUS_FILE,
    NEIGHBOURS_FILE,
    bonuses_of,
    fitted_bonus,
    fitted_neighbours,
)
from pocketrec.cloud.rehearsal.harm import USUAL_PRICE, compared, pays, reliability
from pocketrec.cloud.rehearsal.job import RehearseJob
from pocketrec.cloud.rehearsal.trials import Rehearsing, Trial, Variant
from pocketrec.device.base.digest import sha256_of
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.contract.recipe import CHOICES, GuardRecipe, Recipe
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.engine.runtime import choose_runtime
from pocketrec.device.personal.guard import GLOBAL, PERSONAL, Decision

__all__ = ["FINALISTS", "RehearseJob", "Trial", "Variant", "grid", "rehearse"]

RECIPE_FILE: Final = "recipe.json"
REHEARSAL_FILE: Final = "rehearsal.json"
#: Recipes that go from the screening into the dress rehearsal.
FINALISTS: Final = 4


def grid(
    config: RehearseConfig, mask_seen: bool = False, periods: bool = False, sizes: Mapping[str, int] | None = None,
    fitted: Repeats | None = None,
) -> list[Trial]:
    """Every recipe of the configuration, the gentlest first (way, then rate times passes, then the stronger pull).

    A way is the gentler the fewer numbers it trains (`sizes`, by way; of equals the first that the configuration
    names).
    With a bonus for repeats a recipe may do without training; where seen items are masked (`mask_seen`) there is none.
    Only where differences of the log's times are `periods` may the bonus look at them (`cloud.data.clock`). A bonus
    that was `fitted` stands in place of all those of the configuration; one of strength 0 says that none is worth
    having.
    """
    bonuses = {Repeats()} if mask_seen else bonuses_of(config, periods)
    if fitted is not None:
        bonuses = {fitted} if fitted.strength and 0.0 not in config.repeats else {fitted, Repeats()}
        bonuses = {bonus if bonus.strength else Repeats() for bonus in bonuses}
    ordered = sorted(config.ways, key=lambda way: (sizes or {}).get(way, 0))
    place = {way: index for index, way in enumerate(ordered)}
    trainings = list(
        itertools.product(
            ordered,
            config.optimizers,
            config.learning_rates,
            config.proximals,
            config.targets,
            config.passes,
        )
    )
    trials = {Trial(*training, bonus) for training in trainings for bonus in bonuses}
    trials |= {Trial(*trainings[0][:-1], 0, bonus) for bonus in bonuses if bonus.strength}
    return sorted(
        trials,
        key=lambda t: (
            t.passes > 0,
            place[t.way],
            t.learning_rate * t.passes,
            -t.proximal,
            t.optimizer,
            t.repeats.strength,
            t.name,
        ),
    )


def rehearse(
    job: RehearseJob, folder: Path, *, resources: ResourceConfig | None = None, progress: Progress = no_progress
) -> dict[str, Any]:
    """Try the grid, choose, fit the guard's prior, forecast. A run that was killed resumes where it was.

    Args:
        job: what is rehearsed.
        folder: gets recipe.json (for the bundle), rehearsal.json (for the report), screening.jsonl and dress.jsonl, and
            screening-first.jsonl where the grid is large.
        resources: processes and runtime; changes no figure.
        progress: called after every user of each round.

    Returns:
        recipe.json as a dict; ``personalise`` is False where no recipe gains clearly and harms few.

    Raises:
        ConfigError: a variant is missing.
        PocketRecError: a model cannot be used, or a process died.
        StorageError: a file cannot be written.
    """
    resources = resources or ResourceConfig()
    folder.mkdir(parents=True, exist_ok=True)
    if job.neighbours is not None:
        near = fitted_neighbours(job, folder, resources=resources, progress=progress)
        with_near = {key: dataclasses.replace(variant, neighbours=near) for key, variant in job.variants.items()}
        job = dataclasses.replace(job, neighbours=near, variants=with_near)
    variants, evaluate, trials = job.variants, job.evaluate, job.trials
    clock = clock_of(job.earliest)
    if trials is None:
        sizes = {way: variant.trained for (way, _), variant in variants.items()}
        fitted = fitted_bonus(job, folder, resources=resources, progress=progress)
        trials = grid(job.config, evaluate.mask_seen, clock.periods, sizes, fitted)
    missing = sorted({(t.way, t.optimizer) for t in trials} - set(variants))
    if missing:
        raise ConfigError(f"rehearsal has no model for {missing[0][0]} with {missing[0][1]}: export it first")
    settings = Settings(evaluate.ties, evaluate.mask_seen, choose_runtime(resources.runtime))
    users, left_out = device_users(job.earliest, job.later, job.learn, limit=job.config.users, seed=job.seed)

    def play(name: str, chosen: Sequence[Trial], notes: str, every: int = 1) -> list[dict[str, Any]]:
        some = users[::every]
        lines = run_jobs(
            {user.user: user for user in some}, _dress if name == "dress" else _screen, folder / f"{name}.jsonl",
            _fingerprint(name, some, variants, chosen, settings), start=_start,
            arguments=(dict(variants), tuple(chosen), settings), processes=resources.processes,
            progress=lambda done, total, note="": progress(done, total, notes),
        )  # fmt: skip
        return list(lines.values())

    first: list[dict[str, Any]] = []
    tried = trials
    if halving.pays(trials, len(users)):
        first = play("screening-first", trials, f"{len(trials)} recipes, a first round", halving.EVERY)
        tried = halving.survivors(trials, first)
    screened = play("screening", tried, f"{len(tried)} recipes") if users else []
    finalists = _finalists(tried, screened)
    dressed = play("dress", finalists, f"{len(finalists)} recipes with the guard") if users else []
    bonus = json.loads((folder / BONUS_FILE).read_bytes()) if (folder / BONUS_FILE).exists() else {}
    prices = (job.config.harm, max(bonus.get("price", 0.0), USUAL_PRICE))
    report = _judge(trials, finalists, (screened, first), dressed, job.seed, evaluate.bootstrap, prices)
    if any(variant.second is not None for variant in variants.values()):
        report["ranking"] = "two_stages"
    report["skipped"], report["clock"] = left_out, clock.in_words()
    if bonus:
        report["bonus"] = bonus
    if (folder / NEIGHBOURS_FILE).exists():
        report["neighbours"] = json.loads((folder / NEIGHBOURS_FILE).read_bytes())
    recipe: dict[str, Any] = report["recipe"]
    for name, content in ((RECIPE_FILE, recipe), (REHEARSAL_FILE, report)):
        write_atomic(folder / name, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))
    return recipe


def _finalists(trials: Sequence[Trial], screened: Sequence[Mapping[str, Any]]) -> list[Trial]:
    """The most promising recipes by unguarded gain, in the order of the grid.

    First the best of each kind (bonus for repeats alone, training alone, both), then the best of all; best is the
    highest mean gain in reciprocal rank less one standard error. Log-likelihood is reported but does not choose: it
    falls with over-confidence, which a ranking does not mind.
    """
    if not screened:
        return list(trials[:FINALISTS])
    bounds = {t.name: choosing.bound(np.array([entry["gain"][t.name][0] for entry in screened])) for t in trials}
    ordered = sorted(trials, key=lambda t: -bounds[t.name])
    kinds: dict[tuple[bool, bool], Trial] = {}
    for trial in ordered:
        kinds.setdefault((trial.passes > 0, trial.repeats.strength > 0), trial)
    chosen = list(dict.fromkeys([*kinds.values(), *ordered]))[:FINALISTS]
    return [trial for trial in trials if trial in chosen]


@dataclass(frozen=True)
class _Guarded:
    """One recipe with the guard that suits it."""

    gain: NDArray[np.float64]
    """[users]"""
    decisions: list[Decision]
    """Of a guard that was fitted to other users, also where it is off."""
    threshold: float | None
    """Of the guard; None = it is off."""
    against: dict[str, Any]
    """With the guard and without it."""
    reliability: list[dict[str, Any]]
    """See `pocketrec.cloud.rehearsal.harm.reliability`."""

    def to_dict(self) -> dict[str, Any]:
        """For the recipe's line in rehearsal.json."""
        off = self.threshold is None
        kept = [PERSONAL if off else one.choice for one in self.decisions]
        return {"guarded": choosing.summary(self.gain), "threshold": self.threshold, "guard": not off,
                "kept": {choice: kept.count(choice) for choice in (GLOBAL, *CHOICES)},
                "against": self.against, "reliability": self.reliability}  # fmt: skip


def _guarded(dressed: choosing.DressRehearsal, count: int, seed: int, aim: float, price: float) -> _Guarded:
    """The best threshold of the guard, or none where it is not worth having."""
    fitted = choosing.crossfit(dressed, count, seed, price)
    gains = {threshold: gain for threshold, (gain, _) in fitted.items()}
    best = choosing.choose(gains, aim=aim, least=0.0)
    threshold = min(gains) if best is None else best
    gain, decisions = fitted[threshold]
    plain = np.where([one.diverged for one in dressed.judgements], 0.0, dressed.gains[PERSONAL])
    on = pays(gain, plain)
    return _Guarded(gain if on else plain, decisions, threshold if on else None, compared(gain, plain),
                    reliability(decisions, gain))  # fmt: skip


def _judge(
    trials: Sequence[Trial],
    finalists: Sequence[Trial],
    rounds: Sequence[Sequence[Mapping[str, Any]]],
    dressed: Sequence[Mapping[str, Any]],
    seed: int,
    samples: int,
    prices: tuple[float, float],
) -> dict[str, Any]:
    """rehearsal.json, with the recipe in it.

    Args:
        trials: the grid.
        finalists: those of the dress rehearsal.
        rounds: of the screening, the last one first.
        dressed: lines of the dress rehearsal.
        seed: of folds and bootstrap.
        samples: of the bootstrap.
        prices: the aim (gained for each one harmed), and what harm costs.
    """
    aim, price = prices
    count = len(dressed)
    learn = np.array([entry["learn"] for entry in dressed], dtype=np.int64)
    outcomes = {trial.name: choosing.DressRehearsal.read(dressed, trial.name) for trial in finalists} if dressed else {}
    found = {name: _guarded(one, count, seed, aim, price) for name, one in outcomes.items()}
    gains = {name: one.gain for name, one in found.items()}
    winner = choosing.choose(gains, aim=aim)
    recipe = Recipe(personalise=False)
    honest = np.zeros(count)
    if winner is not None:
        trial = next(t for t in finalists if t.name == winner)
        guard = GuardRecipe(enabled=False)
        if (threshold := found[winner].threshold) is not None:
            priors = choosing.fit_priors(outcomes[winner], np.arange(count))
            guard = GuardRecipe(threshold=threshold, prior=priors, price=price)
        least = choosing.minimum_events(gains[winner], learn)
        recipe = dataclasses.replace(trial.recipe(guard), minimum_events=least)
        honest = choosing.honest_gain(gains, seed, aim)
    expected = choosing.forecast(honest, learn, samples, seed)
    recipe = dataclasses.replace(recipe, forecast={"gain": expected["gain"], "by_length": expected["by_length"]})
    base = [entry["base"][0] for entry in dressed]
    rows = []
    for trial in trials:
        row: dict[str, Any] = {"name": trial.name, **dataclasses.asdict(trial)}
        if lines := next((part for part in rounds if part and trial.name in part[0]["gain"]), None):
            unguarded = np.array([entry["gain"][trial.name] for entry in lines])  # (users, 2)
            row |= {"unguarded": choosing.summary(unguarded[:, 0]), "loglik": float(unguarded[:, 1].mean()),
                    "screened": len(lines)}  # fmt: skip
        if trial.name in found:
            row |= found[trial.name].to_dict()
        rows.append(row)
    return {
        "format": 1, "chosen": winner or "none", "users": count, "seed": seed,
        "global": {"mrr@20": float(np.mean(base)) if base else 0.0},
        "recipe": recipe.to_dict(), "forecast": expected, "trials": rows,
    }  # fmt: skip


_process: Rehearsing | None = None


def _start(variants: Mapping[tuple[str, str], Variant], trials: Sequence[Trial], settings: Settings) -> None:
    global _process
    _process = Rehearsing(variants, trials, settings)


def _screen(user: DeviceUser) -> dict[str, Any]:
    if _process is None:
        raise RuntimeError("the process was not started by rehearse")
    return _process.screen(user)


def _dress(user: DeviceUser) -> dict[str, Any]:
    if _process is None:
        raise RuntimeError("the process was not started by rehearse")
    return _process.dress(user)


def _fingerprint(
    name: str,
    users: Sequence[DeviceUser],
    variants: Mapping[tuple[str, str], Variant],
    trials: Sequence[Trial],
    settings: Settings,
) -> str:
    """Changes with all that a figure depends on."""
    plain: dict[str, Any] = {
        "name": name, "settings": dataclasses.asdict(settings), "users": [user.user for user in users],
        "trials": [dataclasses.asdict(trial) for trial in trials],
        "variants": [[*key, dataclasses.asdict(variant.ranker)] for key, variant in sorted(variants.items())],
    }  # fmt: skip
    near = next(iter(variants.values())).neighbours if variants else None
    if near is not None:
        plain["neighbours"] = sha256_of(near.to_bytes())
    files = itertools.chain.from_iterable((v.model, v.item_embeddings) for _, v in sorted(variants.items()))
    rows = itertools.chain.from_iterable((user.before, user.learn, user.test, user.times) for user in users)
    return fingerprint(plain, itertools.chain(files, rows))
