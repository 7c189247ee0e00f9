"""Training of the global model on events before the cut-off.

With a validation slice: train on the earlier part until validation MRR@20 stops rising, then (`refit`) train again
from scratch on everything before the cut-off for the number of epochs found. Without: a fixed number of epochs.
A checkpoint is written after every epoch; a training that was killed and is started again with the same arguments
ends with the same bits. This module knows nothing about the events after the cut-off: it is never given them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pocketrec.cloud.config import ModelConfig, TrainConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.windows import training_windows
from pocketrec.cloud.models import backbone, build_model, item_embeddings, save_model
from pocketrec.cloud.progress import Progress, no_progress
from pocketrec.cloud.scoring import embed_positions, full_ranks, positions, seen_before
from pocketrec.cloud.train_batches import Packer
from pocketrec.cloud.train_checkpoint import Checkpoint
from pocketrec.cloud.train_optimizers import learning_rate, make_optimizer
from pocketrec.cloud.train_step import TrainStep
from pocketrec.device.errors import DataError

Record = Callable[[dict[str, Any]], None]


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
    """One entry an epoch: phase, epoch, loss, seconds, rate, and val_recall@20, val_mrr@20 where there is a slice."""
    seconds: float
    """Wall time of all epochs and graph building, over all runs that it took."""


def train(
    model_config: ModelConfig,
    config: TrainConfig,
    sequences: Sequences,
    items: int,
    folder: Path,
    *,
    seed: int = 1,
    name: str = "model",
    mask_seen: bool = False,
    record: Record | None = None,
    progress: Progress = no_progress,
) -> Trained:
    """Train a model and write ``folder/name.keras``.

    Args:
        model_config: shape of the model.
        config: how it is trained.
        sequences: events before the cut-off; row 0 is an unknown item.
        items: N, items in the vocabulary.
        folder: where the model and the checkpoint (``name.checkpoint.npz``) lie.
        seed: equal seeds give equal weights (one machine, CPU, equal number of threads).
        name: of the model file.
        mask_seen: validation ranks leave out items that the user has had.
        record: called after every epoch with its history entry (`Trained.history`), ready for JSON.
        progress: called at every step with the targets seen and those of all epochs.

    Raises:
        DataError: no user has two known events.
        StorageError: the folder cannot be written.
    """
    trainer = _Trainer(model_config, config, sequences, items, folder, seed, name, mask_seen, record or _ignore)
    trainer.progress = progress
    return trainer.run()


def _ignore(_entry: dict[str, Any]) -> None:
    """Nobody watches."""


class _Trainer:
    def __init__(
        self,
        model_config: ModelConfig,
        config: TrainConfig,
        sequences: Sequences,
        items: int,
        folder: Path,
        seed: int,
        name: str,
        mask_seen: bool,
        record: Record,
    ) -> None:
        self.model_config, self.config, self.sequences, self.items = model_config, config, sequences, items
        self.seed, self.mask_seen, self.record = seed, mask_seen, record
        self.progress: Progress = no_progress
        self.path = folder / f"{name}.keras"
        self.checkpoint_path = folder / f"{name}.checkpoint.npz"
        self.fingerprint = _fingerprint(model_config, config, sequences, items, seed, mask_seen)

    def run(self) -> Trained:
        state = Checkpoint.load(self.checkpoint_path, self.fingerprint) or self._fresh()
        while not state.finished:
            self._phase(state)
        model = build_model(self.model_config, self.items, self.seed)
        _set(model, state.best_weights or state.weights)
        save_model(model, self.path)
        epochs = state.best_epoch if state.phase == "search" else state.planned
        seconds = sum(entry["seconds"] for entry in state.history)
        return Trained(model, self.path, epochs, state.history, seconds)

    def _fresh(self) -> Checkpoint:
        phase = "search" if self.config.validation else "final"
        return Checkpoint(self.fingerprint, phase, 0, 0, self.config.epochs)

    def _phase(self, state: Checkpoint) -> None:
        """Run the phase that the checkpoint is in to its end, and set up the next."""
        started = time.perf_counter()
        config = self.config
        model = build_model(self.model_config, self.items, self.seed)
        step = TrainStep(
            backbone(self.model_config.backbone), model, make_optimizer(config), self.model_config, config, self.seed
        )
        if state.weights:
            _set(model, state.weights)
            for variable, value in zip(step.optimizer.variables, state.slots, strict=True):
                variable.assign(value)
        validate, sequences = None, self.sequences
        if state.phase == "search":
            sequences, validate = self._slice(model)
        windows = training_windows(sequences, self.model_config.window)
        packer = Packer(*windows, config.batch, self.model_config.window)
        if not packer.targets_total:
            raise DataError("no user has two known events before the cut-off: give a longer log or an earlier cut")
        while state.epoch < state.planned and not (validate and self._stale(state)):
            losses = []
            note = f"{state.phase} epoch {state.epoch + 1}"
            rate = learning_rate(config, state.epoch / config.epochs)
            batches = list(packer.epoch([self.seed, state.epoch]))
            for i, batch in enumerate(batches):
                rate = learning_rate(config, (state.epoch + i / len(batches)) / config.epochs)
                losses.append(step(batch, state.step + i, rate))
                self.progress(state.epoch * len(batches) + i + 1, state.planned * len(batches), note)
            state.step += len(batches)
            state.epoch += 1
            loss = float(np.mean([float(value) for value in losses]))
            entry: dict[str, Any] = {"phase": state.phase, "epoch": state.epoch, "loss": loss, "rate": rate}
            if validate:
                entry |= validate()
            state.weights, state.slots = _values(model.variables), _values(step.optimizer.variables)
            if validate and entry["val_mrr@20"] > state.best:
                state.best, state.best_epoch = entry["val_mrr@20"], state.epoch
                state.best_weights = [] if config.refit else state.weights
            entry["seconds"] = time.perf_counter() - started
            started = time.perf_counter()
            state.history.append(entry)
            state.save(self.checkpoint_path)
            self.record(entry)
        if state.phase == "search" and config.refit:
            state.phase, state.planned, state.epoch, state.step = "final", state.best_epoch, 0, 0
            state.weights, state.slots, state.best_weights = [], [], []
        else:
            state.finished = True
        state.save(self.checkpoint_path)

    def _stale(self, state: Checkpoint) -> bool:
        return state.epoch - state.best_epoch >= self.config.patience

    def _slice(self, model: keras.Model) -> tuple[Sequences, Callable[[], dict[str, float]] | None]:
        """The events before the validation slice, and a function that ranks the slice."""
        times = np.sort(self.sequences.timestamps)
        cut = times[min(len(times) - 1, int(len(times) * (1 - self.config.validation)))]
        earlier = [int((self.sequences.of(user)[1] < cut).sum()) for user in range(len(self.sequences))]
        where = positions(self.sequences, self.model_config.window, np.array(earlier), exact=False)
        before, _ = self.sequences.cut(cut)
        if not len(where):
            return self.sequences, None
        seen = seen_before(self.sequences, where) if self.mask_seen else None

        def validate() -> dict[str, float]:
            ranks = full_ranks(embed_positions(model, where), where.targets, item_embeddings(model), seen)
            hit = ranks <= 20
            return {"val_recall@20": float(hit.mean()), "val_mrr@20": float((hit / ranks).mean())}

        return before, validate


def _fingerprint(
    model_config: ModelConfig, config: TrainConfig, sequences: Sequences, items: int, seed: int, mask_seen: bool
) -> str:
    """Equal for two calls that must end with the same weights."""
    plain = [dataclasses.asdict(model_config), dataclasses.asdict(config), items, seed, mask_seen, keras.__version__]
    digest = hashlib.sha256(json.dumps([*plain, tf.__version__], sort_keys=True).encode())
    for array in (sequences.offsets, sequences.items, sequences.timestamps):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _values(variables: list[Any]) -> list[np.ndarray]:
    return [np.array(variable) for variable in variables]


def _set(model: keras.Model, values: list[np.ndarray]) -> None:
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)
