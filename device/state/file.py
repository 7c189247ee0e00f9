# SPDX-License-Identifier: Apache-2.0
"""Personal state: one file with a user's weights, optimiser slots, history and how they came about.

The file is a tensor file, bound to the model, its tensor specs and its vocabulary; with a key it is sealed
(`pocketrec.device.store.sealing`). Writing keeps the previous generation beside it under ``<name>.previous``. A damaged
or foreign file is never used, nor silently replaced. Where the events lie in a store, the state names the store, holds
no history of its own, and is of no use once something was forgotten there.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pocketrec.device.base import documents
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import StateError
from pocketrec.device.base.fields import check
from pocketrec.device.base.files import storage_error, sweep, sync_folder, write_atomic
from pocketrec.device.base.locks import locked
from pocketrec.device.contract import tensorfile
from pocketrec.device.contract.manifest import Manifest
from pocketrec.device.contract.names import FORMAT_VERSION
from pocketrec.device.personal.item_rows import ItemRows
from pocketrec.device.state.personal_state import PersonalState

if TYPE_CHECKING:
    from pocketrec.device.state.pending import Pending
    from pocketrec.device.store.sealing import Seal

_WEIGHTS: Final = "weights/"  # prefix of trainable tensors and slots in the file
_PENDING: Final = "pending/"  # of those of a training that was stopped
_ROWS: Final = "history/rows"
_TIMES: Final = "history/times"
_KIND: Final = "pocketrec personal state"

_SEALED: Final = b"pocketrec sealed 1\n"  # how a sealed state begins

# How the file of a state begins, without the length in front: the checksum's 64 digits stand between the two.
_HEAD: Final = (tensorfile.MARK, b'","kind":"' + _KIND.encode() + b'"')


class ForeignStateError(StateError):
    """The state belongs to another model, tensor specs or vocabulary."""


def previous_of(path: str | Path) -> Path:
    """Where the previous generation of a state file is kept.

    Raises:
        StateError: the path has no name that a file could have.
    """
    path = Path(path)
    if not path.name:
        raise StateError(f"{path} is not the name of a state file: name a file with --state")
    return path.with_name(path.name + ".previous")


def quality_of(path: str | Path) -> Path:
    """Where the quality of what was recommended is kept, beside a state file; see `pocketrec.device.state.quality`."""
    return Path(path).with_name(Path(path).name + ".quality")


def exists(path: str | Path) -> bool:
    """Whether there is a state or a previous generation of one.

    Raises:
        StateError: the path cannot be that of a state file.
    """
    try:
        return Path(path).exists() or previous_of(path).exists()
    except OSError as error:
        raise StateError(f"cannot read {path} ({error.strerror}): name another file with --state") from None


def save_state(
    path: str | Path, state: PersonalState, manifest: Manifest, seal: Seal | None = None, *, keep: bool = True
) -> None:
    """Write a state atomically, readable by its owner only; the file that was there becomes the previous generation.

    Args:
        path: the file.
        state: what it holds; where the state names a store, the history is left out.
        manifest: of the bundle that it is bound to.
        seal: encrypts it; None = it lies in the clear.
        keep: off: no previous generation stays, for it holds what is not to be kept.

    Raises:
        StorageError: the disk is full, or the folder cannot be written; the old state is still good.
    """
    metadata = {
        "kind": _KIND,
        "format": str(FORMAT_VERSION),
        **_binding(manifest),
        "user": state.user,
        "trained": str(state.trained),
        "steps": str(state.steps),
        "generation": str(state.generation),
        "report": documents.line(state.report),
    }
    if state.store:
        metadata |= {"store": state.store, "through": str(state.through)}
    if state.forgotten:
        metadata["forgotten"] = str(state.forgotten)
    if state.items and not state.store:
        metadata["items"] = documents.line(state.items, ascii_only=False)
    if state.learned:
        metadata["learned"] = state.learned
    count = 0 if state.store else len(state.rows)
    tensors: dict[str, Array] = {_ROWS: state.rows[:count].astype(np.int32)}
    tensors |= {_TIMES: state.times[:count].astype(np.float64)}
    tensors |= {_WEIGHTS + name: value for name, value in state.weights.items()} | state.item_rows.to_tensors()
    if state.pending is not None:
        metadata["pending"] = state.pending.to_json()
        tensors |= {_PENDING + name: value for name, value in state.pending.paused.weights.items()}
    content = tensorfile.dump(tensors, metadata)
    if seal is not None:
        content = sealed_file(seal, content)
    with locked(path):
        sweep(path)
        write_atomic(path, content, previous=previous_of(path) if keep else None, mode=0o600)
        if not keep:
            drop_previous(path)


def signature(path: str | Path) -> tuple[int, int, int] | None:
    """What differs where another state was written in the place of one: inode, bytes and time; None = no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def load_state(path: str | Path, manifest: Manifest | None = None, seal: Seal | None = None) -> PersonalState:
    """Read a state file.

    Args:
        path: the file.
        manifest: of the bundle that it will be used with; None skips that check (for showing it).
        seal: of the key that the state was sealed with; None where it was not.

    Raises:
        ForeignStateError: of another model, tensor specs or vocabulary.
        StateError: missing, damaged, no state, of another format, or sealed with another key.
    """
    path = Path(path)
    try:
        read = tensorfile.parse(_unsealed(path, seal))
    except FileNotFoundError:
        raise StateError(f"no state file {path}: {_missing(path)}") from None
    except OSError as error:
        forbidden = error.errno in (errno.EACCES, errno.EPERM)
        way_out = "make it readable, or name another --state" if forbidden else _way_out(path, seal=seal)
        raise StateError(f"cannot read {path} ({error.strerror}): {way_out}") from None
    except tensorfile.TensorFileError as error:
        if not _begins_like_a_state(path):
            raise StateError(f"{path} is not a personal state: {_way_out(path, _NOT_OURS)}") from None
        raise StateError(f"{path} is damaged ({error}): {_way_out(path, seal=seal)}") from None
    metadata, tensors = read.metadata, read.tensors
    if metadata.get("kind") != _KIND:
        raise StateError(f"{path} is not a personal state: {_NOT_OURS}")
    if metadata.get("format") != str(FORMAT_VERSION):
        raise StateError(f"{path} is of state format {metadata.get('format')} and this version reads {FORMAT_VERSION}: "
                         "update pocketrec, or reset the state")  # fmt: skip
    if manifest is not None:
        for key, value in _binding(manifest).items():
            if metadata.get(key) != value:
                raise ForeignStateError(
                    f"{path} belongs to another model ({_BOUND[key]} differs): name its own bundle or another --state, "
                    "or run `pocketrec state reset` to start again"
                )
    reserved = int(manifest.lean["reserved"]) if manifest and manifest.lean else 0
    items = None if manifest is None else int(manifest.vocabulary["items"]) + reserved
    try:
        state = PersonalState(
            user=metadata["user"],
            rows=tensors[_ROWS],
            times=tensors[_TIMES],
            weights={name[len(_WEIGHTS) :]: v for name, v in tensors.items() if name.startswith(_WEIGHTS)},
            item_rows=ItemRows.from_tensors(tensors, items),
            trained=int(metadata["trained"]),
            steps=int(metadata["steps"]),
            report=documents.parse(metadata["report"]),
            generation=int(metadata["generation"]),
            store=metadata.get("store", ""),
            through=int(metadata.get("through", 0)),
            pending=_pending(metadata, tensors),
            learned=metadata.get("learned", ""),
            forgotten=int(metadata.get("forgotten", 0)),
            items=tuple(documents.parse(metadata.get("items", "[]"))),
            vocabulary=metadata.get("vocabulary", ""),
        )
        _check(state, items)
    except KeyError as error:
        raise StateError(f"{path} lacks {error}: {_way_out(path)}") from None
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise StateError(f"{path} is wrong ({error}): {_way_out(path)}") from None
    return state


