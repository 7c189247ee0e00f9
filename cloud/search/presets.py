# SPDX-License-Identifier: Apache-2.0
"""A short search among a few presets, judged before the cut-off; resumable.

Each preset is trained on the same share of the users of the earlier past and judged on the later part, as trials of
`pocketrec.cloud.search.search` are: all of them together cost little more than a training, whatever the log. The figure
after each epoch is looked at, so the best preset comes with the number of epochs that suits it.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from pocketrec.cloud.base.fingerprint import fingerprint
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.base.runs import read_json, write_json
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.search import SearchConfig
from pocketrec.cloud.data.prepared import CloudData
from pocketrec.cloud.search.search import MEASURE, Slice, Trial, train_trial
from pocketrec.device.base.errors import DataError

PRESETS_FILE: Final = "presets.json"
#: All presets together are trained on so many times the events of the earlier past, at most.
WORK: Final = 1.2
_NEARLY: Final = 0.01
_USERS: Final = 500  # that judge
_TRIAL: Final = "trial"


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was tried, and what is taken."""

    name: str
    """Of the preset that is taken."""
    tables: dict[str, Any]
    """Its tables ``model`` and ``train``, with the epochs that were best."""
    figures: dict[str, float]
    """Of each preset that was judged, MRR@20."""
    seconds: dict[str, float]
    """Of each, seconds of training."""
    share: float
    """Share of the users of the earlier past that each was trained on."""


def choose_preset(
    config: RunConfig,
    presets: Mapping[str, Mapping[str, Any]],
    data: CloudData,
    folder: Path,
    *,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress = no_progress,
) -> Choice:
    """Try the presets; a call that was interrupted resumes where it was.

    Args:
        config: of the run, whose tables ``model`` and ``train`` the presets replace.
        presets: name -> tables ``model`` and ``train``; the first is taken where the past is too short to judge.
        data: what lies before the cut-off.
        folder: gets `PRESETS_FILE`, rewritten after every preset.
        say: takes a line for every preset.
        progress: called for every step of a training.
    """
    share = min(1.0, WORK / len(presets))
    plain = config.to_dict()
    for name in ("resources", "model", "train"):
        del plain[name]
    key = fingerprint([plain, dict(presets), share], (data.before.offsets, data.before.items, data.before.timestamps))
    stored = read_json(folder / PRESETS_FILE)
    curves: dict[str, list[float]] = stored["curves"] if stored.get("key") == key else {}
    seconds: dict[str, float] = stored["seconds"] if stored.get("key") == key else {}
    try:
        judge = _judge(config, data, share)
    except DataError as error:
        name = next(iter(presets))
        say(f"preset {name}, untried: {error}")
        return Choice(name, dict(presets[name]), {}, {}, share)
    for name, tables in presets.items():
        if name not in curves:
            shutil.rmtree(folder / _TRIAL, ignore_errors=True)
            trial = Trial(len(curves), dict(tables))
            own = config_from_dict({**config.to_dict(), **tables})
            try:
                train_trial(trial, own, judge, [], folder / _TRIAL, progress)
            except DataError as error:
                trial.ended = str(error)
            shutil.rmtree(folder / _TRIAL, ignore_errors=True)
            curves[name], seconds[name] = trial.curve, trial.seconds
            write_json(folder / PRESETS_FILE, {"format": 1, "key": key, "measure": MEASURE, "share": share,
                                               "curves": curves, "seconds": seconds})  # fmt: skip
            best = f"{MEASURE} {max(trial.curve):.4f}" if trial.curve else trial.ended
            say(f"preset {name}: {best}, {trial.seconds:.1f} s")
    figures = {name: max(curve) for name, curve in curves.items() if curve}
    if not figures:
        raise DataError("no preset could be trained: write a configuration, see docs/configuration.md")
    name = max(figures, key=lambda one: figures[one])
    tables = {key: dict(table) for key, table in presets[name].items()}
    tables["train"]["epochs"] = epochs_of(curves[name])
    return Choice(name, tables, figures, seconds, share)


def epochs_of(curve: Sequence[float]) -> int:
    """The epochs to train for: the most after which the figure was within `_NEARLY` of the best.

    Rates fall to zero over the epochs, so a best figure before the end is chance as long as the end is hardly worse.
    """
    return max(place for place, figure in enumerate(curve) if figure >= (1 - _NEARLY) * max(curve)) + 1


def _judge(config: RunConfig, data: CloudData, share: float) -> Slice:
    """The later part of the past, with a share of the users of the earlier part to train on."""
    judge = Slice(dataclasses.replace(config, search=SearchConfig(users=_USERS)), data)
    if not len(judge.places(1).where):
        raise DataError("no event before the cut-off can be judged")
    count = max(1, round(share * len(judge.earlier)))
    chosen = np.random.default_rng(config.seed).choice(len(judge.earlier), count, replace=False)
    judge.earlier = judge.earlier.select(chosen)
    return judge
