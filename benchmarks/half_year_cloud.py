# SPDX-License-Identifier: Apache-2.0
"""The cloud of benchmarks/half_year.py: a log that drifts, and a release of a new model each week.

A shelf has a fixed number of places; what stands at a place is withdrawn now and then, and something new takes it, so
that people's habits lead them to items that no earlier model knows. The cloud has the events of those who opted in;
those of the devices' users it never sees. Each week it trains from scratch on the last weeks, and publishes a packed
bundle: the exported graph is made once, and each later release replaces its weights, as devices' updates do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from pocketrec.cloud.backbones import ITEM_EMBEDDING
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.config.training import TrainConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.synthetic import BEGIN, SPAN, Shape, simulate
from pocketrec.cloud.training.trainer import TrainJob, train
from pocketrec.device.contract.packed import encode, fill
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.contract.repeats import Repeats
from pocketrec.export.build import ExportedModel, build_tflite, graph_table
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.release import publish
from pocketrec.export.bundle.terms import Terms
from pocketrec.export.bundle.write import write_bundle_files
from pocketrec.export.graph.weights import weights_for
from pocketrec.export.tables.quantise import quantise_weights

WEEK = 7 * 86_400
#: How devices train: what they have is unknown to the cloud, so they learn from all of it.
RECIPE = Recipe(learning_rate=0.1, passes=4, minimum_events=4, repeats=Repeats(strength=0.2, decay=0.9))


@dataclass(frozen=True)
class Plan:
    """How large the half year is."""

    weeks: int = 26
    """Weekly releases."""
    before: int = 8
    """Weeks of the log before the first release, and weeks that each model learns from."""
    stored: int = 100
    """Devices with an event store."""
    plain: int = 50
    """Devices whose history lies in the state alone."""
    opted: int = 120
    """People whose events the cloud has."""
    shelf: int = 160
    """Places of the catalogue."""
    known: int = 120
    """Items that a model knows: the most frequent ones that are not withdrawn."""
    weekly: float = 9.0
    """Events of a person in a week, about."""
    turnover: float = 0.03
    """Share of the shelf that is replaced each week."""
    epochs: int = 5
    """Passes of a weekly training."""
    seed: int = 1
    """Everything follows from it."""

    @property
    def devices(self) -> int:
        """Devices in all."""
        return self.stored + self.plain


@dataclass(frozen=True)
class Market:
    """Who took what, when; people of the cloud first, then the devices' users."""

    users: np.ndarray
    """int64 (n,)"""
    items: np.ndarray
    """object (n,): item ids."""
    times: np.ndarray
    """int64 (n,): Unix seconds, not decreasing."""
    withdrawn: dict[str, int]
    """By item id, when it left the shelf."""
    begin: int
    """Unix seconds of the first release."""

    @classmethod
    def open(cls, plan: Plan) -> Market:
        """The market of a plan."""
        weeks = plan.before + plan.weeks
        eras = max(2, weeks // 6)
        shape = Shape(seed=plan.seed, users=plan.opted + plan.devices, items=plan.shelf,
                      events=round(plan.weekly * weeks), categories=16, new_users=0.0,
                      drifts=tuple((np.arange(1, eras) / eras).tolist()))  # fmt: skip
        log = simulate(shape).log
        order = np.argsort(log.timestamps, kind="stable")
        times = BEGIN + ((log.timestamps[order] - BEGIN) * (weeks * WEEK / SPAN)).astype(np.int64)
        places = log.items.codes[order]
        rng = np.random.default_rng(plan.seed)
        ids, withdrawn = np.empty(len(places), object), {}
        for place in range(plan.shelf):
            changes = BEGIN + np.flatnonzero(rng.random(weeks) < plan.turnover) * WEEK + int(rng.integers(WEEK))
            here = np.flatnonzero(places == place)
            numbers = np.searchsorted(changes, times[here], "right")
            ids[here] = [f"p{place:03d}-{number}" for number in numbers.tolist()]
            withdrawn |= {f"p{place:03d}-{number}": int(when) for number, when in enumerate(changes.tolist())}
        return cls(log.users.codes[order], ids, times, withdrawn, BEGIN + plan.before * WEEK)

    def between(self, begin: int, end: int) -> slice:
        """The events from one moment up to another."""
        first, last = np.searchsorted(self.times, [begin, end])
        return slice(int(first), int(last))


class Cloud:
    """Trains on who opted in, and publishes.

    Args:
        plan: sizes.
        market: the log.
        folder: for models, bundles, and ``www``, which a server would serve.
    """

    def __init__(self, plan: Plan, market: Market, folder: Path) -> None:
        self.plan, self.market, self.folder = plan, market, folder
        self.config = ModelConfig(embedding=12, window=8, tables={"gru": GruOptions(hidden=16)})
        self.export = ExportConfig(batch=8)
        self._made: ExportedModel | None = None
        self.known: list[frozenset[str]] = []

    known: list[frozenset[str]]
    """Items that the model of each release knows."""

    @property
    def www(self) -> Path:
        """What a server would serve."""
        return self.folder / "www"

    def release(self, week: int) -> keras.Model:
        """Train on the weeks before, and publish the release of a week, counted from 0; gives the model."""
        now = self.market.begin + week * WEEK
        part = self.market.between(now - self.plan.before * WEEK, now)
        ours = self.market.users[part] < self.plan.opted
        columns = (self.market.users, self.market.items, self.market.times)
        users, items, times = (column[part][ours] for column in columns)
        ids = self._vocabulary(items, now)
        row_of = {item: row for row, item in enumerate(ids, 1)}
        rows = np.array([row_of.get(item, 0) for item in items.tolist()], np.int32)
        kept = rows > 0
        names = np.array([f"c{user:04d}" for user in range(self.plan.opted)], object)
        job = TrainJob(
            self.config, TrainConfig(epochs=self.plan.epochs, validation=0.0, learning_rate=0.01, batch=32),
            Sequences.build(names, users[kept], rows[kept], times[kept]), len(ids), seed=self.plan.seed,
        )  # fmt: skip
        model = train(job, self.folder / "models", name=f"week-{week}").model
        skeleton, weights, content = self._exported(model)
        made = self._made
        assert made is not None
        bundle = BundleContent(
            model_file=content, items=ids, recipe=RECIPE, card="# A week of the half year\n", model=made.model,
            tensors=made.tensors, packed=(skeleton, weights), cut_off=self.market.begin,
            created=f"2024-01-01T00:{week:02d}:00Z",
        )  # fmt: skip
        write_bundle_files(self.folder / "bundles" / f"week-{week}", bundle)
        publish(self.folder / "bundles" / f"week-{week}", self.www, terms=Terms(note=f"week {week}"))
        self.known.append(frozenset(ids))
        return model

    def exported_anew(self, model: keras.Model) -> bytes:
        """The model's file by a conversion of its own, for comparison."""
        return self._convert(model).content

    def _exported(self, model: keras.Model) -> tuple[bytes, bytes, bytes]:
        """Skeleton, weights and file of a model; converted once, filled from then on."""
        if self._made is None:
            self._made = self._convert(model)
            return self._made.skeleton, self._made.coded, self._made.content
        layers = quantise_weights(weights_for(self._made.layers, model), self.export.weight_bits)
        weights = encode({**layers, **graph_table(model, self.export).quantised(ITEM_EMBEDDING)})
        return self._made.skeleton, weights, bytes(fill(self._made.skeleton, weights))

    def _convert(self, model: keras.Model) -> ExportedModel:
        return build_tflite(model, self.config, self.export, way="partial", optimizer="adagrad",
                            candidates=self.plan.known)  # fmt: skip

    def _vocabulary(self, items: Sequence[str], now: int) -> list[str]:
        """The most frequent items that are on the shelf now, as many as every model knows."""
        found, counts = np.unique(items, return_counts=True)
        there = np.array([self.market.withdrawn.get(item, now + 1) > now for item in found.tolist()])
        order = np.lexsort((found, -counts))
        return [str(found[place]) for place in order.tolist() if there[place]][: self.plan.known]
