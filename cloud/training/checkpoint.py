# SPDX-License-Identifier: Apache-2.0
"""The state of a training between two calls of the training graph, in one file that is whole or absent.

What is kept is enough to continue bit for bit: weights, optimizer slots, position, figures so far; the weights of the
best epoch lie in a file beside it. No other state is random: batches, dropout and negatives follow from the seed and
the step. Arrays are written one at a time, so that a large table is never copied whole lists at a time.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.cloud.base.arrays import save_arrays


@dataclass
class Checkpoint:
    """Where a training is."""

    fingerprint: str
    """Names the configuration, seed and data; a checkpoint of another one is not used."""
    phase: str
    """search (with a validation slice) or final (on everything)."""
    planned: int
    """Epochs that the phase runs at most."""
    epoch: int = 0
    """Epochs of this phase that are done."""
    block: int = 0
    """Blocks of the epoch that are done."""
    place: int = 0
    """Steps of the next block that are done."""
    step: int = 0
    """Steps of this phase that are done."""
    steps: int = 0
    """Steps of the epoch that are done."""
    loss: float = 0.0
    """Sum of their losses."""
    seconds: float = 0.0
    """Time that the epoch has taken."""
    best_epoch: int = 0
    """Epoch (from 1) with the best validation MRR@20; 0 = none yet."""
    best: float = -1.0
    """That MRR@20."""
    finished: bool = False
    """The whole training is done."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry an epoch, over all phases."""

    def save(self, path: Path, weights: list[Any], slots: list[Any]) -> None:
        """Write atomically, with the variables of the model and of the optimizer.

        Raises:
            StorageError: the disk is full or the folder cannot be written; an earlier checkpoint is still there.
        """
        plain = np.frombuffer(json.dumps(asdict(self)).encode(), np.uint8)
        save_arrays(path, {"state": plain, **_named("weights", weights), **_named("slots", slots)})

    @classmethod
    def load(cls, path: Path, fingerprint: str) -> tuple[Checkpoint, list[np.ndarray], list[np.ndarray]] | None:
        """State, weights and slots; None where there are none, or they are damaged or of another training."""
        try:
            with np.load(path, allow_pickle=False) as file:
                state = cls(**json.loads(file["state"].tobytes()))
                if state.fingerprint != fingerprint:
                    return None
                return state, _list(file, "weights"), _list(file, "slots")
        except _DAMAGED:
            return None


def save_weights(path: Path, weights: list[Any]) -> None:
    """Write variables alone, atomically.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    save_arrays(path, _named("weights", weights))


def load_weights(path: Path) -> list[np.ndarray] | None:
    """What `save_weights` wrote; None where there is nothing or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return _list(file, "weights")
    except _DAMAGED:
        return None


_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


def _named(name: str, values: list[Any]) -> dict[str, Any]:
    return {f"{name}/{i}": value for i, value in enumerate(values)}


def _list(file: Any, name: str) -> list[np.ndarray]:
    count = sum(key.startswith(f"{name}/") for key in file.files)
    return [file[f"{name}/{i}"] for i in range(count)]
