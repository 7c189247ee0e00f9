"""The state of a training between two epochs, in one file that is whole or absent.

What is kept is enough to go on bit for bit: weights, optimizer slots, position, figures so far, and the best weights.
Nothing else is random state: batches, dropout and negatives follow from the seed and the step.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.cloud.arrays import save_arrays


@dataclass
class Checkpoint:
    """A training between two epochs."""

    fingerprint: str
    """Names the configuration, seed and data; a checkpoint of another one is not used."""
    phase: str
    """search (with a validation slice) or final (on everything)."""
    epoch: int
    """Epochs of this phase that are done."""
    step: int
    """Steps of this phase that are done."""
    planned: int
    """Epochs that the phase runs at most."""
    best_epoch: int = 0
    """Epoch (from 1) with the best validation MRR@20; 0 = none yet."""
    best: float = -1.0
    """That MRR@20."""
    finished: bool = False
    """The whole training is done; `best_weights`, or else `weights`, are the result."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry an epoch, over all phases."""
    weights: list[np.ndarray] = field(default_factory=list)
    """The model's variables."""
    slots: list[np.ndarray] = field(default_factory=list)
    """The optimizer's variables."""
    best_weights: list[np.ndarray] = field(default_factory=list)
    """The model's variables at `best_epoch`; empty where they are not needed."""

    def save(self, path: Path) -> None:
        """Write atomically.

        Raises:
            StorageError: the disk is full or the folder cannot be written; an earlier checkpoint is still there.
        """
        arrays: dict[str, np.ndarray] = {}
        for name in _ARRAYS:
            arrays |= {f"{name}/{i}": value for i, value in enumerate(getattr(self, name))}
        plain = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name not in _ARRAYS}
        arrays["state"] = np.frombuffer(json.dumps(plain).encode(), np.uint8)
        save_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path, fingerprint: str) -> Checkpoint | None:
        """Read it; None where there is none, or it is damaged or of another training."""
        try:
            with np.load(path, allow_pickle=False) as file:
                plain = json.loads(file["state"].tobytes())
                if plain["fingerprint"] != fingerprint:
                    return None
                state = cls(**plain)
                for name in _ARRAYS:
                    count = sum(key.startswith(f"{name}/") for key in file.files)
                    setattr(state, name, [file[f"{name}/{i}"] for i in range(count)])
            return state
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None


_ARRAYS = ("weights", "slots", "best_weights")
