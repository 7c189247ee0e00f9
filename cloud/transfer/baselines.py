# SPDX-License-Identifier: Apache-2.0
"""What needs no network, on a task: popularity, the user's own latest items, item-kNN; the majority class.

Source items and targets are one catalogue here: a target that is also a source item is the same item. Rows 1..M are the
task's targets in the order of their popularity among training users, behind them the other source items.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.baselines.baseline import Past, popularity_scores
from pocketrec.cloud.baselines.neighbours import ItemNeighbours
from pocketrec.cloud.baselines.recent import RecentItems
from pocketrec.cloud.config.transfer import TransferRun
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.vocabulary import Vocabulary
from pocketrec.cloud.transfer.rows import Rows, Task


def joint_rows(vocabulary: Vocabulary, ids: list[str]) -> NDArray[np.int32]:
    """int32 (N + 1,): the joint row of each source row; 0 for row 0."""
    row_of = {target: row for row, target in enumerate(ids, 1)}
    joint, others = [0], len(ids)
    for item in vocabulary.ids:
        if item not in row_of:
            others += 1
        joint.append(row_of.get(item, others))
    return np.array(joint, np.int32)


def histories(rows: Rows, joint: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    """The joint rows of each window, oldest first, without padding."""
    return [joint[window[window > 0]] for window in rows.windows]


def baseline_scores(
    config: TransferRun, task: Task, sequences: Sequences, vocabulary: Vocabulary, test: Rows
) -> dict[str, NDArray[np.float32]]:
    """Scores (n, M + 1) of the test rows by each baseline.

    Args:
        config: ``[baselines.knn]``.
        task: its training rows.
        sequences: source events of all users, which are known; of their targets only those of training users are.
        vocabulary: of the source.
        test: what is scored; its targets are not looked at.
    """
    width = len(task.ids) + 1
    everybody = np.broadcast_to(popularity_scores(width), (len(test), width))
    if task.kind == "profile":
        return {"majority": everybody}
    joint = joint_rows(vocabulary, task.ids)
    items = int(max(joint.max(), width - 1))
    before = _known(task, sequences, joint)
    past = Past(before, items, config.seed)
    found: dict[str, NDArray[np.float32]] = {"popularity": everybody}
    asked = histories(test, joint)
    fitted = {"recent": RecentItems.fit(None, past), "item_knn": ItemNeighbours.fit(config.baselines.knn, past)}
    for name, baseline in fitted.items():
        if baseline is not None:
            found[name] = np.stack([baseline.scores(history)[:width] for history in asked])
    return found


def _known(task: Task, sequences: Sequences, joint: NDArray[np.int32]) -> Sequences:
    """Source events of all users and targets of training users, in joint rows; only who had what matters."""
    train = task.train
    inside = train.windows > 0
    users = [sequences.users[sequences.event_users()], train.users[np.nonzero(inside)[0]], train.users]
    items = [joint[sequences.items], joint[train.windows[inside]], train.targets]
    ids, codes = np.unique(np.concatenate(users).astype(str), return_inverse=True)
    return Sequences.build(ids.astype(object), codes, np.concatenate(items), np.zeros(len(codes)))
