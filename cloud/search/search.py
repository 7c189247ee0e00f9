# SPDX-License-Identifier: Apache-2.0
"""Random search over configurations, judged before the cut-off.

The past is cut again, as for the rehearsal: trials learn from the earlier part and are judged on the later one, in
the full ranking, every known event from all that its user had before it. What comes after the true cut-off is never
given to this module. Trials that fall behind are ended early by the median rule (Golovin et al., KDD 2017). The
baselines are searched by the same code on the same positions, so that a comparison with them is a fair one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from pocketrec.cloud.base.fingerprint import fingerprint
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.base.runs import write_json
from pocketrec.cloud.baselines.baseline import Past
from pocketrec.cloud.baselines.fitting import fit, judged
from pocketrec.cloud.config.moved import MOVED, values_of_run
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.data.prepared import CloudData
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.split import continued, rehearsal_split
from pocketrec.cloud.evaluation.ranking import Places, ScoresOf
from pocketrec.cloud.metrics import metrics
from pocketrec.cloud.rankers import make_ranker
from pocketrec.cloud.search.space import draw, space_of, with_values
from pocketrec.device.base.errors import ConfigError, DataError

SEARCH_FILE: Final = "search.json"
MEASURE: Final = metrics.HEADLINE

_TRIAL: Final = "trial"  # folder of the training at work
_PATIENT: Final = 1 / 3  # share of its epochs that every trial gets
_FIELD: Final = 3  # trials that the median rule needs

Figures = dict[str, float]


@dataclass
class Trial:
    """One configuration that was tried."""

    trial: int
    values: dict[str, Any]
    """What differs from the configuration searched around; nothing in trial 0."""
    curve: list[float] = field(default_factory=list)
    """MRR@20 after each epoch; of a baseline, one figure."""
    figures: Figures = field(default_factory=dict)
    """Every measure after the last epoch."""
    planned: int = 1
    """Epochs that it was to take."""
    seconds: float = 0.0
    """Of training."""
    ended: str = ""
    """Why it did not run to its end; empty where it did."""

    @property
    def score(self) -> float:
        """What trials are compared by: the headline figure of a whole trial."""
        return -1.0 if self.ended else self.figures[MEASURE]


class Slice:
    """The later part of the past, which judges.

    Args:
        config: split, rules of ranking, share and users of the slice.
        data: what lies before the cut-off.

    Raises:
        DataError: the past is too short to be cut again.
    """

    def __init__(self, config: RunConfig, data: CloudData) -> None:
        search = config.search
        self.items, self.by_user = len(data.vocabulary), data.personal
        self.features, self.categories = data.features, data.item_categories
        per_user, sessions = config.split.kind == "per_user", config.split.of_sessions
        self.earlier, later, _ = rehearsal_split(data.before, search.quantile, per_user=per_user, sessions=sessions)
        if 0 < search.users < len(later):
            drawn = np.random.default_rng(config.seed).choice(len(later), search.users, replace=False)
            later = later.select(drawn)
        self.whole, self.first = continued(self.earlier, later)

    def places(self, window: int, *, causal: bool = True) -> Places:
        """The positions, with contexts of `window` events; for a model that is `causal` or not."""
        return Places.of(self.whole, self.items, window, self.first, causal=causal)

    def figures(self, places: Places, scores: ScoresOf, config: RunConfig) -> Figures:
        """Every measure; means over users or over events, as the final evaluation has them."""
        ranks = places.ranks(scores, config.evaluate)
        if not ranks:
            raise DataError("no event before the cut-off can be judged: lower search.quantile")
        return metrics.user_means(ranks) if self.by_user else metrics.event_means(np.concatenate(ranks))


def search(
    config: RunConfig,
    data: CloudData,
    folder: Path,
    *,
    system: str = "global",
    trials: int = 20,
    seed: int = 1,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress = no_progress,
) -> list[Trial]:
    """Try configurations; a search that was killed, or is to take more trials, resumes where it was.

    Args:
        config: searched around; it is trial 0.
        data: what lies before the cut-off.
        folder: gets search.json, rewritten after every trial; it also has the figures of the baselines as configured.
        system: global, or a baseline (`pocketrec.cloud.config.baselines.BASELINES`).
        trials: in all, trial 0 included.
        seed: of the values drawn.
        say: takes a line for every trial.
        progress: called for every step of a training.

    Returns:
        All trials, in their order.

    Raises:
        ConfigError: the space does not fit, or the folder holds another search.
        DataError: the past is too short to be cut again.
    """
    space = space_of(config, system)
    key, key_of_then = _fingerprints(config, data.before, system, seed, space)
    document = _load(folder / SEARCH_FILE, (key, key_of_then))
    done = [Trial(**entry) for entry in document.get("trials", [])]
    judge = Slice(config, data)
    compared: dict[str, Figures] = document.get("baselines") or _baselines(config, judge, progress)
    shutil.rmtree(folder / _TRIAL, ignore_errors=True)  # of a search that was killed in the middle of a trial
    for number in range(len(done), trials):
        values = draw(space, seed, number)
        trial = Trial(number, values)
        try:
            _try(trial, with_values(config, values), judge, done, system, folder / _TRIAL, progress)
        except (ConfigError, DataError) as error:
            trial.ended = str(error).split(":")[0]
        shutil.rmtree(folder / _TRIAL, ignore_errors=True)
        done.append(trial)
        document = {"format": 1, "key": key, "system": system, "measure": MEASURE,
                    "baselines": compared, "trials": [dataclasses.asdict(t) for t in done]}  # fmt: skip
        write_json(folder / SEARCH_FILE, document)
        say(in_words(trial))
    return done


def best_of(trials: Sequence[Trial]) -> Trial:
    """The whole trial with the highest figure; of equal ones the first.

    Raises:
        DataError: none ran to its end.
    """
    whole = [trial for trial in trials if not trial.ended]
    if not whole:
        raise DataError("no trial ran to its end: correct the configuration or search.space")
    return max(whole, key=lambda trial: (trial.score, -trial.trial))


def in_words(trial: Trial) -> str:
    """A trial in one line."""
    found = trial.figures
    figures = f"{MEASURE} {found[MEASURE]:.4f}  recall@20 {found['recall@20']:.4f}" if found else ""
    values = " ".join(f"{key}={value}" for key, value in trial.values.items()) or "the configuration as it is"
    ended = f"  ended after {len(trial.curve)} of {trial.planned}: {trial.ended}" if trial.ended else ""
    return f"trial {trial.trial:>3}  {figures}  {trial.seconds:6.1f} s  {values}{ended}"


def is_behind(curve: Sequence[float], planned: int, others: Sequence[Trial]) -> bool:
    """The median rule: worse than the median of the other trials after the same share of their epochs."""
    share = len(curve) / planned
    if share < _PATIENT or share >= 1:
        return False
    reached = [other for other in others if len(other.curve) >= share * other.planned]
    if len(reached) < _FIELD:
        return False
    return curve[-1] < float(np.median([_at(other, share) for other in reached]))


def _at(trial: Trial, share: float) -> float:
    """A trial's figure after a share of its epochs, between two epochs in a straight line."""
    return float(np.interp(share * trial.planned, np.arange(len(trial.curve)) + 1.0, trial.curve))


