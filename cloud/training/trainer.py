# SPDX-License-Identifier: Apache-2.0
"""Training of the global model on events before the cut-off.

With a validation slice: train on the earlier part until validation MRR@20 stops rising, then (`refit`) train again
from scratch on everything before the cut-off for the number of epochs found. Without: a fixed number of epochs.
A checkpoint is written after every epoch, and within one after some minutes; a training that was killed and is started
again with the same arguments ends with the same bits.
This module knows nothing about the events after the cut-off: it is never given them.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.backbones import backbone, build_model, item_table, save_model
from pocketrec.cloud.base.fingerprint import fingerprint
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.config.ranker import RankerConfig
from pocketrec.cloud.config.section import key_values
from pocketrec.cloud.config.training import OBJECTIVES, PruneConfig, TrainConfig
from pocketrec.cloud.data.item_features import ItemFeatures
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.rankers import training_ranker
from pocketrec.cloud.training.batches import Batch, Batches, balance_weights, recency_weights
from pocketrec.cloud.training.checkpoint import Checkpoint, load_weights, save_weights
from pocketrec.cloud.training.distributed import ALONE, Workers, lost_is_one_line
from pocketrec.cloud.training.item_start import similarity_factors, start_by_popularity
from pocketrec.cloud.training.objective import Objective
from pocketrec.cloud.training.optimizers import learning_rate
from pocketrec.cloud.training.own_negatives import CategoryWeek
from pocketrec.cloud.training.pruning import Pruner, is_due, pruned_tensors, sparsity
from pocketrec.cloud.training.step import LossError, Step, TrainSteps, resolved
from pocketrec.cloud.training.validation import Validation, validation_slice
from pocketrec.cloud.training.warm_start import WarmStart
from pocketrec.device.base.errors import ConfigError, DataError

_STEPS: Final = 32  # steps in one call of the graph

Record = Callable[[dict[str, Any]], None]
Watch = Callable[[keras.Model, dict[str, Any]], bool]


@dataclass(frozen=True)
class Trained:
    """What a training leaves behind."""

    model: keras.Model
    """The next-item model; also in `path`."""
    path: Path
    """The ``.keras`` file."""
    epochs: int
    """Epochs that made the model."""
    history: list[dict[str, Any]]
    """One entry an epoch: phase, epoch, loss, seconds, rate, and val_recall@20, val_mrr@20 where there is a slice; with
    negatives of each target's own ``negatives_LEVEL``, how many events have them from where: `own_negatives.LEVELS`."""
    seconds: float
    """Wall time of all epochs and graph building, over all runs that it took."""


@dataclass(frozen=True)
class TrainJob:
    """All that the weights depend on."""

    model: ModelConfig
    """Shape of the model."""
    train: TrainConfig
    """How it is trained."""
    sequences: Sequences
    """Events before the cut-off; row 0 is an unknown item."""
    items: int
    """N, items in the vocabulary."""
    prune: PruneConfig = field(default_factory=PruneConfig)
    """Pruning."""
    ranker: RankerConfig = field(default_factory=RankerConfig)
    """How embeddings become scores."""
    seed: int = 1
    """Equal seeds give equal weights (one machine, CPU, equal number of threads)."""
    mask_seen: bool = False
    """Validation ranks leave out items that the user has had."""
    content: ItemFeatures | None = None
    """Features of the item rows, which `ModelConfig.content` wants."""
    start: WarmStart | None = None
    """Weights to go on from in place of a fresh start; `TrainConfig.warm_epochs` says for how long."""
    categories: np.ndarray | None = None
    """int32 [N + 1], category of each item row, 0 = none; which sampler ``category_week`` wants."""

    def fingerprint(self) -> str:
        """Equal for two jobs that must end with the same weights."""
        configs = [key_values(part) for part in (self.model, self.train, self.prune)]
        configs += [] if self.ranker == RankerConfig() else [key_values(self.ranker)]  # trainings of before had none
        configs += [] if self.start is None else [{"start": self.start.fingerprint()}]
        plain = [*configs, self.items, self.seed, self.mask_seen, keras.__version__, tf.__version__]
        content = () if self.content is None else (self.content.values, self.content.numbers)
        if self.categories is not None and self.train.sampler == "category_week":
            content = (*content, self.categories)
        arrays = (self.sequences.offsets, self.sequences.items, self.sequences.timestamps, *content)
        return fingerprint(plain, arrays)


