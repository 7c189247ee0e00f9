"""The future played on the past: which recipe should the devices follow, and what may be expected of it?

Before the cut-off lies a second, earlier one. An early model that has seen nothing at or after it is made personal for
a sample of users with their events right after it, by the device's own code, and judged on the events that came next.

1. Screening: every recipe of the grid, without the guard.
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
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.fingerprint import fingerprint
from pocketrec.cloud.base.processes import run_jobs
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.rehearse import RehearseConfig
from pocketrec.cloud.config.resources import ResourceConfig
from pocketrec.cloud.fleet.device import DeviceUser, Settings
from pocketrec.cloud.fleet.fleet import device_users
from pocketrec.cloud.rehearsal import choose as choosing
from pocketrec.cloud.rehearsal.trials import Rehearsing, Trial, Variant
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.contract.recipe import GuardRecipe, Recipe
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.engine.runtime import choose_runtime

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences

__all__ = ["FINALISTS", "RehearseJob", "Trial", "Variant", "grid", "rehearse"]

RECIPE_FILE: Final = "recipe.json"
REHEARSAL_FILE: Final = "rehearsal.json"
#: Recipes that go from the screening into the dress rehearsal.
FINALISTS: Final = 4
_TIMED_POWER: Final = 0.5  # of the events since, where the bonus for repeats looks at times


def grid(
    config: RehearseConfig, mask_seen: bool = False, clock: bool = False, sizes: Mapping[str, int] | None = None
) -> list[Trial]:
    """Every recipe of the configuration, the gentlest first (way, then rate times passes, then the stronger pull).

    A way is the gentler the fewer numbers it trains (`sizes`, by way; of equals the first that the configuration
    names).
    With a bonus for repeats a recipe may do without training; where seen items are masked (`mask_seen`) there is none.
    Only where the log's times are those of a device's `clock` may the bonus look at them.
    """
    forms = [Repeats(1.0, decay) for decay in config.decays]
    forms += [Repeats(1.0, 1.0, *form) for form in itertools.product(config.powers, config.follows)]
    if clock:
        timed = itertools.product([_TIMED_POWER], config.follows, config.time_powers)
        forms += [Repeats(1.0, 1.0, *form) for form in timed]
    bonuses = {
        form.times(strength) if strength and not mask_seen else Repeats()
        for strength, form in itertools.product(config.repeats, forms)
    }
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


def in_unix_seconds(log: Sequences) -> bool:
    """Whether a log's times look like Unix seconds, of the years 1973 to 2128, which every device's clock can give."""
    return bool(log.events and log.timestamps.min() >= 1e8 and log.timestamps.max() < 5e9)


@dataclass(frozen=True)
class RehearseJob:
    """What is rehearsed: all that the outcome depends on."""

    earliest: Sequences
    """Events before the earlier cut; the early model has seen nothing else."""
    later: Sequences
    """Events between the two cuts."""
    learn: NDArray[np.int64]
    """(len(later),), how many first events of each user the device learns from (all three from
    `pocketrec.cloud.data.split.rehearsal_split`)."""
    variants: Mapping[tuple[str, str], Variant]
    """(way, optimizer) -> files, one for every pair of ``config.ways`` and ``config.optimizers``."""
    config: RehearseConfig
    """The grid and the size of the sample."""
    evaluate: EvaluateConfig
    """Ties, mask and bootstrap samples."""
    trials: Sequence[Trial] | None = None
    """What is tried, the gentlest first; None = `grid` of the configuration."""
    seed: int = 1
    """Of the sample, the folds and the bootstrap."""


def rehearse(
    job: RehearseJob, folder: Path, *, resources: ResourceConfig | None = None, progress: Progress = no_progress
) -> dict[str, Any]:
    """Try the grid, choose, fit the guard's prior, forecast. A run that was killed resumes where it was.

    Args:
        job: what is rehearsed.
        folder: gets recipe.json (for the bundle), rehearsal.json (for the report), screening.jsonl and dress.jsonl.
        resources: processes and runtime; changes no figure.
        progress: called after every user of each of the two rounds.

    Returns:
        recipe.json as a dict; ``personalise`` is False where no recipe clearly gains.

    Raises:
        ConfigError: a variant is missing.
        PocketRecError: a model cannot be used, or a process died.
        StorageError: a file cannot be written.
    """
    variants, evaluate, trials = job.variants, job.evaluate, job.trials
    if trials is None:
        sizes = {way: variant.trained for (way, _), variant in variants.items()}
        trials = grid(job.config, evaluate.mask_seen, in_unix_seconds(job.earliest), sizes)
    missing = sorted({(t.way, t.optimizer) for t in trials} - set(variants))
    if missing:
        raise ConfigError(f"rehearsal has no model for {missing[0][0]} with {missing[0][1]}: export it first")
    resources = resources or ResourceConfig()
    settings = Settings(evaluate.ties, evaluate.mask_seen, choose_runtime(resources.runtime))
    users, left_out = device_users(job.earliest, job.later, job.learn, limit=job.config.users, seed=job.seed)
    folder.mkdir(parents=True, exist_ok=True)

    def play(name: str, chosen: Sequence[Trial], notes: str) -> list[dict[str, Any]]:
        lines = run_jobs(
            {user.user: user for user in users}, _screen if name == "screening" else _dress, folder / f"{name}.jsonl",
            _fingerprint(name, users, variants, chosen, settings), start=_start,
            arguments=(dict(variants), tuple(chosen), settings), processes=resources.processes,
            progress=lambda done, total, note="": progress(done, total, notes),
        )  # fmt: skip
        return list(lines.values())

    screened = play("screening", trials, f"{len(trials)} recipes") if users else []
    finalists = _finalists(trials, screened)
    dressed = play("dress", finalists, f"{len(finalists)} recipes with the guard") if users else []
    report = _judge(trials, finalists, screened, dressed, job.seed, evaluate.bootstrap)
    report["skipped"] = left_out
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


def _judge(
    trials: Sequence[Trial],
    finalists: Sequence[Trial],
    screened: Sequence[Mapping[str, Any]],
    dressed: Sequence[Mapping[str, Any]],
    seed: int,
    samples: int,
) -> dict[str, Any]:
    """rehearsal.json, with the recipe in it."""
    count = len(dressed)
    learn = np.array([entry["learn"] for entry in dressed], dtype=np.int64)
    outcomes = {trial.name: choosing.DressRehearsal.read(dressed, trial.name) for trial in finalists} if dressed else {}
    fitted = {(name, threshold): found for name, one in outcomes.items()
              for threshold, found in choosing.crossfit(one, count, seed).items()}  # fmt: skip
    gains = {key: gain for key, (gain, _) in fitted.items()}
    winner = choosing.choose(gains)
    recipe = Recipe(personalise=False)
    honest = np.zeros(count)
    if winner is not None:
        name, threshold = winner
        trial = next(t for t in finalists if t.name == name)
        guard = GuardRecipe(threshold=threshold, prior=choosing.fit_priors(outcomes[name], np.arange(count)))
        least = choosing.minimum_events(gains[winner], learn)
        recipe = dataclasses.replace(trial.recipe(guard), minimum_events=least)
        honest = choosing.honest_gain(gains, seed)
    expected = choosing.forecast(honest, learn, samples, seed)
    recipe = dataclasses.replace(recipe, forecast={"gain": expected["gain"], "by_length": expected["by_length"]})
    base = [entry["base"][0] for entry in dressed]
    rows = []
    for trial in trials:
        row: dict[str, Any] = {"name": trial.name, **dataclasses.asdict(trial)}
        if screened:
            unguarded = np.array([entry["gain"][trial.name] for entry in screened])  # (users, 2)
            row |= {"unguarded": choosing.summary(unguarded[:, 0]), "loglik": float(unguarded[:, 1].mean())}
        if trial.name in outcomes:  # under the threshold that was chosen, or that would be for this recipe alone
            own = {key: gain for key, gain in gains.items() if key[0] == trial.name}
            best = winner if winner in own else choosing.choose(own) or (trial.name, 0.0)
            kept = fitted[best][1]
            row |= {"guarded": choosing.summary(gains[best]), "threshold": best[1],
                    "kept": {choice: kept.count(choice) for choice in choosing.SHARES}}  # fmt: skip
        rows.append(row)
    return {
        "format": 1, "chosen": winner[0] if winner else "none", "users": count, "seed": seed,
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
    plain = {
        "name": name, "settings": dataclasses.asdict(settings), "users": [user.user for user in users],
        "trials": [dataclasses.asdict(trial) for trial in trials],
        "variants": [[*key, dataclasses.asdict(variant.ranker)] for key, variant in sorted(variants.items())],
    }  # fmt: skip
    files = itertools.chain.from_iterable((v.model, v.item_embeddings) for _, v in sorted(variants.items()))
    rows = itertools.chain.from_iterable((user.before, user.learn, user.test, user.times) for user in users)
    return fingerprint(plain, itertools.chain(files, rows))
