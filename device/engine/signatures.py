# SPDX-License-Identifier: Apache-2.0
"""What the signatures of a model file take and give, and what a step of a task's patch is called with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pocketrec.device.base.array import Array
from pocketrec.device.contract import names as contract

#: What each signature takes and gives, whatever the model.
PROMISED: Final = {
    contract.TRAIN: (
        (contract.TARGETS, contract.LEARNING_RATE, contract.PROXIMAL), (contract.LOSS,)
    ),
    contract.EVALUATE: ((contract.TARGETS,), (contract.LOSS, contract.RANK)),
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
