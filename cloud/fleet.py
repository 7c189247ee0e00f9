"""Many users through the very same device code, in processes, and every system ranked on the same positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.config import EvaluateConfig, ResourceConfig
from pocketrec.cloud.progress import Progress, no_progress


@dataclass(frozen=True)
class System:
    """One way to serve a user through the device code."""

    name: str
    """global, personal, naive or central (a retrained model; any name will do)."""
    model: Path
    """The .tflite file."""
    item_embeddings: Path
    """[N+1, E] float32 .npy: the item table as it is in the file (dequantised)."""
    recipe: Mapping[str, Any] | None = None
    """recipe.json as a dict; None: the weights as exported, no training."""
    guard: bool = False
    """Whether the device's guard decides (else what was trained is always used)."""


@dataclass(frozen=True)
class DeviceUser:
    """All that the simulation of one device needs; item rows, 0 = unknown item."""

    user: str
    before: NDArray[np.int32]
    """Own events before the cut-off, oldest first."""
    learn: NDArray[np.int32]
    """Later events that the device learns from."""
    test: NDArray[np.int32]
    """Last events, the test."""
    candidates: NDArray[np.int32]
    """The user's candidate set."""
    als: NDArray[np.float32] | None = None
    """ALS user factor; None for a New user (then ALS falls back to popularity)."""


def run_fleet(
    users: Sequence[DeviceUser],
    systems: Sequence[System],
    folder: Path,
    *,
    evaluate: EvaluateConfig,
    als_items: NDArray[np.float32] | None = None,
    seed: int = 1,
    resources: ResourceConfig | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Evaluate every user and write ``folder/users.jsonl`` (one line a user) and ``folder/fleet.json`` (latencies, memory)."""
    raise NotImplementedError
