# SPDX-License-Identifier: Apache-2.0
"""A history that goes over to a new model: rows of the old vocabulary become rows of the new one, by item id.

The state's file notes the ids. States of earlier versions do not; then the old vocabulary is looked for beside the
bundle, where `pocketrec pull` keeps the version before. This module knows nothing about weights: those of another
model are of no use.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

import numpy as np

from pocketrec.device.base.errors import BundleError
from pocketrec.device.base.files import sha256_file
from pocketrec.device.contract.names import ITEMS_FILE
from pocketrec.device.contract.vocabulary import Vocabulary
from pocketrec.device.state.personal_state import PersonalState, empty_state

if TYPE_CHECKING:
    from pathlib import Path

    from pocketrec.device.delivery.bundle import Bundle

_UNKNOWN: Final = ""  # id of a row that is unknown


def carried(state: PersonalState, bundle: Bundle) -> tuple[PersonalState, str]:
    """The state of another model with its history in the rows of this bundle, and with the global weights.

    Args:
        state: as its file holds it.
        bundle: of the new model, for this user.

    Returns:
        The state, and what became of the events, in a few words.
    """
    rows, inverse = np.unique(state.rows, return_inverse=True)  # (d,), (n,)
    if state.vocabulary == bundle.manifest.vocabulary["sha256"] and len(bundle.vocabulary) >= rows.max(initial=0):
        new = rows
    else:
        ids = state.items or _ids_beside(bundle.folder, state.vocabulary, rows.tolist())
        if len(rows) and not ids:
            gone = f"its {len(state.rows)} events are lost, for it names no item ids and the old bundle is not here"
            return _begun(state), gone
        new = bundle.vocabulary.rows(ids)
    found = new[inverse] if len(rows) else state.rows  # (n,)
    known = found > 0
    fresh = dataclasses.replace(_begun(state), rows=found[known].astype(np.int32), times=state.times[known])
    told = f"{int(known.sum())} events were carried over by item id"
    left = int((~known).sum())
    return fresh, told + (f", {left} were left out, whose items the new model does not know" if left else "")


def _begun(state: PersonalState) -> PersonalState:
    return dataclasses.replace(empty_state(state.user, state.generation), forgotten=state.forgotten)


def _ids_beside(folder: Path, sha256: str, rows: list[int]) -> tuple[str, ...]:
    """Ids of rows by the vocabulary of that hash in a folder beside the bundle's; () where there is none."""
    for file in sorted(folder.absolute().parent.glob(f"*/{ITEMS_FILE}")):
        try:
            if sha256_file(file) != sha256:
                continue
            lines = file.read_bytes().count(b"\n")
            vocabulary = Vocabulary(file, lines)
            return tuple(vocabulary.ids([row])[0] if row <= lines else _UNKNOWN for row in rows)
        except (OSError, BundleError):
            continue
    return ()
