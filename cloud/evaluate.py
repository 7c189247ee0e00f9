"""From ranks to metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.cloud.config import EvaluateConfig

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences


def fleet_metrics(
    folder: Path,
    *,
    evaluate: EvaluateConfig,
    seed: int = 1,
    data: Mapping[str, Any] | None = None,
    sizes: Mapping[str, Any] | None = None,
    rehearsal: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """metrics.json of a personalised log from what `run_fleet` left in `folder`.

    Args:
        data: the summary of the split, copied under ``data``.
        sizes: what `size_ledger` gives, copied under ``bytes``.
        rehearsal: rehearsal.json, whose forecast is set against what came.
    """
    raise NotImplementedError


def global_metrics(
    model: Any,
    after: Sequences,
    *,
    evaluate: EvaluateConfig,
    window: int,
    seed: int = 1,
    data: Mapping[str, Any] | None = None,
    sizes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """metrics.json of a log without personal training (split kind column): the Keras model and the baselines."""
    raise NotImplementedError


def size_ledger(model_file: Path, candidates_folder: Path, users: int, dense_parameters: int) -> dict[str, float]:
    """Bytes that a device fetches against the dense float32 model (D9)."""
    raise NotImplementedError
