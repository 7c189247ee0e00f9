# SPDX-License-Identifier: Apache-2.0
"""What the signatures of a model file take and give, and what a step of a task's patch is called with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.contract import names as contract

#: What each signature takes and gives, whatever the model.
PROMISED: Final = {
    contract.TRAIN: (
        (contract.TARGETS, contract.LEARNING_RATE, contract.PROXIMAL), (contract.LOSS,)
    ),
    contract.TRAIN_SMALL: (
        (contract.ITEMS, contract.TARGETS, contract.LEARNING_RATE, contract.PROXIMAL), (contract.LOSS,)
    ),
    contract.EVALUATE: ((contract.TARGETS,), (contract.LOSS, contract.RANK)),
    contract.EVALUATE_SMALL: ((contract.ITEMS, contract.TARGETS), (contract.LOSS, contract.RANK)),
    contract.EMBED_WINDOWS: ((contract.ITEMS,), (contract.USER_EMBEDDINGS,)),
    contract.EMBED: ((contract.ITEMS,), (contract.USER_EMBEDDING,)),
    contract.INFER: ((contract.ITEMS, contract.CANDIDATES), (contract.SCORES,)),
    contract.LOOKUP: ((contract.CANDIDATES,), (contract.ITEM_EMBEDDINGS,)),
    contract.RETRIEVE: ((contract.ITEMS,), (contract.CANDIDATES, contract.SCORES)),
    contract.RANK_CANDIDATES: ((contract.ITEMS, contract.CANDIDATES), (contract.SCORES,)),
    contract.EXPORT_WEIGHTS: ((contract.UNUSED,), ()),
    contract.TRAIN_TASK: ((contract.ITEMS, contract.WANTED, contract.HEAD, contract.BIASES, contract.LEARNING_RATE,
                           contract.PROXIMAL), (contract.LOSS,)),
}  # fmt: skip

_SMALL: Final = {contract.TRAIN: contract.TRAIN_SMALL, contract.EVALUATE: contract.EVALUATE_SMALL}


def cut_to_small(
    signature: str, inputs: dict[str, Any], small: int, takes: Mapping[str, tuple[tuple[int, ...], Any]]
) -> str:
    """The signature that a step takes: that of the small batch where its windows all lie in the first rows.

    Rows of padding count for nothing, so both give the same, up to the order of sums; and the choice follows from the
    inputs alone, so that a training that was stopped continues to the same bits.

    Args:
        signature: train or evaluate.
        inputs: items and targets of the whole batch are cut to the small one; what `signature` would refuse is left.
        small: windows of the small batch; 0 = there is none.
        takes: shapes and dtypes of the inputs of `signature`.
    """
    if not small:
        return signature
    both = [np.asarray(inputs[key]) for key in (contract.ITEMS, contract.TARGETS)]
    if [(value.shape, value.dtype) for value in both] != [takes[key] for key in (contract.ITEMS, contract.TARGETS)]:
        return signature
    if any(value[small:].any() for value in both):
        return signature
    inputs[contract.ITEMS], inputs[contract.TARGETS] = (value[:small] for value in both)
    return _SMALL[signature]


@dataclass(frozen=True, eq=False)
class TaskBatch:
    """What a step of a task's patch learns from: B windows, and S rows of the task's head."""

    items: Array
    """int32 [B, T], right-padded with 0."""
    wanted: Array
    """float32 [B, S]: 1 at the target's row, all 0 where the window does not count."""
    head: Array
    """float32 [S, E]."""
    biases: Array
    """float32 [S]: added to the scores; very small where a row is not there."""
