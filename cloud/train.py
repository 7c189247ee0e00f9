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
import math
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
from pocketrec.cloud.models import backbone, build_model, save_model
from pocketrec.cloud.progress import Progress, no_progress
from pocketrec.cloud.train_batches import Packer
from pocketrec.cloud.train_checkpoint import Checkpoint
from pocketrec.cloud.train_optimizers import learning_rate, make_optimizer
from pocketrec.cloud.train_step import TrainStep
from pocketrec.cloud.train_validation import Validation, validation_slice
from pocketrec.device.errors import DataError

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
    watch: Watch | None = None,
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
        watch: called after every epoch, before anything of it is written, with the model as it is and the history
            entry, to which it may add figures; True ends the phase there. Its time does not count.
        progress: called at every step with the steps done and planned in the phase.

    Raises:
        DataError: no user has two known events, or the loss is no longer a number.
        StorageError: the folder cannot be written.
    """
    return _Trainer(
        model_config, config, sequences, items, folder, seed, name, mask_seen,
        record or _ignore, watch or _go_on, progress,
    ).run()  # fmt: skip


def _ignore(_entry: dict[str, Any]) -> None:
    """Nobody records."""


def _go_on(_model: keras.Model, _entry: dict[str, Any]) -> bool:
    """Nobody watches."""
    return False


class _Trainer:
    """A training: what it was called with, and the model and step that all its phases share."""

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
        watch: Watch,
        progress: Progress,
    ) -> None:
        self.model_config, self.config, self.sequences = model_config, config, sequences
        self.seed, self.mask_seen, self.record, self.watch, self.progress = seed, mask_seen, record, watch, progress
        self.path = folder / f"{name}.keras"
        self.checkpoint_path = folder / f"{name}.checkpoint.npz"
        self.fingerprint = _fingerprint(model_config, config, sequences, items, seed, mask_seen)
        self.started = time.perf_counter()
        self.model = build_model(model_config, items, seed)
        self.step = TrainStep(
            backbone(model_config.backbone), self.model, make_optimizer(config), model_config, config, seed
        )
        self.fresh = _values(self.model.variables), _values(self.step.optimizer.variables)

    def run(self) -> Trained:
        state = Checkpoint.load(self.checkpoint_path, self.fingerprint) or self._begin()
        while not state.finished:
            self._phase(state)
        _assign(self.model.variables, state.best_weights or state.weights)
        save_model(self.model, self.path)
        seconds = sum(entry["seconds"] for entry in state.history)
        return Trained(self.model, self.path, state.best_epoch or state.epoch, state.history, seconds)

    def _begin(self) -> Checkpoint:
        phase = "search" if self.config.validation else "final"
        return Checkpoint(self.fingerprint, phase, 0, 0, self.config.epochs)

    def _phase(self, state: Checkpoint) -> None:
        """Run the phase that the checkpoint is in to its end, and set up the next."""
        _assign(self.model.variables, state.weights or self.fresh[0])
        _assign(self.step.optimizer.variables, state.slots or self.fresh[1])
        sequences, validation = self.sequences, None
        if state.phase == "search":
            sequences, validation = validation_slice(
                self.model, self.sequences, self.config.validation, self.model_config.window, mask_seen=self.mask_seen
            )
        windows = training_windows(sequences, self.model_config.window)
        packer = Packer(*windows, self.config.batch, self.model_config.window)
        if not packer.targets_total:
            raise DataError("no user has two known events before the cut-off: give a longer log or an earlier cut")
        while state.epoch < state.planned and not self._stale(state, validation):
            entry = self._epoch(state, packer)
            state.weights, state.slots = _values(self.model.variables), _values(self.step.optimizer.variables)
            if validation:
                entry |= validation.measure()
                if entry["val_mrr@20"] > state.best:
                    state.best, state.best_epoch = entry["val_mrr@20"], state.epoch
                    state.best_weights = [] if self.config.refit else state.weights
            entry["seconds"] = time.perf_counter() - self.started
            if self.watch(self.model, entry):
                state.planned = state.epoch
            self.started = time.perf_counter()
            state.history.append(entry)
            state.save(self.checkpoint_path)
            self.record(entry)
        if validation and self.config.refit:
            state.phase, state.planned, state.epoch, state.step = "final", state.best_epoch, 0, 0
            state.weights, state.slots = [], []
        else:
            state.finished = True
        state.save(self.checkpoint_path)

    def _epoch(self, state: Checkpoint, packer: Packer) -> dict[str, Any]:
        """One pass over the windows; the state's epoch and step move on."""
        note = f"{state.phase} epoch {state.epoch + 1}"
        batches = list(packer.epoch([self.seed, state.epoch]))
        losses, rate = [], self.config.learning_rate
        for i, batch in enumerate(batches):
            rate = learning_rate(self.config, (state.epoch + i / len(batches)) / self.config.epochs)
            losses.append(self.step(batch, state.step + i, rate))
            self.progress(state.epoch * len(batches) + i + 1, state.planned * len(batches), note)
        state.step += len(batches)
        state.epoch += 1
        loss = float(np.mean([float(value) for value in losses]))
        if not math.isfinite(loss):
            raise DataError(f"the loss is {loss} in epoch {state.epoch}: lower train.learning_rate or set clip_norm")
        return {"phase": state.phase, "epoch": state.epoch, "loss": loss, "rate": rate}

    def _stale(self, state: Checkpoint, validation: Validation | None) -> bool:
        return validation is not None and state.epoch - state.best_epoch >= self.config.patience


def _fingerprint(
    model_config: ModelConfig, config: TrainConfig, sequences: Sequences, items: int, seed: int, mask_seen: bool
) -> str:
    """Equal for two calls that must end with the same weights."""
    plain = [dataclasses.asdict(model_config), dataclasses.asdict(config), items, seed, mask_seen]
    digest = hashlib.sha256(json.dumps([*plain, keras.__version__, tf.__version__], sort_keys=True).encode())
    for array in (sequences.offsets, sequences.items, sequences.timestamps):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _values(variables: list[Any]) -> list[np.ndarray]:
    return [np.array(variable) for variable in variables]


def _assign(variables: list[Any], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
