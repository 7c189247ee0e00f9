# SPDX-License-Identifier: Apache-2.0
"""What one rehearsed user goes through, with the device's own code: a screening of all recipes, and a dress rehearsal.

The screening trains once for each run (way, optimiser, rate, pull, targets) and reads the gain off after each number
of passes. The dress rehearsal lives through a recipe as a device does: some events are held back and judged, and the
real gain of what the guard may choose is measured on the events that came next.

Runs in processes without TensorFlow; knows nothing about how recipes are chosen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.config.ranker import INNER_PRODUCT, RankerConfig
from pocketrec.cloud.fleet.device import DeviceUser, Settings, SimulatedDevice, add_bonus, known_positions
from pocketrec.cloud.metrics.metrics import ranks, reciprocal
from pocketrec.cloud.rehearsal.words import recipe_in_words
from pocketrec.device.contract.neighbours import Neighbours
from pocketrec.device.contract.recipe import CHOICES, GuardRecipe, Prior, Recipe, Targets
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.personal.guard import blend, finite, judge, learned_since
from pocketrec.device.personal.options import Start, TrainingOptions
from pocketrec.device.personal.training import fine_tune, steps_of

#: Most test positions judged for one user, spread evenly: more tell little and cost time.
POSITIONS: Final = 30
_DEPTH: Final = 20  # of the reciprocal rank
_WEIGHED: Final = GuardRecipe(prior=dict.fromkeys(CHOICES, Prior()))  # all choices are judged


@dataclass(frozen=True)
class Variant:
    """The early model exported for one way and optimiser of personal training."""

    model: Path
    """The .tflite file of the model that has seen nothing at or after the earlier cut."""
    item_embeddings: Path
    """[N+1, E] float32 .npy: the item table as it is in the file."""
    trained: int = 0
    """Numbers that the way trains: the fewer, the gentler it is."""
    ranker: RankerConfig = INNER_PRODUCT
    """How its embeddings become scores."""
    neighbours: Neighbours | None = None
    """What is added to its scores; None = nothing."""
    second: Path | None = None
    """The ranker of the second stage in the file (.npz): what is searched comes in its order. None = the first stage is
    all there is."""


@dataclass(frozen=True)
class Trial:
    """One recipe of the grid."""

    way: str
    optimizer: str
    learning_rate: float
    proximal: float
    targets: str
    passes: int
    repeats: Repeats = field(default_factory=Repeats)

    @property
    def name(self) -> str:
        """Unique, and short enough for a chart."""
        return recipe_in_words(self.recipe())

    @property
    def run(self) -> Trial:
        """The training that it is read off from: all but the passes and what is added to scores."""
        return dataclasses.replace(self, passes=0, repeats=Repeats())

    def recipe(self, guard: GuardRecipe | None = None) -> Recipe:
        """As the device follows it."""
        return Recipe(
            way=self.way, optimizer=self.optimizer, learning_rate=self.learning_rate, passes=self.passes,
            proximal=self.proximal, targets=cast(Targets, self.targets), repeats=self.repeats,
            guard=guard or GuardRecipe(),
        )  # fmt: skip


class Rehearsing:
    """What one process holds: the variants of the early model and the recipes to try."""

    def __init__(
        self, variants: Mapping[tuple[str, str], Variant], trials: Sequence[Trial], settings: Settings
    ) -> None:
        self.trials, self.settings = trials, settings
        self.devices = {
            key: SimulatedDevice(variant.model, variant.item_embeddings, settings.runtime, variant.ranker,
                                 variant.neighbours, variant.second)
            for key, variant in variants.items()
            if key in {(trial.way, trial.optimizer) for trial in trials}
        }

    def screen(self, user: DeviceUser) -> dict[str, Any]:
        """Gains of every trial, without the guard: {"base": quality, "gain": {trial: [reciprocal rank, nats]}}."""
        runs: dict[Trial, dict[int, list[Trial]]] = {}
        for trial in self.trials:
            runs.setdefault(trial.run, {}).setdefault(trial.passes, []).append(trial)
        gain: dict[str, list[float]] = {}
        base = self._global_quality(user)
        for run, read_off in runs.items():
            device = self.devices[run.way, run.optimizer]
            device.model.import_weights(device.reference)
            rows, first = user.history, _first(user, run)
            each = steps_of(device.model, rows, first, 1)
            done = 0
            for passes in sorted(read_off):
                fine_tune(device.model, rows, first, run.recipe(), Start(step=done * each),
                          TrainingOptions(passes=passes - done))  # fmt: skip
                done = passes
                bonuses = [trial.repeats for trial in read_off[passes]]
                for trial, after in zip(read_off[passes], self._qualities(device, user, bonuses), strict=True):
                    gain[trial.name] = [float(a - b) for a, b in zip(after, base, strict=True)]
        return {**_about(user), "base": base, "gain": gain}

    def dress(self, user: DeviceUser) -> dict[str, Any]:
        """Each trial with the guard: what it would see, and what each choice would really gain."""
        base = self._global_quality(user)
        entry: dict[str, Any] = {}
        for trial in self.trials:
            device = self.devices[trial.way, trial.optimizer]
            model, reference = device.model, device.reference
            rows, first = user.history, _first(user, trial)
            judgement = judge(
                model, rows, user.known_before, trial.recipe(_WEIGHED), reference, times=user.history_times
            )
            model.import_weights(reference)
            fine_tune(model, rows, first, trial.recipe())
            personal = model.export_weights()
            gain = {}
            for choice, share in CHOICES.items():
                if not finite(personal):
                    gain[choice] = 0.0  # the device falls back
                    continue
                model.import_weights(blend(reference, personal, share))
                ((after, _),) = self._qualities(device, user, [trial.repeats.times(share)])
                gain[choice] = after - base[0]
            entry[trial.name] = {
                "gain": gain, "events": judgement.events, "heldback": judgement.heldback,
                "diverged": judgement.diverged or not finite(personal),
                "observed": {choice: dataclasses.asdict(seen) for choice, seen in judgement.observed.items()},
            }  # fmt: skip
        return {**_about(user), "base": base, "trials": entry}

    def _global_quality(self, user: DeviceUser) -> list[float]:
        device = next(iter(self.devices.values()))
        device.model.import_weights(device.reference)
        return self._qualities(device, user, [Repeats()])[0]

    def _qualities(self, device: SimulatedDevice, user: DeviceUser, bonuses: Sequence[Repeats]) -> list[list[float]]:
        """Mean reciprocal rank and mean log-likelihood (nats) of the judged positions, with each bonus for repeats."""
        rows, places = known_positions(user)
        places = places[spread(len(places), POSITIONS)]
        embedded = device.embed_at(rows, places)  # (P, E), under the present weights
        targets = rows[places]
        masked = None
        if self.settings.mask_seen:
            masked = np.zeros((len(places), len(device.table)), bool)
            for index, place in enumerate(places):
                masked[index, rows[:place]] = True
        found, before = [], device.scores_before(embedded, rows, places, device.search)  # (P, N + 1)
        for repeats in bonuses:
            scores = before.copy()
            add_bonus(scores, rows, places, repeats, user.known_times)
            rank = ranks(scores, targets, self.settings.ties, masked)
            own = scores[np.arange(len(places)), targets]
            top = scores[:, 1:].max(axis=1)
            total = top + np.log(np.exp(scores[:, 1:] - top[:, None]).sum(axis=1))
            found.append([float(reciprocal(rank, _DEPTH).mean()), float((own - total).mean())])
        return found


def spread(count: int, most: int) -> NDArray[np.int64]:
    """Up to `most` places among `count`, evenly spread, the first and the last included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _first(user: DeviceUser, trial: Trial) -> int:
    return learned_since(len(user.history), trial.recipe().first_target(user.known_before))


def _about(user: DeviceUser) -> dict[str, Any]:
    return {"learn": len(user.learn), "test": int((user.test > 0).sum())}
