# SPDX-License-Identifier: Apache-2.0
"""One simulated device: the very code that a device runs, served to one user after the other.

Imports numpy, the device package and plain helpers only, so that the processes of fleet and rehearsal are as a device
is: no TensorFlow, no pandas. This module knows nothing about processes or files of results.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.config.ranker import INNER_PRODUCT, RankerConfig
from pocketrec.cloud.fleet.offered import retrieved
from pocketrec.cloud.fleet.second import Finds, SecondStage, by_candidates, by_search
from pocketrec.cloud.metrics.metrics import ranks
from pocketrec.cloud.rankers import make_ranker
from pocketrec.device.contract.neighbours import Neighbours
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.contract.repeats import Repeats, gaps_at
from pocketrec.device.engine.model import Model
from pocketrec.device.personal.guard import Decision
from pocketrec.device.personal.item_rows import NONE
from pocketrec.device.personal.options import TrainingOptions
from pocketrec.device.personal.personalise import personalise
from pocketrec.device.personal.windows import context

_CELLS: Final = 1 << 22  # scores ranked at a time

ScoresOf = Callable[[slice], NDArray[np.float32]]
"""Scores [p, N + 1] of a slice of the test positions."""


@dataclass(frozen=True)
class DeviceUser:
    """All that the simulation of one device needs; item rows, oldest first, 0 = unknown item."""

    user: str
    before: NDArray[np.int32]
    """Own events before the cut-off."""
    learn: NDArray[np.int32]
    """Later events that the device learns from."""
    test: NDArray[np.int32]
    """Last events, the test."""
    candidates: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    """The user's candidate set."""
    times: NDArray[np.float64] | None = None
    """Times of all events, those of `before`, `learn` and `test` in turn; None = not known."""

    @property
    def history(self) -> NDArray[np.int32]:
        """Known events that the device has when it learns."""
        rows = np.concatenate([self.before, self.learn])
        return rows[rows > 0]

    @property
    def known_before(self) -> int:
        """Known events before the cut-off: the place in `history` of the first one to learn from."""
        return int((self.before > 0).sum())

    @property
    def known_times(self) -> NDArray[np.float64] | None:
        """Times of all known events, those of the test too; None = not known."""
        if self.times is None:
            return None
        return self.times[np.concatenate([self.before, self.learn, self.test]) > 0]

    @property
    def history_times(self) -> NDArray[np.float64] | None:
        """Times of `history`; None = not known."""
        return None if (times := self.known_times) is None else times[: len(self.history)]


@dataclass(frozen=True)
class Settings:
    """How a fleet is judged; the same in every process."""

    ties: str
    mask_seen: bool
    runtime: str
    retrieve: int = 0
    """Items that a device finds in the whole catalogue; 0 = it ranks the user's candidates."""