def _check(state: PersonalState, items: int | None) -> None:
    """Refuse what no training makes, before it reaches the runtime.

    Raises:
        ValueError: it is wrong.
    """
    rows, times = state.rows, state.times
    if rows.ndim != 1 or rows.shape != times.shape or rows.dtype != np.int32 or times.dtype != np.float64:
        raise ValueError("its history has another form")
    if rows.min(initial=1) < 1 or (items is not None and rows.max(initial=1) > items):
        raise ValueError("its history names items that the bundle lacks")
    if np.isnan(times).any() or (np.diff(times) < 0).any():
        raise ValueError("its times are not valid, or not in order")
    check(state)
    if state.items and (not all(isinstance(item, str) for item in state.items)
                        or len(state.items) != len(np.unique(rows))):  # fmt: skip
        raise ValueError("its item ids are not those of its history")
    counts = (state.trained, state.steps, state.generation, state.through, state.forgotten)
    if min(counts) < 0 or not isinstance(state.report, dict):
        raise ValueError("a count, or its report, is out of range")
    if not state.store and state.trained > len(rows):
        raise ValueError("it has learned from more events than it holds")
    paused = {} if state.pending is None else state.pending.paused.weights
    for name, value in [*state.weights.items(), *paused.items()]:
        if value.dtype != np.float32 or not np.isfinite(value).all():
            raise ValueError(f"{name} has values that are not weights")


def _pending(metadata: Mapping[str, str], tensors: Mapping[str, Array]) -> Pending | None:
    if "pending" not in metadata:
        return None
    from pocketrec.device.state.pending import Pending

    weights = {name[len(_PENDING) :]: value for name, value in tensors.items() if name.startswith(_PENDING)}
    return Pending.from_json(metadata["pending"], weights)