def _try(trial: Trial, config: RunConfig, judge: Slice, others: Sequence[Trial], system: str, folder: Path,
         progress: Progress) -> None:
    if system == "global":
        train_trial(trial, config, judge, others, folder, progress)
        return
    figures = _baseline(config, judge, system, progress)
    if figures is None:
        raise ConfigError(f"{system} is switched off by its options: change them, or search another system")
    trial.figures, trial.curve = figures, [figures[MEASURE]]


def _baselines(config: RunConfig, judge: Slice, progress: Progress) -> dict[str, Figures]:
    """Figures of every baseline as it is configured."""
    found = {name: _baseline(config, judge, name, progress) for name in judged(config, personal=judge.by_user)}
    return {name: figures for name, figures in found.items() if figures is not None}


def _baseline(config: RunConfig, judge: Slice, name: str, progress: Progress) -> Figures | None:
    """Figures of a baseline; None where its options switch it off."""
    past = Past(judge.earlier, judge.items, config.seed, config.resources.threads, progress)
    baseline = fit(config, name, past)
    if baseline is None:
        return None
    places = judge.places(1)
    return judge.figures(places, places.by_baseline(baseline), config)


def train_trial(trial: Trial, config: RunConfig, judge: Slice, others: Sequence[Trial], folder: Path,
                progress: Progress) -> None:
    """Train a configuration on the earlier part and fill in the trial: curve, figures and seconds.

    Raises:
        ConfigError, DataError: the configuration cannot be trained on this log.
    """
    import keras

    from pocketrec.cloud.backbones import item_embeddings
    from pocketrec.cloud.evaluation.scoring import Embed, embed_positions, model_runner
    from pocketrec.cloud.training.trainer import TrainJob, train

    fixed = dataclasses.replace(config.train, validation=0.0)
    places = judge.places(config.model.window, causal=config.model.causal)
    trial.planned = fixed.epochs
    runner: list[Embed] = []

    def watch(model: keras.Model, _entry: dict[str, Any]) -> bool:
        runner.extend([] if runner else [model_runner(model)])
        embedded = embed_positions(model, places.where, runner[0])
        scores = places.by_embedding(embedded, item_embeddings(model), make_ranker(config.ranker.trained, model))
        trial.figures = judge.figures(places, scores, config)
        trial.curve.append(trial.figures[MEASURE])
        behind = is_behind(trial.curve, trial.planned, others)
        trial.ended = "below the median" if behind else ""
        return behind

    job = TrainJob(
        config.model, fixed, judge.earlier, judge.items, config.prune, config.ranker.trained, config.seed,
        config.evaluate.mask_seen, judge.features, categories=judge.categories,
    )  # fmt: skip
    trained = train(job, folder, watch=watch, progress=progress)
    trial.seconds = round(trained.seconds, 2)


def _fingerprints(
    config: RunConfig, before: Sequences, system: str, seed: int, space: Mapping[str, Any]
) -> tuple[str, str]:
    """What tells another search; and the same as searches of commit 8ba119b have it."""
    tables = {key: value for key, value in values_of_run(config).items() if key != "resources"}
    old = {new: old for old, new in MOVED.items()}
    keys = {old.get(key, key): entry for key, entry in space.items()}
    plain, arrays = [tables, system, seed, keys], (before.offsets, before.items, before.timestamps)
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return fingerprint(plain, arrays), digest.hexdigest()


def _load(path: Path, keys: tuple[str, str]) -> dict[str, Any]:
    """search.json; nothing where there is none."""
    if not path.exists():
        return {}
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if document["key"] in keys:
            for entry in document["trials"]:
                Trial(**entry)
                entry["values"] = {MOVED.get(key, key): value for key, value in entry["values"].items()}
            return document
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"cannot read {path}: delete it, or name another folder with --out") from None
    raise ConfigError(f"{path.parent} holds the search of another configuration, seed or log: name another with --out")
