# SPDX-License-Identifier: Apache-2.0
"""What a device keeps of one user in one task: a state file of its own, bound to model, task and patch.

It holds the user's own targets in the task and a personal patch. A new patch, or a new model, makes the weights of no
use; the targets go over to it by item id.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketrec.device.base.digest import digest
from pocketrec.device.base.locks import locked
from pocketrec.device.state import file as states
from pocketrec.device.state.personal_state import PersonalState, empty_state

if TYPE_CHECKING:
    from pocketrec.device.contract.manifest import Manifest
    from pocketrec.device.contract.patch import Patch
    from pocketrec.device.store.sealing import Seal

_MARK = ".task-"


def task_file(path: Path, task: str) -> Path:
    """Where the state of a task lies, beside a user's state file."""
    return path.with_name(f"{path.name}{_MARK}{task}")


def task_files(path: Path) -> list[Path]:
    """The state files of all tasks beside a user's, without previous generations."""
    found = path.parent.glob(f"{path.name}{_MARK}*") if path.parent.is_dir() else ()
    names = {file.name.removesuffix(".previous") for file in found}
    return [path.with_name(name) for name in sorted(names)]


def bound_to(manifest: Manifest, patch: Patch) -> Manifest:
    """What a task's state is bound to, in the form of a manifest."""
    own = digest(["task", manifest.model_id, patch.task, patch.sha256])
    vocabulary = {"items": len(patch.ids), "sha256": digest(list(patch.ids))}
    return dataclasses.replace(manifest, model_id=own, vocabulary=vocabulary, lean={})


def load_task_state(
    path: Path, manifest: Manifest, patch: Patch, seal: Seal | None
) -> tuple[PersonalState, str]:
    """The state of a task; and why its weights were left aside, "" where they were not.

    Raises:
        StateError: the file is damaged, or sealed with another key.
    """
    if not states.exists(path):
        return empty_state(None), ""
    try:
        return states.load_state(path, bound_to(manifest, patch), seal), ""
    except states.ForeignStateError:
        old = states.load_state(path, None, seal)
    rows, inverse = np.unique(old.rows, return_inverse=True)
    row_of = {item: row for row, item in enumerate(patch.ids, 1)}
    ids = old.items if len(old.items) == len(rows) else ()
    new = np.array([row_of.get(item, 0) for item in ids], np.int32)
    found = new[inverse] if len(ids) else np.zeros(0, np.int32)
    kept = found > 0
    state = dataclasses.replace(empty_state(old.user, old.generation), rows=found[kept],
                                times=old.times[kept] if len(ids) else old.times[:0])  # fmt: skip
    return state, f"it was of another patch; {int(kept.sum())} events were carried over by item id"


def save_task_state(
    path: Path, state: PersonalState, manifest: Manifest, patch: Patch, seal: Seal | None, *, keep: bool = True
) -> PersonalState:
    """Write the state of a task in one step; the state as written.

    Raises:
        StorageError: it could not be written, and the old one is still good.
    """
    items = tuple(patch.ids[row - 1] for row in np.unique(state.rows).tolist())
    state = dataclasses.replace(state, generation=state.generation + 1, items=items)
    with locked(path):
        states.save_state(path, state, bound_to(manifest, patch), seal, keep=keep)
    return state


def forget_in_tasks(path: Path, items: Sequence[str | tuple[str, float]], manifest: Manifest, seal: Seal | None) -> int:
    """Delete events in the states of all tasks beside a user's, and every personal patch; how many events went.

    Personal patches go whether or not an event of theirs does: what is forgotten was context to them.
    """
    gone = 0
    for file in task_files(path):
        if not states.exists(file):
            continue
        with locked(file):
            old = states.load_state(file, None, seal)
            rows = np.unique(old.rows).tolist()
            of_row = dict(zip(rows, old.items, strict=False))
            wanted = {item for item in items if isinstance(item, str)}
            timed = {item for item in items if not isinstance(item, str)}
            kept = np.array([
                of_row.get(row) not in wanted and (of_row.get(row), time) not in timed
                for row, time in zip(old.rows.tolist(), old.times.tolist(), strict=True)
            ], bool)  # fmt: skip
            gone += int((~kept).sum())
            left = dataclasses.replace(empty_state(old.user, old.generation + 1), rows=old.rows[kept],
                                       times=old.times[kept])  # fmt: skip
            left = dataclasses.replace(left, items=tuple(of_row[row] for row in np.unique(left.rows).tolist()))
            states.save_state(file, left, manifest, seal, keep=False)  # bound to no patch: read as a foreign one
    return gone


def wipe_tasks(path: Path) -> list[Path]:
    """Delete the states of all tasks beside a user's; gives the files.

    Raises:
        StateError, StorageError: as `pocketrec.device.state.file.reset_state`.
    """
    return [file for own in task_files(path) for file in states.reset_state(own)]