def reset_state(path: str | Path, *, ours: bool = False) -> list[Path]:
    """Delete a state and its previous generation; the device is then as before any event.

    Args:
        path: the state file. One that is cut short or damaged is deleted too, as long as it begins like a state.
        ours: the path is where nobody but pocketrec keeps files, so that whatever lies there may go.

    Returns:
        The files deleted.

    Raises:
        StateError: a file is there that is not a personal state; nothing was deleted.
        StorageError: a file cannot be deleted.
    """
    files = [Path(path), previous_of(path)]
    if not files[0].parent.is_dir():
        return []
    with locked(path):
        return _reset(files, ours)


def _reset(files: list[Path], ours: bool) -> list[Path]:
    for file in files:
        try:
            if file.exists() and not ours and not _begins_like_a_state(file):
                raise StateError(f"{file} is not a personal state and was not deleted: {_NOT_OURS}")
        except OSError as error:
            raise StateError(f"cannot read {file} ({error.strerror}): {_NOT_OURS}") from None
    for file in (files[0], quality := quality_of(files[0])):
        sweep(file, age=0)
    return [file for file in (*files, quality) if _unlinked(file)]


def drop_previous(path: str | Path) -> None:
    """Delete the previous generation of a state, if there is one.

    Raises:
        StorageError: it cannot be deleted.
    """
    _unlinked(previous_of(path))


def drop_quality(path: str | Path) -> None:
    """Delete what is kept of the quality beside a state, if anything, or raise `StorageError`."""
    sweep(quality_of(path), age=0)
    _unlinked(quality_of(path))


def restore_state(
    path: str | Path, manifest: Manifest | None = None, seal: Seal | None = None
) -> PersonalState:
    """Put the previous generation in the place of the current one, after checking it.

    Raises:
        StateError: it does not exist, or it is damaged or of another model; nothing was changed.
        StorageError: the file cannot be moved.
    """
    previous = previous_of(path)
    if not previous.exists():
        raise StateError(f"no previous generation {previous}: reset the state to start again")
    with locked(path):
        state = load_state(previous, manifest, seal)
        try:
            os.replace(previous, path)
        except OSError as error:
            raise storage_error(path, error) from None
        sync_folder(Path(path).parent)
        return state


_BOUND: Final = {"model_id": "the model id", "specs": "the tensor specs", "vocabulary": "the vocabulary"}


def _binding(manifest: Manifest) -> dict[str, str]:
    vocabulary = str(manifest.vocabulary["sha256"])
    return {"model_id": manifest.model_id, "specs": manifest.specs_sha256, "vocabulary": vocabulary}


_NOT_OURS: Final = "name another file with --state, or remove this one"


def sealed_file(seal: Seal, content: bytes) -> bytes:
    """The content of a sealed state file."""
    return _SEALED + seal.seal(content, _SEALED)


def _unsealed(path: Path, seal: Seal | None) -> bytes:
    """The tensor file's bytes in a state file.

    Raises:
        OSError: the file is missing or unreadable.
        StateError: it is sealed with another key, or was sealed and no key was given, or the other way round.
    """
    content = path.read_bytes()
    is_sealed = content.startswith(_SEALED)
    if seal is None and is_sealed:
        raise StateError(f"{path} is encrypted: give its key with --secret")
    if seal is None:
        return content
    from pocketrec.device.store.sealing import SealError

    if not is_sealed:
        raise StateError(f"{path} is not encrypted, and a key was given: leave the key out, or reset the state")
    try:
        return seal.open(content[len(_SEALED) :], _SEALED)
    except SealError:
        raise StateError(f"{path} is damaged, or encrypted with another key: give its own key, or "
                         f"{_way_out(path, seal=seal)}") from None  # fmt: skip


def _unlinked(file: Path) -> bool:
    """Delete a file; whether there was one.

    Raises:
        StorageError: it cannot be deleted.
    """
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise storage_error(file, error) from None
    return True


def _begins_like_a_state(path: Path) -> bool:
    """Whether a file is a state or the first part of one, whole or damaged after its beginning.

    Raises:
        OSError: the file cannot be read.
    """
    mark, kind = _HEAD
    with open(path, "rb") as file:
        head = file.read(8 + len(mark) + 64 + len(kind))
    if head.startswith(_SEALED):
        return True
    if len(head) < 8:  # too short to tell; nothing is lost with an empty file
        return not head
    return mark.startswith(head[8 : 8 + len(mark)]) and kind.startswith(head[8 + len(mark) + 64 :])


def _missing(path: Path) -> str:
    if previous_of(path).exists():
        return "run `pocketrec state restore` to go back to the previous generation"
    return "run `pocketrec personalise` first, or name another file with --state"


def _way_out(path: Path, otherwise: str = "", seal: Seal | None = None) -> str:
    previous = previous_of(path)
    with contextlib.suppress(OSError, tensorfile.TensorFileError, StateError):
        tensorfile.parse(_unsealed(previous, seal))
        return f"run `pocketrec state restore` to go back to {previous}, which is good"
    return otherwise or "run `pocketrec state reset` to start again from the global model"
