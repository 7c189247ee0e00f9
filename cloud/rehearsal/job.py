# SPDX-License-Identifier: Apache-2.0
"""What is rehearsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.rehearse import RehearseConfig
from pocketrec.cloud.rehearsal.trials import Trial, Variant
from pocketrec.device.contract.neighbours import Neighbours

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences


@dataclass(frozen=True)
class RehearseJob:
    """What is rehearsed: all that the outcome depends on."""

    earliest: Sequences
    """Events before the earlier cut; the early model has seen nothing else."""
    later: Sequences
    """Events between the two cuts."""
    learn: NDArray[np.int64]
    """(len(later),), how many first events of each user the device learns from (all three from
    `pocketrec.cloud.data.split.rehearsal_split`)."""
    variants: Mapping[tuple[str, str], Variant]
    """(way, optimizer) -> files, one for every pair of ``config.ways`` and ``config.optimizers``."""
    config: RehearseConfig
    """The grid and the size of the sample."""
    evaluate: EvaluateConfig
    """Ties, mask and bootstrap samples."""
    trials: Sequence[Trial] | None = None
    """What is tried, the gentlest first; None = `grid` of the configuration."""
    seed: int = 1
    """Of the sample, the folds and the bootstrap."""
    neighbours: Neighbours | None = None
    """Made of `earliest`, to be added where that helps; None = never."""