def train(
    job: TrainJob,
    folder: Path,
    *,
    name: str = "model",
    record: Record | None = None,
    watch: Watch | None = None,
    progress: Progress = no_progress,
    workers: Workers = ALONE,
) -> Trained:
    """Train a model and write ``folder/name.keras``.

    Args:
        job: the model, the log, and how it is trained.
        folder: where the model and the checkpoint (``name.checkpoint.npz``) lie.
        name: of the model file.
        record: called after every epoch with its history entry (`Trained.history`), ready for JSON.
        watch: called after every epoch, before anything of it is written, with the model as it is and the history
            entry, to which it may add figures; True ends the phase there. Its time does not count.
        progress: called after some steps each with the targets done and planned in the phase.
        workers: that train together; all call this with equal arguments, and the chief alone writes.

    Raises:
        ConfigError: pruning without a known number of epochs, or a loss that several workers cannot share.
        DataError: no user has two known events, or the loss is no longer a number.
        StorageError: the folder cannot be written.
    """
    with lost_is_one_line():
        return _Trainer(job, folder / name, record or _ignore, watch or _go_on, progress, workers).run()


def _ignore(_entry: dict[str, Any]) -> None:
    """Nobody records."""


def _go_on(_model: keras.Model, _entry: dict[str, Any]) -> bool:
    """Nobody watches."""
    return False