class SimulatedDevice:
    """One model file, served to user after user; each starts from the global weights."""

    def __init__(
        self, model: Path, item_embeddings: Path, runtime: str = "auto", ranker: RankerConfig = INNER_PRODUCT,
        neighbours: Neighbours | None = None, second: Path | None = None,
    ) -> None:
        self.ranker = make_ranker(ranker)
        self.table: NDArray[np.float32] = np.load(item_embeddings, mmap_mode="r")  # (N + 1, E)
        self.model = Model(model, runtime, items=len(self.table) - 1, ranker=ranker.kind)
        self.reference = self.model.export_weights()
        self.neighbours = neighbours
        self.second = SecondStage.load(second)
        self._near: tuple[bytes, list[tuple[NDArray[np.int32], NDArray[np.float32]]]] = (b"", [])
        self.item_rows = NONE  # of the user that was made personal last
        self.milliseconds: dict[str, list[float]] = {"train": [], "embed": [], "infer": []}

    def personalise(self, user: DeviceUser, recipe: Recipe) -> Decision:
        """Do what the device does with its events, and leave the model with the weights that it would use."""
        marks: list[float] = []
        outcome = personalise(
            self.model, user.history, user.known_before, recipe, self.reference,
            options=TrainingOptions(progress=lambda done, total, note="": marks.append(time.perf_counter())),
            times=user.history_times,
        )  # fmt: skip
        self.item_rows = outcome.item_rows
        if len(marks) > 1:
            self.milliseconds["train"].append(float(np.median(np.diff(marks))) * 1e3)
        return outcome.decision

    @property
    def search(self) -> Finds | None:
        """What the device finds of the whole catalogue, and its own items; None = there is no second stage."""
        return None if self.second is None else by_search(self.second.found, self.neighbours)

    def embeddings(self, user: DeviceUser) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """User embedding before each known test event, [P, E], and whether there was any event to make it of, [P]."""
        rows, places = known_positions(user)
        return self.embed_at(rows, places), places > 0

    def embed_at(self, rows: NDArray[np.int32], places: NDArray[np.int64]) -> NDArray[np.float32]:
        """User embedding after the events before each place in `rows`, [P, E]; zeros where there are none."""
        result = np.zeros((len(places), self.model.embedding), np.float32)
        started = time.perf_counter()
        for index, place in enumerate(places):
            if place:
                result[index] = self.model.embed(context(rows[:place], self.model.window))
        if len(places):
            self.milliseconds["embed"].append((time.perf_counter() - started) * 1e3 / len(places))
        return result

    def scores_at(
        self, embedded: NDArray[np.float32], rows: NDArray[np.int32], places: NDArray[np.int64], repeats: Repeats,
        times: NDArray[np.float64] | None = None, finds: Finds | None = None,
    ) -> NDArray[np.float32]:
        """Scores [P, N + 1] of all items, with neighbours and the bonus for repeats of what lies before each place.

        With `times`, float64 like `rows`, each is asked for at the time of its own event; `finds`: see `scores_before`.
        """
        scores = self.scores_before(embedded, rows, places, finds)
        add_bonus(scores, rows, places, repeats, times)
        return scores

    def scores_before(
        self, embedded: NDArray[np.float32], rows: NDArray[np.int32], places: NDArray[np.int64],
        finds: Finds | None = None,
    ) -> NDArray[np.float32]:
        """The same without the bonus for repeats, [P, N + 1].

        With `finds` what is found comes in the order of the second stage's ranker under the present weights, and all
        else behind.
        """
        scores: NDArray[np.float32] = self.ranker.scores(embedded, self.table)
        if self.second is not None and finds is not None:
            stage = self.second.trained(self.model.export_weights())
            stage.reorder(scores, embedded, self.table, [rows[:place] for place in places], finds)
        for row, (items, raised) in zip(scores, self._raised(rows, places), strict=False):
            row[items] += raised
        return scores

    def _raised(
        self, rows: NDArray[np.int32], places: NDArray[np.int64]
    ) -> list[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """What the neighbours add at each place; the latest answer is kept, for many recipes ask for the same."""
        if self.neighbours is None:
            return []
        key = rows.tobytes() + places.tobytes()
        if self._near[0] != key:
            self._near = key, [self.neighbours.bonus(rows[:place]) for place in places]
        return self._near[1]

    def infer_difference(self, user: DeviceUser) -> float:
        """Largest difference between `infer` and the ranker over the item table, at the user's first test position, and
        between `rank` and the second stage's where there is one."""
        rows, places = known_positions(user)
        candidates = np.zeros(self.model.candidates, np.int32)
        chosen = user.candidates[: len(candidates)]
        candidates[: len(chosen)] = chosen
        window = context(rows[: places[0]], self.model.window)
        self.model.infer(window, candidates)  # the first call after other signatures is slower
        started = time.perf_counter()
        scores = self.model.infer(window, candidates)
        self.milliseconds["infer"].append((time.perf_counter() - started) * 1e3)
        user_embedding = self.model.embed(window)
        difference = scores - self.ranker.scores(user_embedding, self.table[candidates])  # (C,)
        found = float(np.abs(difference[candidates > 0]).max(initial=0.0))
        if self.second is None or not len(chosen):
            return found
        stage = self.second.trained(self.model.export_weights())
        ranked = self.model.rank(window, chosen) - stage.scores(user_embedding, self.table, chosen, rows[: places[0]])
        return max(found, float(np.abs(ranked).max()))


def add_bonus(
    scores: NDArray[np.float32], rows: NDArray[np.int32], places: NDArray[np.int64], repeats: Repeats,
    times: NDArray[np.float64] | None = None,
) -> None:
    """Add the bonus for repeats to scores [P, N + 1]; arguments as of `SimulatedDevice.scores_at`."""
    for line, place in zip(scores, places, strict=True):
        gaps = None if times is None else gaps_at(times[:place], times[place])
        repeats.add_to_catalogue(line, rows[:place], gaps)


def found_by(user: DeviceUser, settings: Settings, neighbours: Neighbours | None = None) -> Finds:
    """What a device finds for the ranker of its second stage: the best items of the catalogue with what goes best with
    the history, where there are `neighbours`; or its candidates."""
    return by_search(settings.retrieve, neighbours) if settings.retrieve else by_candidates(user.candidates)


def known_positions(user: DeviceUser) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """All known events of a user, and the places in them of the test events, which are the test positions."""
    rows = np.concatenate([user.history, user.test[user.test > 0]])
    return rows, np.arange(len(user.history), len(rows))


def system_ranks(
    user: DeviceUser, scores_of: ScoresOf, rows_in_table: int, settings: Settings, searched_by: ScoresOf | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rank of every known test event, in the full catalogue and within what the device offers (`is_offered`).

    Args:
        user: whose test events.
        scores_of: slice of positions -> [p, N + 1] scores.
        rows_in_table: N + 1.
        settings: ties and mask, and whether devices search the whole catalogue.
        searched_by: the scores by which they do; None = `scores_of`.

    Returns:
        float64 [P] each; infinity = missing (masked, or not offered).
    """
    rows, places = known_positions(user)
    targets = rows[places]
    offered = is_offered(user, settings)
    fixed = user.candidates[user.candidates > 0]
    inside = np.unique(np.concatenate([[0], fixed, rows]))  # all that is offered at some position; column 0 = padding
    at = np.searchsorted(inside, rows)
    full, within = np.empty(len(places)), np.empty(len(places))
    step = max(1, _CELLS // rows_in_table)
    for begin in range(0, len(places), step):
        part = slice(begin, begin + step)
        scores = scores_of(part)  # (p, N + 1)
        masked = None
        if settings.mask_seen:
            masked = np.zeros(scores.shape, bool)
            for index, place in enumerate(places[part]):
                masked[index, rows[:place]] = True
        full[part] = ranks(scores, targets[part], settings.ties, masked)
        if settings.retrieve:
            by = scores if searched_by is None else searched_by(part)
            found = retrieved(by, rows, places[part], settings.retrieve, settings.mask_seen)
            own = np.where(np.take_along_axis(found, targets[part][:, None], 1)[:, 0], targets[part], 0)
            within[part] = ranks(scores, own, settings.ties, ~found)
            continue
        left_out = np.tile(~np.isin(inside, fixed), (len(scores), 1))
        for index, place in enumerate(places[part]):
            left_out[index, at[:place]] = settings.mask_seen
        within[part] = ranks(scores[:, inside], np.where(offered[part], at[places[part]], 0), settings.ties, left_out)
    return full, within


def first_list(user: DeviceUser, scores_of: ScoresOf, settings: Settings, count: int) -> list[int]:
    """Rows of the best `count` items that the device offers right before the first test event, best first.

    Equal scores come in the order of their rows. With `retrieve` the whole catalogue is offered.
    """
    rows, places = known_positions(user)
    history, scores = rows[: places[0]], scores_of(slice(0, 1))[0]  # (N + 1,)
    own = np.arange(1, len(scores)) if settings.retrieve else np.union1d(user.candidates, history)
    own = own[own > 0]
    if settings.mask_seen:
        own = np.setdiff1d(own, history)
    best: list[int] = own[np.lexsort((own, -scores[own]))[:count]].tolist()
    return best


def is_offered(user: DeviceUser, settings: Settings) -> NDArray[np.bool_]:
    """Whether a device would offer each test event's item, [P]: no ranking of the device's finds any other.

    It offers the user's candidates and, unless seen items are masked, the items of the own history up to then.
    """
    rows, places = known_positions(user)
    targets = rows[places]
    found: NDArray[np.bool_] = np.isin(targets, user.candidates)
    if not settings.mask_seen:
        found |= np.array([target in rows[:place] for target, place in zip(targets, places, strict=True)], dtype=bool)
    return found
