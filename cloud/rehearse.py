"""The future played on the past: which recipe should the devices follow, and what may be expected of it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.cloud.config import EvaluateConfig, RehearseConfig, ResourceConfig
from pocketrec.cloud.progress import Progress, no_progress

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences


@dataclass(frozen=True)
class Variant:
    """The early model exported for one way and optimiser of personal training."""

    model: Path
    """The .tflite file of the model that has seen nothing at or after the earlier cut."""
    item_embeddings: Path
    """[N+1, E] float32 .npy: the item table as it is in the file."""


def rehearse(
    earliest: Sequences,
    later: Sequences,
    learn: Any,
    variants: Mapping[tuple[str, str], Variant],
    folder: Path,
    *,
    config: RehearseConfig,
    evaluate: EvaluateConfig,
    seed: int = 1,
    resources: ResourceConfig | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Try the grid, choose, fit the guard's prior, forecast.

    Args:
        earliest, later, learn: `cloud.data.prepared.rehearsal_split` of the events before the cut-off.
        variants: (way, optimizer) -> files, one for every pair of ``config.ways`` and ``config.optimizers``.
        folder: gets ``recipe.json`` (for the bundle), ``rehearsal.json`` (for the report) and ``trials.jsonl``.

    Returns:
        recipe.json as a dict.
    """
    raise NotImplementedError