class _Trainer:
    """A training: what it was called with, and the model and graph that all its phases share."""

    def __init__(
        self, job: TrainJob, stem: Path, record: Record, watch: Watch, progress: Progress, workers: Workers
    ) -> None:
        job = dataclasses.replace(job, model=resolved(job.model, job.train))
        if job.start is not None:
            epochs = max(1, round(job.train.epochs * job.train.warm_epochs))
            job = dataclasses.replace(job, train=dataclasses.replace(job.train, epochs=epochs))
        model_config, config, prune, items, seed = job.model, job.train, job.prune, job.items, job.seed
        self.job, self.model_config, self.config = job, model_config, config
        self.sequences, self.items = job.sequences, items
        if prune.enabled and config.validation and not config.refit:
            raise ConfigError("pruning wants a known number of epochs: set train.refit = true or train.validation = 0")
        self.prune, self.seed, self.workers = prune, seed, workers
        self.record, self.watch, self.progress = record, watch, progress
        self.path, self.checkpoint_path, self.best_path = (
            stem.with_name(f"{stem.name}.{kind}") for kind in ("keras", "checkpoint.npz", "best.npz")
        )
        self.fingerprint = job.fingerprint()
        self.started = self.saved = time.perf_counter()
        self.model = build_model(model_config, items, seed, job.content, job.ranker)
        counts = np.bincount(job.sequences.items, minlength=items + 1)
        objective = Objective(config, counts, training_ranker(job.ranker, self.model))
        if workers.count > 1 and (objective.in_batch or config.batching == "sessions"):
            raise ConfigError("several workers share no negatives of a batch and no sessions: set train.loss to "
                              "full_softmax or sampled_softmax, and train.batching to windows")  # fmt: skip
        made = backbone(model_config.backbone)
        layers = made.layers(model_config)
        self.pruner = Pruner(pruned_tensors(self.model, layers, prune) if prune.enabled else [])
        self.steps = TrainSteps(
            made, self.model, model_config, config, objective, seed, self.pruner, workers
        )

    def run(self) -> Trained:
        self.workers.agree(
            list(bytes.fromhex(self.fingerprint)),
            "the workers differ in configuration, log or version: start all with the same CONFIG, --set and --out",
        )
        state = self._restored() or self._begin()
        self.workers.agree(
            [state.phase == "final", state.finished, state.epoch, state.block, state.place],
            "the workers do not see the same run directory: name a folder that all of them share",
        )
        while not state.finished:
            self._phase(state)
        if self.workers.chief:
            save_model(self.model, self.path)
        seconds = sum(entry["seconds"] for entry in state.history)
        return Trained(self.model, self.path, state.best_epoch or state.epoch, state.history, seconds)

    def _begin(self) -> Checkpoint:
        return Checkpoint(self.fingerprint, "search" if self.config.validation else "final", self.config.epochs)

    def _restored(self) -> Checkpoint | None:
        """The state that an earlier call left, with model and optimizer as they were."""
        found = Checkpoint.load(self.checkpoint_path, self.fingerprint)
        if not found or (self._keeps_best(found[0]) and load_weights(self.best_path) is None):
            return None
        state, weights, slots = found
        if weights:
            _assign(self.model.variables, weights)
        if slots:
            _assign(self.steps.variables, slots)
        return state

    def _save(self, state: Checkpoint) -> None:
        self._write(state, self.model.variables, self.steps.variables)
        self.saved = time.perf_counter()

    def _write(self, state: Checkpoint, weights: list[Any], slots: list[Any]) -> None:
        if self.workers.chief:
            state.save(self.checkpoint_path, weights, slots)

    def _keeps_best(self, state: Checkpoint) -> bool:
        return bool(state.best_epoch) and not self.config.refit

    def _phase(self, state: Checkpoint) -> None:
        """Run the phase that the checkpoint is in to its end, and set up the next."""
        sequences, validation = self.sequences, None
        if state.phase == "search":
            sequences, validation = validation_slice(
                self.model, self.sequences, self.config.validation, self.model_config.window,
                mask_seen=self.job.mask_seen, ranker=self.job.ranker, causal=self.model_config.causal,
                until=self.job.start.until if self.job.start else None,
            )  # fmt: skip
        batches = make_batches(self.model_config, self.config, sequences)
        sampler = self.steps.objective.sampler
        batches.own = sampler.over(sequences, self.job.categories) if isinstance(sampler, CategoryWeek) else None
        if not batches.targets:
            raise DataError("no user has two known events before the cut-off: give a longer log or an earlier cut")
        if state.step == 0:
            self._start(sequences)
        while state.epoch < state.planned and not self._stale(state, validation):
            entry = self._epoch(state, batches)
            if validation:
                entry |= self._measured(validation)
                if entry["val_mrr@20"] > state.best:
                    state.best, state.best_epoch = entry["val_mrr@20"], state.epoch
                    if self._keeps_best(state) and self.workers.chief:
                        save_weights(self.best_path, self.model.variables)
            entry["seconds"], state.seconds = state.seconds + time.perf_counter() - self.started, 0.0
            if self.watch(self.model, entry):
                state.planned = state.epoch
            self.started = time.perf_counter()
            state.history.append(entry)
            self._save(state)
            self.record(entry)
        if validation and self.config.refit:
            state.phase, state.planned, state.epoch, state.step = "final", state.best_epoch, 0, 0
            fresh = build_model(self.model_config, self.items, self.seed, self.job.content, self.job.ranker)
            _assign(self.model.variables, fresh.variables)
            self.steps.reset()
            self._write(state, [], [])
            return
        if self.prune.enabled:
            self.pruner.after_step(tf.constant(self.prune.final))
        if self._keeps_best(state) and self.workers.chief:
            _assign(self.model.variables, load_weights(self.best_path) or [])
        state.finished = True
        self._write(state, self.model.variables, [])

    def _start(self, sequences: Sequences) -> None:
        """Give a model that was just made what its training starts with."""
        if self.job.start is not None:
            self.job.start.give(self.model, sequences)
            return
        if self.model_config.similarity:
            factors = similarity_factors(sequences, self.items, self.model_config.embedding, self.seed)
            item_table(self.model).add(self.model_config.similarity * factors)
        if self.model_config.popularity_start:
            start_by_popularity(self.model, np.bincount(sequences.items, minlength=self.items + 1))

    def _measured(self, validation: Validation) -> dict[str, float]:
        """The chief's figures, so that all workers decide alike."""
        figures = validation.measure()
        return dict(zip(figures, self.workers.word(list(figures.values())), strict=True))

    def _epoch(self, state: Checkpoint, batches: Batches) -> dict[str, Any]:
        """One pass over the log, or what is left of it; the state moves on with every call of the graph."""
        rate = self.config.learning_rate
        for block in batches.blocks([self.seed, state.epoch], state.block):
            count = len(block.batches.items)
            if batches.own is not None and block.negatives is None:
                raise ConfigError(f"train.batching {self.config.batching!r} with train.objective "
                                  f"{self.config.objective!r} draws no negatives of each target's own: take another "
                                  "train.sampler")  # fmt: skip
            while state.place < count:
                places = np.arange(state.place, min(count, state.place + _STEPS))
                done = state.epoch + block.begin + (block.end - block.begin) * places / count
                rates = [learning_rate(self.config, share) for share in (done / self.config.epochs).tolist()]
                numbers = state.step + np.arange(len(places), dtype=np.int32)
                part = self.workers.rows(Batch(*(array[places[0] : places[-1] + 1] for array in block.batches)))
                shares = self._sparsities(state, numbers.tolist(), (done / state.planned).tolist())
                own = () if block.negatives is None else self.workers.part(block.negatives[places[0] : places[-1] + 1])
                state.loss += self._loss(state, Step(part, numbers, np.array(rates, np.float32), shares, own))
                state.place, rate = int(places[-1]) + 1, rates[-1]
                state.step, state.steps = state.step + len(places), state.steps + len(places)
                share = state.epoch + block.begin + (block.end - block.begin) * state.place / count
                self.progress(
                    round(share * batches.targets),
                    state.planned * batches.targets,
                    f"{state.phase} epoch {state.epoch + 1}",
                )
                self._save_at_times(state)
            state.block, state.place = state.block + 1, 0
        loss = state.loss / max(1, state.steps)
        state.epoch, state.block, state.steps, state.loss = state.epoch + 1, 0, 0, 0.0
        told = {} if batches.own is None else {f"negatives_{level}": n for level, n in batches.own.events.items()}
        return {"phase": state.phase, "epoch": state.epoch, "loss": loss, "rate": rate, **told}

    def _loss(self, state: Checkpoint, steps: Step) -> float:
        """The sum of the losses of some steps; nothing is saved of a step whose loss is not a number."""
        try:
            return self.steps(steps)
        except LossError as error:
            where = f"batch {state.steps + error.step} of epoch {state.epoch + 1}"
            raise DataError(
                f"the loss is {error.loss} in {where}: lower train.learning_rate or set train.clip_norm"
            ) from None

    def _sparsities(self, state: Checkpoint, numbers: list[int], done: list[float]) -> np.ndarray:
        """What each step prunes, float32 [S]; -1 where it leaves the masks alone, as all do in a search."""
        prunes = self.prune.enabled and state.phase == "final"
        due = [prunes and is_due(self.prune, number, share) for number, share in zip(numbers, done, strict=True)]
        shares = [sparsity(self.prune, share) if now else -1.0 for now, share in zip(due, done, strict=True)]
        return np.array(shares, np.float32)

    def _save_at_times(self, state: Checkpoint) -> None:
        """A checkpoint within an epoch, where the last one is old enough."""
        now = time.perf_counter()
        if self.config.checkpoint_minutes and now - self.saved >= 60 * self.config.checkpoint_minutes:
            state.seconds, self.started = state.seconds + now - self.started, now
            self._save(state)

    def _stale(self, state: Checkpoint, validation: Validation | None) -> bool:
        return validation is not None and state.epoch - state.best_epoch >= self.config.patience


def make_batches(model_config: ModelConfig, config: TrainConfig, sequences: Sequences) -> Batches:
    """The batches that the configuration asks for."""
    weights = recency_weights(sequences.timestamps, config.recency_half_life)
    if config.balance:
        weights *= balance_weights(sequences.lengths, config.balance)
    packed = backbone(model_config.backbone).packs(resolved(model_config, config))
    made: Batches = OBJECTIVES.load(config.objective)(config, sequences, weights, model_config.window, packed)
    return made


def _assign(variables: list[Any], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
