# SPDX-License-Identifier: Apache-2.0
"""Scores of a task's items or classes: the user embedding by the patched model, times the task's own head, in numpy.

The head is not part of the graph: an inner product with it costs less than a call of a signature that gets its rows
from outside, and nothing has to be of a fixed size (benchmarks/tasks.py measures both). This module knows nothing about
files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from pocketrec.device.base.errors import StateError
from pocketrec.device.contract.patch import PROFILE_KIND, Patch
from pocketrec.device.engine.scores import inner_product

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array

_ROWS: Final = 8192  # of the head that are in memory as float32 at a time


def scores_of(patch: Patch, embedding: Array, rows: Array | None = None) -> Array:
    """Scores float32 [m] of some rows of the head, int32 [m] from 1; None = of all M, in their order.

    Args:
        patch: of the task.
        embedding: float32 [E], by the model with the patch's tensors, or with personal ones.
        rows: which.

    Raises:
        StateError: a score is not finite.
    """
    if rows is None:
        rows = np.arange(1, len(patch.ids) + 1, dtype=np.int32)
    found = np.zeros(len(rows), np.float32)
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        numbers = inner_product(embedding, patch.rows[part].astype(np.float32))
        found[start : start + _ROWS] = numbers if patch.scales is None else numbers * patch.scales[part, 0]
    found += patch.biases[rows]
    if not np.isfinite(found).all():
        raise StateError("the weights of the task give scores that are not numbers: run `pocketrec state reset`, or "
                         "pull the task again")  # fmt: skip
    return found


def as_told(patch: Patch, scores: Array) -> Array:
    """What the application is told for scores float32 [M]: of classes their probabilities, of items the scores."""
    if patch.kind != PROFILE_KIND:
        return scores
    shifted = np.exp(scores.astype(np.float64) - float(scores.max()))
    probabilities: Array = (shifted / shifted.sum()).astype(np.float32)
    return probabilities


def weights_of(patch: Patch, reference: Mapping[str, Array]) -> dict[str, Array]:
    """What the model is to hold for a task: the patch's tensors, and fresh slots.

    Args:
        patch: of the task.
        reference: what the model holds when it is opened: the tensors of no task, and fresh slots.
    """
    return {name: patch.tensors.get(name, value) for name, value in reference.items()}
